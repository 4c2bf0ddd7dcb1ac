//! MongoDB's one order over all BSON values, by which it sorts, keeps indexes and compares.
//!
//! Types come first: `MinKey < undefined < null < numbers < strings < objects < arrays < binary < ObjectId < bool <
//! date < timestamp < regex < pointer < code < code with scope < MaxKey`. Numbers of all types are one line, with NaN
//! at its start. Strings compare by their bytes.

use std::cmp::Ordering;

use crate::element::{Elements, Value, fixed, kind};
use crate::number::Number;

/// The place of a type in the order; types that compare with one another share it.
pub(crate) fn rank(kind: u8) -> u8 {
    match kind {
        kind::MIN_KEY => 0,
        kind::UNDEFINED => 1,
        kind::NULL => 5,
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL128 => 10,
        kind::STRING | kind::SYMBOL => 15,
        kind::DOCUMENT => 20,
        kind::ARRAY => 25,
        kind::BINARY => 30,
        kind::OBJECT_ID => 35,
        kind::BOOL => 40,
        kind::DATE => 45,
        kind::TIMESTAMP => 47,
        kind::REGEX => 50,
        kind::DB_POINTER => 55,
        kind::CODE => 60,
        kind::CODE_WITH_SCOPE => 65,
        _ => 127,
    }
}

/// Compares two values of any types.
pub(crate) fn compare(left: Value<'_>, right: Value<'_>) -> Ordering {
    rank(left.kind).cmp(&rank(right.kind)).then_with(|| compare_within_rank(left, right))
}

fn compare_within_rank(left: Value<'_>, right: Value<'_>) -> Ordering {
    if let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) {
        return left.compare(right);
    }
    match left.kind {
        kind::STRING | kind::SYMBOL | kind::CODE => left.text().cmp(right.text()),
        kind::DOCUMENT | kind::ARRAY => compare_documents(left.bytes, right.bytes),
        // The length, then the subtype, then the content: the order of the bytes but for the length's own.
        kind::BINARY => length(left).cmp(&length(right)).then_with(|| left.bytes[4..].cmp(&right.bytes[4..])),
        kind::DATE => i64::from_le_bytes(fixed(left.bytes)).cmp(&i64::from_le_bytes(fixed(right.bytes))),
        kind::TIMESTAMP => u64::from_le_bytes(fixed(left.bytes)).cmp(&u64::from_le_bytes(fixed(right.bytes))),
        // ObjectId, bool, regex, null and the keys at both ends; pointers and scopes, which nobody uses as a key.
        _ => left.bytes.cmp(right.bytes),
    }
}

fn length(binary: Value<'_>) -> u32 {
    u32::from_le_bytes(fixed(binary.bytes))
}

/// Field by field: type, then name, then value; the shorter of two equal beginnings comes first.
fn compare_documents(left: &[u8], right: &[u8]) -> Ordering {
    let (mut lefts, mut rights) = (Elements::new(left), Elements::new(right));
    loop {
        let (left, right) = match (lefts.next(), rights.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => (left, right),
        };
        let order = rank(left.value.kind)
            .cmp(&rank(right.value.kind))
            .then_with(|| left.name.cmp(right.name))
            .then_with(|| compare_within_rank(left.value, right.value));
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;
    use bson::raw::cstr;
    use bson::spec::BinarySubtype;
    use bson::{Bson, doc};

    use super::*;
    use crate::element::field;

    fn order(left: &Bson, right: &Bson) -> Ordering {
        let (left, right) = (doc! { "v": left }.to_vec().unwrap(), doc! { "v": right }.to_vec().unwrap());
        compare(field(&left, "v").unwrap(), field(&right, "v").unwrap())
    }

    fn binary(subtype: BinarySubtype, bytes: &[u8]) -> Bson {
        Bson::Binary(bson::Binary { subtype, bytes: bytes.to_vec() })
    }

    #[test]
    fn values_of_all_types_stand_in_one_line() {
        let ascending = [
            Bson::MinKey,
            Bson::Undefined,
            Bson::Null,
            Bson::Double(f64::NAN),
            Bson::Double(f64::NEG_INFINITY),
            Bson::Int64(i64::MIN),
            Bson::Int32(-1),
            Bson::Decimal128("-0.5".parse().unwrap()),
            Bson::Double(0.0),
            Bson::Int32(2),
            Bson::Decimal128("2.5".parse().unwrap()),
            Bson::Int64(1 << 53),
            Bson::Int64((1 << 53) + 1),
            Bson::Double(1e300),
            Bson::Decimal128("1E+400".parse().unwrap()),
            Bson::Double(f64::INFINITY),
            "".into(),
            "B".into(),
            "a".into(),
            "a\0".into(),
            "aa".into(),
            Bson::Document(doc! {}),
            Bson::Document(doc! { "b": 1 }),
            Bson::Document(doc! { "b": 1, "c": 1 }),
            Bson::Document(doc! { "a": "x" }),
            Bson::Array(vec![]),
            Bson::Array(vec![1.into()]),
            binary(BinarySubtype::Generic, b"z"),
            binary(BinarySubtype::Generic, b"aa"),
            binary(BinarySubtype::Uuid, b"aa"),
            Bson::ObjectId(ObjectId::from_bytes([1; 12])),
            Bson::ObjectId(ObjectId::from_bytes([2; 12])),
            false.into(),
            true.into(),
            Bson::DateTime(bson::DateTime::from_millis(-1)),
            Bson::DateTime(bson::DateTime::from_millis(1)),
            Bson::Timestamp(bson::Timestamp { time: 1, increment: 9 }),
            Bson::Timestamp(bson::Timestamp { time: 2, increment: 0 }),
            Bson::RegularExpression(bson::Regex { pattern: cstr!("a").into(), options: cstr!("").into() }),
            Bson::JavaScriptCode("x".into()),
            Bson::MaxKey,
        ];
        for (at, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(order(left, right), at.cmp(&other), "{left} and {right}");
            }
        }
    }

    #[test]
    fn numbers_compare_by_value_whatever_their_type() {
        let twos = [Bson::Int32(2), Bson::Int64(2), Bson::Double(2.0), Bson::Decimal128("2.00".parse().unwrap())];
        for left in &twos {
            for right in &twos {
                assert_eq!(order(left, right), Ordering::Equal, "{left:?} and {right:?}");
            }
        }
    }
}
