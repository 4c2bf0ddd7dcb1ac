//! BSON against its specification, and against the same documents as extended JSON.

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use bson::oid::ObjectId;
use bson::raw::cstr;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp, doc};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::Collection;
use crate::column::{Column, Kind};
use crate::decode::{Decoder, Place};
use crate::schema::REJECT_COLUMN;

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn encode(document: &Document) -> Vec<u8> {
    bson::RawDocumentBuf::try_from(document).unwrap().into_bytes()
}

fn decode(collection: Collection, push: impl FnOnce(&mut Decoder)) -> RecordBatch {
    let mut decoder = Decoder::new(collection);
    push(&mut decoder);
    decoder.finish("messages", 0).unwrap()
}

const PLACE: Place = Place { ordinal: 1, line: 1 };

fn of_bson(collection: Collection, bytes: &[u8]) -> RecordBatch {
    decode(collection, |decoder| decoder.push_bson(bytes, PLACE))
}

/// Reason, field, raw text and position of a rejected document.
fn reject(collection: Collection, bytes: &[u8]) -> [String; 4] {
    let batch = of_bson(collection, bytes);
    let reject = batch.column_by_name(REJECT_COLUMN).unwrap().as_struct();
    assert!(reject.is_valid(0), "the document is taken");
    ["reason", "field", "raw", "source_position"].map(|name| {
        let column = reject.column_by_name(name).unwrap();
        column.as_string::<i32>().iter().next().flatten().unwrap_or_default().to_owned()
    })
}

#[test]
fn a_broken_structure_is_seen_and_nothing_of_it_is_read() {
    // The errors of the public BSON corpus, each of another kind.
    for hex in [
        // The document's own length.
        "0400000000",
        "05000000",
        "0500000001",
        "05000000FF",
        "00000000000000000000",
        "1200000002666F6F0004000000626172",
        "1200000002666F6F000400000062617201",
        "1200000002666F6F00040000006261720000DEADBEEF",
        "1300000002666F6F00040000006261720000",
        "1100000002666F6F00040000006261720000",
        "1200000002666F",
        "FFFFFFFF00",
        "",
        // Types that there are not.
        "07000000800000",
        "07000000140000",
        // Texts.
        "0C0000000261000000000000",
        "0C000000026100FFFFFFFF00",
        "10000000026100050000006200620000",
        "120000000200FFFFFF00666F6F6261720000",
        "1000000002610004000000616263FF00",
        "0E00000002610001000000000000",
        "0C0000000E61000000000000",
        "0C0000000D61000000000000",
        // Values that are cut off.
        "090000001061000500",
        "0C0000001261001234567800",
        "0B0000000164000000F03F00",
        "0C0000000961001234567800",
        "0F0000001161002A00000015CD5B00",
        "1200000007610056E1FC72E0C917E9C471",
        "1700000013640000000000000000000000000000000000",
        // A boolean is 0 or 1.
        "090000000862000200",
        "09000000086200FF00",
        // Lists and documents that are longer or shorter than they say.
        "140000000461000D0000001030000A0000000000",
        "140000000461000B0000001030000A0000000000",
        "1A00000004666F6F00100000000230000500000062617A000000",
        "1800000003666F6F000F0000001062617200FFFFFF7F0000",
        "1500000003666F6F000A0000000862617200010000",
        "1C00000003666F6F001200000002626172000500000062617A000000",
        // Bytes.
        "1D000000057800FF0000000573FFD26444B34C6990E8E7D1DFC035D400",
        "0D000000057800FFFFFFFF0000",
        // A pattern without its second end, a pointer without its id, code without its scope.
        "0F0000000B610061620000",
        "1A0000000C61000200000062005601000000000000000000",
        "100000000F6100080000000100000000",
    ] {
        let bytes = bytes_of(hex);
        let failure = BsonDocument::check(&bytes, &mut Vec::new()).expect_err(hex);
        assert_eq!(failure.reason, Reason::InvalidBson, "{hex}");
        assert_eq!(reject(Collection::Users, &bytes)[0], "invalid_bson", "{hex}");
    }
}

#[test]
fn every_type_passes_where_nobody_reads_it() {
    let id = ObjectId::parse_str("65d4f0a1b2c3d4e5f6a7b8c9").unwrap();
    let created = DateTime::from_millis(1_700_000_000_000);
    let mut document = doc! { "_id": id, "createdAt": created };
    for (index, value) in odd_values().into_iter().enumerate() {
        document.insert(format!("unknown{index}"), value);
    }
    let batch = of_bson(Collection::Users, &encode(&document));
    assert_eq!(batch.column_by_name("user_id").unwrap().as_string::<i32>().value(0), "65d4f0a1b2c3d4e5f6a7b8c9");
}

fn odd_values() -> Vec<Bson> {
    vec![
        Bson::Null,
        Bson::Undefined,
        Bson::MinKey,
        Bson::MaxKey,
        Bson::Decimal128(Decimal128::from_bytes([1; 16])),
        Bson::Timestamp(Timestamp { time: 7, increment: 1 }),
        Bson::Symbol("s".to_owned()),
        Bson::JavaScriptCode("f()".to_owned()),
        Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "f()".to_owned(), scope: doc! { "a": 1 } }),
        Bson::RegularExpression(Regex { pattern: cstr!("a").into(), options: cstr!("i").into() }),
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2, 3] }),
        Bson::Double(f64::NAN),
        Bson::Double(f64::NEG_INFINITY),
        Bson::Document(doc! {}),
        Bson::Array(vec![]),
    ]
}

#[test]
fn values_of_types_that_the_contract_does_not_take_are_put_aside() {
    let created = DateTime::from_millis(0);
    for value in [Bson::Decimal128(Decimal128::from_bytes([1; 16])), Bson::MinKey, Bson::MaxKey, Bson::Int32(5)] {
        let document = doc! { "_id": "u1", "createdAt": created, "phoneNumber": &value };
        let [reason, field, _, position] = reject(Collection::Users, &encode(&document));
        assert_eq!((reason.as_str(), field.as_str(), position.as_str()), ("wrong_type", "phoneNumber", "messages:u1"));
        let document = doc! { "_id": &value, "createdAt": created };
        assert_eq!(reject(Collection::Users, &encode(&document))[..2], ["wrong_type", "_id"]);
    }
    for value in [Bson::DateTime(DateTime::from_millis(-1)), Bson::Timestamp(Timestamp { time: 7, increment: 1 })] {
        let document = doc! { "_id": "u1", "createdAt": value };
        assert_eq!(reject(Collection::Users, &encode(&document))[..2], ["bad_date", "createdAt"]);
    }
}

#[test]
fn text_that_is_not_utf8_is_put_aside_where_it_is_read() {
    let broken = |name: &str| {
        let document = doc! { "_id": "u1", "createdAt": DateTime::from_millis(0), name: "AB", "otpHash": "secret" };
        let mut bytes = encode(&document);
        let at = bytes.windows(2).position(|pair| pair == b"AB").unwrap();
        bytes[at] = 0xE9;
        bytes
    };
    let [reason, field, raw, _] = reject(Collection::Users, &broken("displayName"));
    assert_eq!((reason.as_str(), field.as_str()), ("invalid_utf8", "displayName"));
    assert!(raw.contains("\"displayName\":\"\u{fffd}B\"") && !raw.contains("secret"), "{raw}");
    let batch = of_bson(Collection::Users, &broken("somethingElse"));
    assert!(batch.column_by_name(REJECT_COLUMN).unwrap().is_null(0));
}

#[test]
fn nesting_is_bounded_without_recursion() {
    let nested = |depth: usize| {
        let mut bytes = bytes_of("0500000000");
        for _ in 1..depth {
            let length = u32::try_from(bytes.len() + 8).unwrap().to_le_bytes();
            bytes = [&length[..], b"\x03a\x00", &bytes, b"\x00"].concat();
        }
        bytes
    };
    assert!(BsonDocument::check(&nested(MAX_DEPTH), &mut Vec::new()).is_ok());
    for depth in [MAX_DEPTH + 1, 10_000] {
        let bytes = nested(depth);
        assert_eq!(BsonDocument::check(&bytes, &mut Vec::new()).unwrap_err().reason, Reason::TooDeep);
        let [reason, _, raw, _] = reject(Collection::Users, &bytes);
        assert_eq!(reason, "too_deep");
        assert!(raw.len() < 2_000, "{}", raw.len());
    }
}

#[test]
fn a_rejected_document_is_shown_without_its_secrets() {
    let document = doc! {
        "_id": "u1",
        "password": "p",
        "linkedDevices": [{ "id": 1_i64, "pushToken": "t" }],
        "x": { "otp": [1], "y": 1.5, "z": DateTime::from_millis(5), "n": 5_i32, "q": "\"é" },
    };
    assert_eq!(
        redacted(&encode(&document)),
        r#"{"_id":"u1","linkedDevices":[{"id":{"$numberLong":"1"}}],"x":{"y":{"$numberDouble":"1.5"},"z":{"$date":{"$numberLong":"5"}},"n":{"$numberInt":"5"},"q":"\"é"}}"#
    );
    assert_eq!(reject(Collection::Users, &encode(&document))[..2], ["missing_key", "createdAt"]);
}

#[test]
fn a_document_means_the_same_as_bson_and_as_extended_json() {
    let mut random = StdRng::seed_from_u64(5);
    let collections = [
        Collection::Messages,
        Collection::Users,
        Collection::Conversations,
        Collection::Calls,
        Collection::Notifications,
    ];
    let (mut taken, mut rejected) = (0, 0);
    for round in 0..4_000 {
        let collection = collections[round % collections.len()];
        let document = random_document(&mut random, collection.layout().columns);
        let bytes = encode(&document);
        let line = redacted(&bytes);
        let json = decode(collection, |decoder| decoder.push_line(line.as_bytes(), PLACE));
        let bson = of_bson(collection, &bytes);
        let reject = bson.schema().index_of(REJECT_COLUMN).unwrap();
        let columns: Vec<usize> = (0..bson.num_columns()).filter(|column| *column != reject).collect();
        let show =
            |batch: &RecordBatch| pretty_format_batches(&[batch.project(&columns).unwrap()]).unwrap().to_string();
        assert_eq!(show(&bson), show(&json), "{line}");
        if bson.column(reject).is_null(0) {
            taken += 1;
        } else {
            rejected += 1;
            let reason =
                |batch: &RecordBatch| batch.column(reject).as_struct().column(2).as_string::<i32>().value(0).to_owned();
            assert_eq!(reason(&bson), reason(&json), "{line}");
        }
    }
    assert!(taken > 500 && rejected > 500, "{taken} taken, {rejected} rejected");
}

fn random_document(random: &mut StdRng, columns: &[Column]) -> Document {
    let mut document = Document::new();
    let odd = random.random_bool(0.3);
    for column in columns {
        for field in column.fields {
            if random.random_bool(0.8) {
                let is_odd = odd && random.random_bool(0.05);
                document.insert(*field, if is_odd { odd_value(random) } else { fitting(random, column.kind) });
            }
        }
    }
    document
}

/// A value of an odd type, as far as extended JSON shows it.
fn odd_value(random: &mut StdRng) -> Bson {
    let is_shown = |value: &Bson| {
        !matches!(value, Bson::JavaScriptCodeWithScope(_) | Bson::RegularExpression(_) | Bson::Binary(_))
    };
    let shown: Vec<Bson> = odd_values().into_iter().filter(is_shown).collect();
    shown.choose(random).cloned().unwrap()
}

fn fitting(random: &mut StdRng, kind: Kind) -> Bson {
    let id = |random: &mut StdRng| match random.random_range(0..3) {
        0 => Bson::ObjectId(ObjectId::from_bytes(random.random())),
        1 => "".into(),
        _ => format!("id-{}", random.random_range(0..9)).into(),
    };
    let number = |random: &mut StdRng| match random.random_range(0..4) {
        0 => Bson::Int32(random.random()),
        1 => Bson::Int64(random.random_range(-5..4_000_000_000)),
        2 => Bson::Double(f64::from(random.random_range(-5..5))),
        _ => Bson::Double(random.random_range(0.0..9.0)),
    };
    match kind {
        Kind::Id => id(random),
        Kind::Text => {
            ["", "é\u{0}😀", "online", "completed", "group"].choose(random).map(|text| (*text).into()).unwrap()
        }
        Kind::Boolean => random.random_bool(0.5).into(),
        Kind::Int | Kind::Long | Kind::Double => number(random),
        Kind::Time => match random.random_range(0..4) {
            0 => "2024-02-29T12:00:00.5Z".into(),
            1 => Bson::Int64(1_700_000_000_000),
            2 => Bson::Null,
            _ => Bson::DateTime(DateTime::from_millis(random.random_range(0..2_000_000_000_000))),
        },
        Kind::Present => odd_value(random),
        Kind::Length => Bson::Array((0..random.random_range(0..4)).map(|_| odd_value(random)).collect()),
        Kind::Ids => Bson::Array((0..random.random_range(0..4)).map(|_| id(random)).collect()),
        Kind::Structs(items) => {
            let element = |random: &mut StdRng| match items.bare_ids && random.random_bool(0.3) {
                true => id(random),
                false => Bson::Document(random_document(random, items.columns)),
            };
            Bson::Array((0..random.random_range(0..4)).map(|_| element(random)).collect())
        }
    }
}

#[test]
fn names_end_at_the_first_zero() {
    for len in 0..40 {
        for rest in 0..10 {
            // The byte after a zero and those with a top bit are what a trick with words may get wrong.
            for other in [1, 0x7F, 0x80, 0xFF] {
                let mut bytes = vec![other; len];
                assert_eq!(name_len(&bytes), None);
                bytes.push(0);
                bytes.extend(std::iter::repeat_n(other, rest));
                assert_eq!(name_len(&bytes), Some(len), "{bytes:?}");
            }
        }
    }
}
