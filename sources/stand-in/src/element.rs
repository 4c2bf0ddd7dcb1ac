//! Reads BSON in place, byte by byte, and stops without complaint where the bytes stop making sense.
//!
//! Documents that no driver would write (invalid UTF-8, lying lengths, unknown types) must be found by their key and
//! served verbatim. `bson`'s own raw reader was rejected for that: it refuses the very documents that are the point.

/// The byte that says what an element is.
pub(crate) mod kind {
    pub(crate) const DOUBLE: u8 = 0x01;
    pub(crate) const STRING: u8 = 0x02;
    pub(crate) const DOCUMENT: u8 = 0x03;
    pub(crate) const ARRAY: u8 = 0x04;
    pub(crate) const BINARY: u8 = 0x05;
    pub(crate) const UNDEFINED: u8 = 0x06;
    pub(crate) const OBJECT_ID: u8 = 0x07;
    pub(crate) const BOOL: u8 = 0x08;
    pub(crate) const DATE: u8 = 0x09;
    pub(crate) const NULL: u8 = 0x0a;
    pub(crate) const REGEX: u8 = 0x0b;
    pub(crate) const DB_POINTER: u8 = 0x0c;
    pub(crate) const CODE: u8 = 0x0d;
    pub(crate) const SYMBOL: u8 = 0x0e;
    pub(crate) const CODE_WITH_SCOPE: u8 = 0x0f;
    pub(crate) const INT32: u8 = 0x10;
    pub(crate) const TIMESTAMP: u8 = 0x11;
    pub(crate) const INT64: u8 = 0x12;
    pub(crate) const DECIMAL128: u8 = 0x13;
    pub(crate) const MIN_KEY: u8 = 0xff;
    pub(crate) const MAX_KEY: u8 = 0x7f;
}

/// A value as it lies in a document: its type and its bytes, lengths and terminators included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    pub(crate) kind: u8,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Value<'a> {
    pub(crate) const NULL: Value<'static> = Value { kind: kind::NULL, bytes: &[] };

    pub(crate) fn as_str(self) -> Option<&'a str> {
        (self.kind == kind::STRING).then(|| std::str::from_utf8(self.text()).ok())?
    }

    pub(crate) fn as_document(self) -> Option<&'a [u8]> {
        (self.kind == kind::DOCUMENT).then_some(self.bytes)
    }

    /// The elements of an array, in order.
    pub(crate) fn as_array(self) -> Option<impl Iterator<Item = Value<'a>>> {
        (self.kind == kind::ARRAY).then(|| Elements::new(self.bytes).map(|element| element.value))
    }

    /// A number of any type as a whole number; fractions are cut off.
    pub(crate) fn as_i64(self) -> Option<i64> {
        match self.kind {
            kind::INT32 => Some(i64::from(i32::from_le_bytes(fixed(self.bytes)))),
            kind::INT64 => Some(i64::from_le_bytes(fixed(self.bytes))),
            kind::DOUBLE => Some(f64::from_le_bytes(fixed(self.bytes)) as i64),
            _ => None,
        }
    }

    /// What the server takes for true: `true` and numbers other than zero.
    pub(crate) fn is_truthy(self) -> bool {
        match self.kind {
            kind::BOOL => self.bytes.first() == Some(&1),
            _ => self.as_i64().is_some_and(|number| number != 0),
        }
    }

    /// The bytes of a string, symbol or code without their length and terminator.
    pub(crate) fn text(self) -> &'a [u8] {
        self.bytes.get(4..self.bytes.len().saturating_sub(1)).unwrap_or_default()
    }
}

/// A named value, and where it ends in its document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: Value<'a>,
    /// The whole element: type, name and value.
    pub(crate) bytes: &'a [u8],
}

/// The elements of a document up to its end or to the first byte that cannot be followed.
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(crate) fn new(document: &'a [u8]) -> Self {
        Self { rest: document.get(4..).unwrap_or_default() }
    }

    /// Whether everything up to the terminator was readable.
    pub(crate) fn ended_well(&self) -> bool {
        self.rest == [0]
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&kind, after_kind) = self.rest.split_first()?;
        if kind == 0 {
            return None;
        }
        let name_len = c_string_len(after_kind)?;
        let after_name = after_kind.get(name_len + 1..)?;
        let value_len = value_len(kind, after_name)?;
        let value = Value { kind, bytes: after_name.get(..value_len)? };
        let (bytes, rest) = self.rest.split_at_checked(1 + name_len + 1 + value_len)?;
        self.rest = rest;
        Some(Element { name: &after_kind[..name_len], value, bytes })
    }
}

/// The value of a top-level field.
pub(crate) fn field<'a>(document: &'a [u8], name: &str) -> Option<Value<'a>> {
    Elements::new(document).find(|element| element.name == name.as_bytes()).map(|element| element.value)
}

/// The first `N` bytes; zeros stand in for what is missing.
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut fixed = [0; N];
    let len = N.min(bytes.len());
    fixed[..len].copy_from_slice(&bytes[..len]);
    fixed
}

pub(crate) fn c_string_len(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == 0)
}

fn value_len(kind: u8, bytes: &[u8]) -> Option<usize> {
    let prefix = || usize::try_from(i32::from_le_bytes(*bytes.first_chunk()?)).ok();
    Some(match kind {
        kind::NULL | kind::UNDEFINED | kind::MIN_KEY | kind::MAX_KEY => 0,
        kind::BOOL => 1,
        kind::INT32 => 4,
        kind::DOUBLE | kind::DATE | kind::TIMESTAMP | kind::INT64 => 8,
        kind::OBJECT_ID => 12,
        kind::DECIMAL128 => 16,
        kind::STRING | kind::CODE | kind::SYMBOL => 4 + prefix()?,
        kind::DB_POINTER => 4 + prefix()? + 12,
        kind::BINARY => 5 + prefix()?,
        kind::DOCUMENT | kind::ARRAY => prefix().filter(|&len| len >= 5)?,
        kind::CODE_WITH_SCOPE => prefix().filter(|&len| len >= 14)?,
        kind::REGEX => {
            let pattern = c_string_len(bytes)? + 1;
            pattern + c_string_len(bytes.get(pattern..)?)? + 1
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use bson::raw::cstr;
    use bson::{Bson, doc, rawdoc};

    use super::*;

    #[test]
    fn every_type_is_stepped_over() {
        let document = doc! {
            "double": 1.5, "string": "s", "document": {"a": 1}, "array": [1, 2],
            "binary": Bson::Binary(bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1, 2] }),
            "undefined": Bson::Undefined, "id": bson::oid::ObjectId::new(), "bool": true,
            "date": bson::DateTime::now(), "null": Bson::Null,
            "regex": Bson::RegularExpression(bson::Regex { pattern: cstr!("a").into(), options: cstr!("i").into() }),
            "code": Bson::JavaScriptCode("x".into()), "symbol": Bson::Symbol("y".into()),
            "scope": Bson::JavaScriptCodeWithScope(bson::JavaScriptCodeWithScope { code: "x".into(), scope: doc! {"a": 1} }),
            "int32": 1_i32, "timestamp": bson::Timestamp { time: 1, increment: 2 }, "int64": 2_i64,
            "decimal": Bson::Decimal128("1.5".parse().unwrap()), "min": Bson::MinKey, "max": Bson::MaxKey,
        };
        let bytes = document.to_vec().unwrap();
        let mut elements = Elements::new(&bytes);
        let names: Vec<&[u8]> = elements.by_ref().map(|element| element.name).collect();
        assert_eq!(names, document.keys().map(String::as_bytes).collect::<Vec<_>>());
        assert!(elements.ended_well());
    }

    #[test]
    fn reading_stops_where_the_bytes_lie() {
        let mut bytes = rawdoc! { "_id": 7, "text": "four" }.into_bytes();
        let length_of_text = bytes.len() - 1 - 5 - 4;
        bytes[length_of_text] = 200;
        assert_eq!(field(&bytes, "_id").and_then(Value::as_i64), Some(7));
        let mut elements = Elements::new(&bytes);
        assert_eq!(elements.by_ref().count(), 1);
        assert!(!elements.ended_well());
    }
}
