//! The rules of decoding, one by one, with their border values.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, UInt8Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;

use super::*;
use crate::schema::{ORDINAL_COLUMN, OUTPUT_COLUMN, OUTPUT_DOCUMENT, OUTPUT_REJECT, READ_COLUMN, REJECT_COLUMN};

const MESSAGE: &str = r#""_id":"m","conversationId":"c","senderId":"s","createdAt":"2024-01-01T00:00:00Z""#;
const USER: &str = r#""_id":"u","createdAt":"2024-01-01T00:00:00Z""#;
const CALL: &str = r#""_id":"k","initiatorId":"i","createdAt":"2024-01-01T00:00:00Z""#;

fn decode(collection: Collection, lines: &[&[u8]]) -> RecordBatch {
    let mut decoder = Decoder::new(collection);
    for (line, number) in lines.iter().zip(1..) {
        let ordinal = i64::try_from(number).unwrap();
        decoder.push_line(line, Place { ordinal, line: number });
    }
    decoder.push_tally(lines.len() as u64);
    decoder.finish("mongodb/file.json", 100).unwrap()
}

fn cell(batch: &RecordBatch, row: usize, column: &str) -> Option<String> {
    let array = batch.column_by_name(column).unwrap();
    array.is_valid(row).then(|| array_value_to_string(array, row).unwrap())
}

fn reject(batch: &RecordBatch, row: usize, field: &str) -> Option<String> {
    let rejects = batch.column_by_name(REJECT_COLUMN).unwrap().as_struct();
    let array = rejects.column_by_name(field).unwrap();
    (rejects.is_valid(row) && array.is_valid(row)).then(|| array_value_to_string(array, row).unwrap())
}

/// A column of one document, or the reason and field of its rejection.
fn one(collection: Collection, document: &str, column: &str) -> Result<Option<String>, (String, String)> {
    let batch = decode(collection, &[document.as_bytes()]);
    let output = batch.column_by_name(OUTPUT_COLUMN).unwrap().as_primitive::<UInt8Type>();
    if output.value(0) == OUTPUT_DOCUMENT {
        Ok(cell(&batch, 0, column))
    } else {
        assert_eq!(output.value(0), OUTPUT_REJECT);
        Err((reject(&batch, 0, "reason").unwrap(), reject(&batch, 0, "field").unwrap_or_default()))
    }
}

fn message(fields: &str, column: &str) -> Result<Option<String>, (String, String)> {
    one(Collection::Messages, &format!("{{{MESSAGE},{fields}}}"), column)
}

fn user(fields: &str, column: &str) -> Result<Option<String>, (String, String)> {
    one(Collection::Users, &format!("{{{USER},{fields}}}"), column)
}

fn call(fields: &str, column: &str) -> Result<Option<String>, (String, String)> {
    one(Collection::Calls, &format!("{{{CALL},{fields}}}"), column)
}

fn ok(text: &str) -> Result<Option<String>, (String, String)> {
    Ok(Some(text.to_owned()))
}

fn bad(reason: &str, field: &str) -> Result<Option<String>, (String, String)> {
    Err((reason.to_owned(), field.to_owned()))
}

#[test]
fn the_documented_shape() {
    let line = br#"{"_id":{"$oid":"65D4F0A1B2C3D4E5F6A7B8C9"},"conversationId":{"$oid":"65d4f0a1b2c3d4e5f6a7b8c0"},"senderId":{"$oid":"65d4f0a1b2c3d4e5f6a7b8c1"},"type":"image","content":"hi","attachments":[{"type":"image","url":"u","filename":"f","size":5,"mimeType":"image/png","thumbnailUrl":"t","duration":1.5,"width":10,"height":20}],"reactions":[{"userId":{"$oid":"65d4f0a1b2c3d4e5f6a7b8c2"},"emoji":"+","createdAt":{"$date":"2024-01-01T00:00:01Z"}}],"readBy":["a",{"$oid":"65D4F0A1B2C3D4E5F6A7B8C3"}],"replyTo":"r","isEdited":true,"isDeleted":false,"isForwarded":true,"createdAt":{"$date":"2024-01-01T00:00:00.123Z"},"updatedAt":{"$date":{"$numberLong":"1704067201000"}},"deletedAt":1704067202000,"expiresAt":null}"#;
    let batch = decode(Collection::Messages, &[line]);
    for (column, expected) in [
        ("message_id", Some("65d4f0a1b2c3d4e5f6a7b8c9")),
        ("conversation_id", Some("65d4f0a1b2c3d4e5f6a7b8c0")),
        ("sender_id", Some("65d4f0a1b2c3d4e5f6a7b8c1")),
        ("message_type", Some("image")),
        ("content", Some("hi")),
        ("is_encrypted", Some("false")),
        ("reply_to_message_id", Some("r")),
        (
            "attachments",
            Some(
                "[{type: image, url: u, filename: f, size_bytes: 5, mime_type: image/png, thumbnail_url: t, duration_seconds: 1.5, width: 10, height: 20}]",
            ),
        ),
        ("reactions", Some("[{user_id: 65d4f0a1b2c3d4e5f6a7b8c2, emoji: +, created_at: 2024-01-01T00:00:01Z}]")),
        ("read_by", Some("[{user_id: a, read_at: }, {user_id: 65d4f0a1b2c3d4e5f6a7b8c3, read_at: }]")),
        ("is_edited", Some("true")),
        ("is_deleted", Some("false")),
        ("is_forwarded", Some("true")),
        ("created_at", Some("2024-01-01T00:00:00.123Z")),
        ("updated_at", Some("2024-01-01T00:00:01Z")),
        ("deleted_at", Some("2024-01-01T00:00:02Z")),
        ("expires_at", None),
        (OUTPUT_COLUMN, Some("0")),
        (ORDINAL_COLUMN, Some("1")),
        (READ_COLUMN, None),
    ] {
        assert_eq!(cell(&batch, 0, column).as_deref(), expected, "{column}");
    }
    assert_eq!(cell(&batch, 1, OUTPUT_COLUMN).as_deref(), Some("2"));
    assert_eq!(cell(&batch, 1, READ_COLUMN).as_deref(), Some("1"));
    assert_eq!(cell(&batch, 1, "attachments"), None);
}

#[test]
fn the_applications_shape() {
    let fields = r#""attachments":[{"fileName":"f","fileSize":{"$numberLong":"7"}},{}],"readReceipts":[{"userId":"a","readAt":"2024-01-02"}],"readBy":["z"],"updatedAt":null"#;
    assert_eq!(
        message(fields, "attachments"),
        ok(
            "[{type: , url: , filename: f, size_bytes: 7, mime_type: , thumbnail_url: , duration_seconds: , width: , height: }, {type: , url: , filename: , size_bytes: , mime_type: , thumbnail_url: , duration_seconds: , width: , height: }]"
        )
    );
    assert_eq!(message(fields, "read_by"), ok("[{user_id: a, read_at: 2024-01-02T00:00:00Z}]"));
    assert_eq!(message(fields, "updated_at"), ok("2024-01-01T00:00:00Z"));
    assert_eq!(message(fields, "message_type"), ok("text"));
    assert_eq!(message(fields, "reactions"), ok("[]"));
}

#[test]
fn users_and_their_defaults() {
    for (fields, column, expected) in [
        (r#""phoneNumber":"5""#, "phone_number", ok("5")),
        (r#""phoneNumber":5"#, "phone_number", bad("wrong_type", "phoneNumber")),
        (r#""email":"""#, "email", ok("")),
        (r#""username":"n","displayName":"d""#, "display_name", ok("d")),
        (r#""avatar":"a","bio":"b""#, "avatar", ok("a")),
        (r#""lastSeen":{"$date":5}"#, "last_seen_at", ok("1970-01-01T00:00:00.005Z")),
        (r#""isOnline":true"#, "is_online", ok("true")),
        (r#""isOnline":false,"status":"online""#, "is_online", ok("false")),
        (r#""isOnline":null,"status":"online""#, "is_online", ok("true")),
        (r#""status":"online""#, "is_online", ok("true")),
        (r#""status":"Online""#, "is_online", ok("false")),
        (r#""isOnline":"true""#, "is_online", bad("wrong_type", "isOnline")),
        (r#""isOnline":1"#, "is_online", bad("wrong_type", "isOnline")),
        (r#""x":1"#, "role", ok("user")),
        (r#""role":"admin""#, "role", ok("admin")),
        (r#""x":1"#, "is_banned", ok("false")),
        (r#""isVerified":true"#, "is_verified", ok("true")),
        (r#""x":1"#, "linked_device_count", ok("0")),
        (r#""linkedDevices":[{"token":"t"},1,[2]]"#, "linked_device_count", ok("3")),
        (r#""linkedDevices":{}"#, "linked_device_count", bad("wrong_type", "linkedDevices")),
        (r#""password":5,"publicKey":{"a":[]}"#, "user_id", ok("u")),
        (r#""x":1"#, "updated_at", ok("2024-01-01T00:00:00Z")),
    ] {
        assert_eq!(user(fields, column), expected, "{fields} {column}");
    }
}

#[test]
fn conversations() {
    let conversation =
        |fields: &str, column: &str| one(Collection::Conversations, &format!("{{{USER},{fields}}}"), column);
    for (fields, column, expected) in [
        (r#""x":1"#, "type", ok("single")),
        (r#""type":"channel""#, "type", ok("channel")),
        (
            r#""participants":["a",{"$oid":"65d4f0a1b2c3d4e5f6a7b8c9"},{"userId":"b","joinedAt":"2024-01-01","role":5}]"#,
            "participants",
            ok(
                "[{user_id: a, joined_at: }, {user_id: 65d4f0a1b2c3d4e5f6a7b8c9, joined_at: }, {user_id: b, joined_at: 2024-01-01T00:00:00Z}]",
            ),
        ),
        (r#""participants":["a","a"]"#, "participants", ok("[{user_id: a, joined_at: }, {user_id: a, joined_at: }]")),
        (r#""participants":[null]"#, "participants", bad("wrong_type", "participants[]")),
        (r#""participants":[7]"#, "participants", bad("wrong_type", "participants[]")),
        (r#""participants":[""]"#, "participants", bad("missing_key", "participants[]")),
        (r#""participants":[{}]"#, "participants", bad("missing_key", "participants[].userId")),
        (r#""participants":[{"userId":""}]"#, "participants", bad("missing_key", "participants[].userId")),
        (r#""participants":[{"$uuid":"x"}]"#, "participants", bad("wrong_type", "participants[]")),
        (
            r#""participants":[{"userId":"a","joinedAt":"x"}]"#,
            "participants",
            bad("bad_date", "participants[].joinedAt"),
        ),
        (r#""participants":"a""#, "participants", bad("wrong_type", "participants")),
        (r#""admins":["a",{"$oid":"65D4f0a1b2c3d4e5f6a7b8c9"}]"#, "admins", ok("[a, 65d4f0a1b2c3d4e5f6a7b8c9]")),
        (r#""admins":[{"userId":"a"}]"#, "admins", bad("wrong_type", "admins[]")),
        (r#""admins":[null]"#, "admins", bad("wrong_type", "admins[]")),
        (r#""admins":null"#, "admins", ok("[]")),
        (r#""lastMessageId":"a","lastMessage":"b""#, "last_message_id", ok("a")),
        (r#""lastMessageId":null,"lastMessage":"b""#, "last_message_id", ok("b")),
        (r#""lastMessageId":"a","lastMessage":7"#, "last_message_id", ok("a")),
        (r#""lastMessage":7"#, "last_message_id", bad("wrong_type", "lastMessage")),
        (r#""lastMessageId":"","lastMessage":"b""#, "last_message_id", Ok(None)),
        (r#""createdBy":"x","name":"n","isLocked":true"#, "created_by", ok("x")),
    ] {
        assert_eq!(conversation(fields, column), expected, "{fields} {column}");
    }
}

#[test]
fn calls() {
    let times = r#""startTime":"2024-01-01T00:00:00Z","endedAt":"2024-01-01T00:01:00.5Z""#;
    let with = |more: &str| format!("{times},{more}");
    for (fields, column, expected) in [
        (times.to_owned(), "duration_seconds", ok("60.5")),
        (with(r#""duration":null"#), "duration_seconds", ok("60.5")),
        (with(r#""duration":3"#), "duration_seconds", ok("3.0")),
        (with(r#""duration":0"#), "duration_seconds", ok("0.0")),
        (with(r#""duration":-1"#), "duration_seconds", Ok(None)),
        (with(r#""duration":{"$numberDouble":"2.5"}"#), "duration_seconds", ok("2.5")),
        (with(r#""duration":{"$numberDouble":"NaN"}"#), "duration_seconds", bad("wrong_type", "duration")),
        (with(r#""duration":{"$numberDouble":"-Infinity"}"#), "duration_seconds", bad("wrong_type", "duration")),
        (with(r#""duration":"3""#), "duration_seconds", bad("wrong_type", "duration")),
        (with(r#""duration":1e400"#), "duration_seconds", bad("wrong_type", "duration")),
        (r#""startedAt":"2024-01-01T00:01:00Z","endTime":"2024-01-01T00:00:00Z""#.into(), "duration_seconds", Ok(None)),
        (r#""startedAt":"2024-01-01""#.into(), "duration_seconds", Ok(None)),
        (r#""startTime":"2024-01-01","startedAt":"2024-01-02""#.into(), "started_at", ok("2024-01-01T00:00:00Z")),
        (r#""startTime":null,"startedAt":"2024-01-02""#.into(), "started_at", ok("2024-01-02T00:00:00Z")),
        (r#""status":"completed""#.into(), "status", ok("ended")),
        (r#""status":"ended""#.into(), "status", ok("ended")),
        (r#""status":"ringing""#.into(), "status", ok("ringing")),
        (r#""x":1"#.into(), "status", Ok(None)),
        (r#""x":1"#.into(), "type", Ok(None)),
        (
            r#""participantIds":["a"],"participants":[]"#.into(),
            "participants",
            ok("[{user_id: a, joined_at: , left_at: }]"),
        ),
        (
            r#""participantIds":["a"],"participants":[{"userId":"b","leftAt":"2024-01-01","isInitiator":true}]"#.into(),
            "participants",
            ok("[{user_id: b, joined_at: , left_at: 2024-01-01T00:00:00Z}]"),
        ),
        (r#""participantIds":[{"userId":"b"}]"#.into(), "participants", ok("[{user_id: b, joined_at: , left_at: }]")),
        (
            r#""participantIds":5,"participants":[{"userId":"b"}]"#.into(),
            "participants",
            bad("wrong_type", "participantIds"),
        ),
        (
            r#""participantIds":[7],"participants":[{"userId":"b"}]"#.into(),
            "participants",
            ok("[{user_id: b, joined_at: , left_at: }]"),
        ),
        (r#""participants":{}"#.into(), "participants", bad("wrong_type", "participants")),
    ] {
        assert_eq!(call(&fields, column), expected, "{fields} {column}");
    }
}

#[test]
fn missing_keys() {
    for (collection, required) in [
        (Collection::Messages, &["_id", "conversationId", "senderId", "createdAt"][..]),
        (Collection::Users, &["_id", "createdAt"]),
        (Collection::Conversations, &["_id", "createdAt"]),
        (Collection::Calls, &["_id", "initiatorId", "createdAt"]),
    ] {
        let all = ["_id", "conversationId", "senderId", "initiatorId", "createdAt"];
        for missing in required {
            for replacement in [None, Some("null"), Some("\"\"")] {
                let members: Vec<String> = all
                    .iter()
                    .filter_map(|name| match replacement {
                        _ if name != missing => Some(format!("\"{name}\":\"2024-01-01\"")),
                        Some(value) => Some(format!("\"{name}\":{value}")),
                        None => None,
                    })
                    .collect();
                let document = format!("{{{}}}", members.join(","));
                let expected = if *missing == "createdAt" && replacement == Some("\"\"") {
                    bad("bad_date", "createdAt")
                } else {
                    bad("missing_key", missing)
                };
                assert_eq!(one(collection, &document, "created_at"), expected, "{document}");
            }
        }
    }
    for (fields, expected) in [
        (r#""reactions":[{"emoji":"+"}]"#, bad("missing_key", "reactions[].userId")),
        (r#""reactions":[{"userId":"u"}]"#, bad("missing_key", "reactions[].emoji")),
        (r#""reactions":[{"userId":"u","emoji":null}]"#, bad("missing_key", "reactions[].emoji")),
        (r#""reactions":["u"]"#, bad("wrong_type", "reactions[]")),
        (r#""reactions":[{"userId":"u","emoji":""}]"#, ok("[{user_id: u, emoji: , created_at: }]")),
        (r#""readReceipts":[{"readAt":"2024-01-01"}]"#, bad("missing_key", "readReceipts[].userId")),
    ] {
        assert_eq!(message(fields, "reactions"), expected, "{fields}");
    }
}

#[test]
fn ids() {
    for (id, expected) in [
        (r#"{"$oid":"65D4F0A1B2C3D4E5F6A7B8C9"}"#, ok("65d4f0a1b2c3d4e5f6a7b8c9")),
        (r#""65D4F0A1B2C3D4E5F6A7B8C9""#, ok("65D4F0A1B2C3D4E5F6A7B8C9")),
        (r#"" a ""#, ok(" a ")),
        (r#""é\u0000""#, ok("é\0")),
        (r#"{"$oid":"65d4f0a1b2c3d4e5f6a7b8c"}"#, bad("wrong_type", "_id")),
        (r#"{"$oid":"65d4f0a1b2c3d4e5f6a7b8cg"}"#, bad("wrong_type", "_id")),
        (r#"{"$oid":""}"#, bad("wrong_type", "_id")),
        (r#"{"$oid":5}"#, bad("wrong_type", "_id")),
        (r#"{"$oid":"65d4f0a1b2c3d4e5f6a7b8c9","x":1}"#, bad("wrong_type", "_id")),
        (r#"{"$uuid":"8b1c5a9e-0000-0000-0000-000000000000"}"#, bad("wrong_type", "_id")),
        ("7", bad("wrong_type", "_id")),
        ("{}", bad("wrong_type", "_id")),
        ("[]", bad("wrong_type", "_id")),
        ("true", bad("wrong_type", "_id")),
    ] {
        let document = format!("{{\"_id\":{id},\"createdAt\":\"2024-01-01\"}}");
        assert_eq!(one(Collection::Users, &document, "user_id"), expected, "{id}");
    }
    assert_eq!(message(r#""replyTo":"""#, "reply_to_message_id"), Ok(None));
    assert_eq!(message(r#""replyTo":7"#, "reply_to_message_id"), bad("wrong_type", "replyTo"));
}

#[test]
fn dates() {
    let instant = ok("2024-02-29T00:00:00Z");
    let failed = bad("bad_date", "lastSeen");
    for (date, expected) in [
        (r#""2024-02-29""#, instant.clone()),
        (r#""2024-02-29T00:00:00.000Z""#, instant.clone()),
        (r#""2024-02-29T01:00:00+0100""#, instant.clone()),
        ("1709164800000", instant.clone()),
        ("1.7091648e12", instant.clone()),
        (r#"{"$numberLong":"1709164800000"}"#, instant.clone()),
        (r#"{"$numberInt":"0"}"#, ok("1970-01-01T00:00:00Z")),
        (r#"{"$date":"2024-02-29T00:00:00Z"}"#, instant.clone()),
        (r#"{"$date":1709164800000}"#, instant.clone()),
        (r#"{"$date":{"$numberLong":"1709164800000"}}"#, instant.clone()),
        ("253402300799999", ok("9999-12-31T23:59:59.999Z")),
        (r#"{"$date":{"$numberLong":"-1"}}"#, failed.clone()),
        (r#"{"$date":{"$numberInt":"5"}}"#, failed.clone()),
        (r#"{"$date":{"$numberLong":5}}"#, failed.clone()),
        (r#"{"$date":{"$numberLong":"+5"}}"#, failed.clone()),
        (r#"{"$date":{"$numberLong":"5.0"}}"#, failed.clone()),
        (r#"{"$date":[]}"#, failed.clone()),
        (r#"{"$date":null}"#, failed.clone()),
        (r#"{"$date":"x"}"#, failed.clone()),
        (r#"{"$date":"2024-01-01","x":1}"#, failed.clone()),
        (r#"{"$numberDouble":"5.0"}"#, failed.clone()),
        (r#"{"$timestamp":{"t":1,"i":1}}"#, failed.clone()),
        ("{}", failed.clone()),
        ("-1", failed.clone()),
        ("1.5", failed.clone()),
        ("253402300800000", failed.clone()),
        ("1e400", failed.clone()),
        ("1234567890123456789012345678901234567890", failed.clone()),
        ("true", failed.clone()),
        ("[]", failed.clone()),
        (r#""1709164800000""#, failed.clone()),
        (r#""1969-12-31T23:59:59Z""#, failed.clone()),
        (r#""10000-01-01""#, failed.clone()),
        (r#""2024-01-01T23:59:60Z""#, failed.clone()),
        (r#""2024-01-01T24:00:00Z""#, failed.clone()),
        (r#""""#, failed.clone()),
        ("null", Ok(None)),
        (r#""2024-01-01\ud800""#, bad("invalid_utf8", "lastSeen")),
    ] {
        assert_eq!(user(&format!("\"lastSeen\":{date}"), "last_seen_at"), expected, "{date}");
    }
}

#[test]
fn numbers() {
    let failed = |field: &str| bad("wrong_type", &format!("attachments[].{field}"));
    let attachment = |field: &str, value: &str| {
        message(&format!("\"attachments\":[{{\"{field}\":{value}}}]"), "attachments").map(|cell| {
            let cell = cell.unwrap();
            let name = match field {
                "size" | "fileSize" => "size_bytes",
                "duration" => "duration_seconds",
                other => other,
            };
            let tail = cell.split(&format!("{name}: ")).nth(1).unwrap();
            Some(tail.split([',', '}']).next().unwrap().to_owned())
        })
    };
    for (field, value, expected) in [
        ("size", "5", ok("5")),
        ("size", "5.0", ok("5")),
        ("size", "-5", ok("-5")),
        ("size", "5e3", ok("5000")),
        ("size", "9223372036854775807", ok("9223372036854775807")),
        ("size", "9223372036854775808", failed("size")),
        ("size", "-9223372036854775808", ok("-9223372036854775808")),
        ("size", "9.3e18", failed("size")),
        ("size", "1234567890123456789012345678901234567890", failed("size")),
        ("size", "1e400", failed("size")),
        ("size", "5.5", failed("size")),
        ("size", r#""5""#, failed("size")),
        ("size", "true", failed("size")),
        ("size", r#"{"$numberInt":"5"}"#, ok("5")),
        ("size", r#"{"$numberLong":"-7"}"#, ok("-7")),
        ("size", r#"{"$numberDouble":"5.0"}"#, ok("5")),
        ("size", r#"{"$numberDouble":"5.5"}"#, failed("size")),
        ("size", r#"{"$numberDecimal":"5"}"#, failed("size")),
        ("size", r#"{"$numberLong":"x"}"#, failed("size")),
        ("size", r#"{"$numberLong":5}"#, failed("size")),
        ("width", "2147483647", ok("2147483647")),
        ("width", "2147483648", failed("width")),
        ("height", "-2147483648", ok("-2147483648")),
        ("height", "-2147483649", failed("height")),
        ("duration", "7", ok("7.0")),
        ("duration", "-7.5", ok("-7.5")),
        ("duration", "18446744073709551615", ok("1.8446744073709552e19")),
        ("duration", r#"{"$numberInt":"3"}"#, ok("3.0")),
        ("duration", r#"{"$numberDouble":"Infinity"}"#, failed("duration")),
        ("duration", "1e400", failed("duration")),
        ("duration", "1e-400", ok("0.0")),
    ] {
        assert_eq!(attachment(field, value), expected, "{field} {value}");
    }
}

#[test]
fn aliases_prefer_the_first_that_is_not_null() {
    for (fields, expected) in [
        (r#"{"filename":"a","fileName":"b"}"#, "filename: a,"),
        (r#"{"fileName":"b","filename":null}"#, "filename: b,"),
        (r#"{"filename":"","fileName":"b"}"#, "filename: ,"),
        (r#"{"size":1,"fileSize":2}"#, "size_bytes: 1,"),
        (r#"{"fileSize":2}"#, "size_bytes: 2,"),
        (r#"{"size":1,"fileSize":"x"}"#, "size_bytes: 1,"),
    ] {
        let cell = message(&format!("\"attachments\":[{fields}]"), "attachments").unwrap().unwrap();
        assert!(cell.contains(expected), "{fields}: {cell}");
    }
    for (fields, expected) in [
        (r#""readBy":["a"],"readReceipts":[]"#, ok("[{user_id: a, read_at: }]")),
        (r#""readBy":["a"],"readReceipts":null"#, ok("[{user_id: a, read_at: }]")),
        (r#""readBy":[{"userId":"a","readAt":5}]"#, ok("[{user_id: a, read_at: 1970-01-01T00:00:00.005Z}]")),
        (r#""readReceipts":["a"]"#, ok("[{user_id: a, read_at: }]")),
        (r#""readBy":"a","readReceipts":[{"userId":"b"}]"#, bad("wrong_type", "readBy")),
        (r#""readBy":["a"],"readReceipts":5"#, bad("wrong_type", "readReceipts")),
        (r#""readBy":[5],"readReceipts":[{"userId":"b"}]"#, ok("[{user_id: b, read_at: }]")),
        (r#""readBy":[],"readReceipts":[]"#, ok("[]")),
    ] {
        assert_eq!(message(fields, "read_by"), expected, "{fields}");
    }
}

#[test]
fn encryption() {
    for (fields, content, encrypted) in [
        (r#""encryptedContent":{"a":[1]}"#, Ok(None), "true"),
        (r#""encryptedContent":"x","content":null"#, Ok(None), "true"),
        (r#""encryptedContent":"x","content":"""#, ok(""), "false"),
        (r#""encryptedContent":"x","content":"c""#, ok("c"), "false"),
        (r#""encryptedContent":null"#, Ok(None), "false"),
        (r#""isEncrypted":true"#, Ok(None), "false"),
        (r#""encryptedContent":false"#, Ok(None), "true"),
    ] {
        assert_eq!(message(fields, "content"), content, "{fields}");
        assert_eq!(message(fields, "is_encrypted"), ok(encrypted), "{fields}");
    }
    assert_eq!(message(r#""content":5"#, "content"), bad("wrong_type", "content"));
}

#[test]
fn unknown_fields_are_ignored_whatever_they_hold() {
    for field in [
        r#""x":{"$date":"nonsense"}"#,
        r#""x":"\ud800""#,
        r#""\udfff":1"#,
        r#""x":1e999"#,
        r#""x":-123456789012345678901234567890123456789012345"#,
        r#""x":[{"_id":5,"createdAt":5}]"#,
        r#""__v":0"#,
    ] {
        assert_eq!(message(field, "message_id"), ok("m"), "{field}");
    }
}

#[test]
fn lone_surrogates_count_only_in_decoded_strings() {
    assert_eq!(message(r#""content":"a\ud800b""#, "content"), bad("invalid_utf8", "content"));
    assert_eq!(message(r#""content":"\ud83d\ude00","x":"\ud83d""#, "content"), ok("😀"));
    assert_eq!(message(r#""replyTo":"\udc00""#, "content"), bad("invalid_utf8", "replyTo"));
    assert_eq!(
        message(r#""reactions":[{"userId":"u","emoji":"\ud83d"}]"#, "content"),
        bad("invalid_utf8", "reactions[].emoji")
    );
    assert_eq!(message(r#""content":"a\u0000b""#, "content"), ok("a\0b"));
}

#[test]
fn of_duplicate_keys_the_last_wins() {
    assert_eq!(message(r#""content":5,"content":"b""#, "content"), ok("b"));
    assert_eq!(message(r#""content":"b","content":null"#, "content"), Ok(None));
    assert_eq!(message(r#""c\u006fntent":"b""#, "content"), ok("b"));
    assert_eq!(
        message(r#""reactions":[{"userId":5,"userId":"u","emoji":"+"}]"#, "reactions"),
        ok("[{user_id: u, emoji: +, created_at: }]")
    );
    let twice = r#"{"_id":{"$oid":"x","$oid":"65d4f0a1b2c3d4e5f6a7b8c9"},"createdAt":1}"#;
    assert_eq!(one(Collection::Users, twice, "user_id"), ok("65d4f0a1b2c3d4e5f6a7b8c9"));
}

#[test]
fn depth() {
    let nested = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        user(&format!("\"x\":{value}"), "user_id")
    };
    assert_eq!(nested(99), ok("u"));
    assert_eq!(nested(100), bad("too_deep", ""));
    assert_eq!(nested(200), bad("too_deep", ""));
}

#[test]
fn rejects_say_what_where_and_why_without_secrets() {
    let lines: [&[u8]; 6] = [
        br#"{"_id":"a","createdAt":5}"#,
        br#"{"_id":7, "password":"hunter2", "x":{"otp":1}}"#,
        b"{\"a\":\"\xff\"}",
        br#"{"a":1,"token":"t"#,
        b"[1]",
        br#"{"_id":"b","createdAt":5}"#,
    ];
    let batch = decode(Collection::Users, &lines);
    assert_eq!(batch.num_rows(), 7);
    for (row, raw, reason) in [
        (1, r#"{"_id":7,"x":{}}"#, "wrong_type"),
        (2, "{\"a\":\"\u{fffd}\"}", "invalid_utf8"),
        (3, r#"{"a":1,…[cut]"#, "invalid_json"),
        (4, "[1]", "not_an_object"),
    ] {
        assert_eq!(cell(&batch, row, OUTPUT_COLUMN).as_deref(), Some("1"));
        assert_eq!(reject(&batch, row, "raw").as_deref(), Some(raw));
        assert_eq!(reject(&batch, row, "reason").as_deref(), Some(reason));
        assert_eq!(reject(&batch, row, "document_sha256"), Some(sha256_hex(lines[row])));
        assert_eq!(reject(&batch, row, "source_position"), Some(format!("mongodb/file.json:{}", 101 + row)));
        assert_eq!(cell(&batch, row, "user_id"), None);
    }
    assert_eq!(reject(&batch, 1, "field").as_deref(), Some("_id"));
    assert_eq!(reject(&batch, 2, "field"), None);
    // A rejected document leaves nothing in the columns of its neighbours.
    assert_eq!(cell(&batch, 0, "user_id").as_deref(), Some("a"));
    assert_eq!(cell(&batch, 5, "user_id").as_deref(), Some("b"));
    assert_eq!(reject(&batch, 5, "raw"), None);
    assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn a_document_that_fails_late_leaves_no_elements_behind() {
    let lines: [&[u8]; 2] = [
        br#"{"_id":"a","conversationId":"c","senderId":"s","createdAt":5,"reactions":[{"userId":"u","emoji":"+"}],"expiresAt":"x"}"#,
        br#"{"_id":"b","conversationId":"c","senderId":"s","createdAt":5,"reactions":[{"userId":"v","emoji":"-"}]}"#,
    ];
    let batch = decode(Collection::Messages, &lines);
    assert_eq!(cell(&batch, 0, "reactions"), None);
    assert_eq!(cell(&batch, 1, "reactions").as_deref(), Some("[{user_id: v, emoji: -, created_at: }]"));
    let lists = batch.column_by_name("reactions").unwrap().as_list::<i32>();
    assert_eq!(lists.values().len(), 1);
}

#[test]
fn projections_build_only_what_is_asked_and_reject_all_the_same() {
    let full = crate::output_schema(Collection::Users);
    let index = |name: &str| full.index_of(name).unwrap();
    let projection = [index(READ_COLUMN), index("role"), index(OUTPUT_COLUMN)];
    let mut decoder = Decoder::projected(Collection::Users, Some(&projection));
    let place = |line| Place { ordinal: 0, line };
    decoder.push_line(br#"{"_id":"u","createdAt":5}"#, place(1));
    decoder.push_line(br#"{"_id":"u","createdAt":5,"email":7}"#, place(2));
    decoder.push_tally(2);
    let batch = decoder.finish("f", 0).unwrap();
    assert_eq!(batch.schema().as_ref(), &full.project(&projection).unwrap());
    let output = batch.column(2).as_primitive::<UInt8Type>();
    assert_eq!(output.values(), &[0, 1, 2]);
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(2), 2);

    let mut nothing = Decoder::projected(Collection::Users, Some(&[]));
    nothing.push_line(br#"{"_id":"u","createdAt":5}"#, place(1));
    nothing.push_tally(1);
    assert_eq!(nothing.finish("f", 0).unwrap().num_rows(), 2);
}

#[test]
fn batches_have_the_scans_schema_and_are_bounded() {
    for collection in Collection::ALL {
        let mut decoder = Decoder::new(collection);
        let batch = decoder.finish("f", 0).unwrap();
        assert_eq!(batch.schema(), crate::output_schema(collection));
    }
    let mut decoder = Decoder::new(Collection::Users);
    let wide = format!("{{{USER},\"bio\":\"{}\"}}", "x".repeat(1 << 20));
    let mut rows = 0;
    while !decoder.is_full() {
        decoder.push_line(wide.as_bytes(), Place { ordinal: 0, line: 1 });
        rows += 1;
    }
    assert_eq!((rows, decoder.rows(), decoder.rejects()), (8, 8, 0));
    decoder.finish("f", 0).unwrap();
    assert!(!decoder.is_full());
}

#[test]
fn a_document_of_16_mb() {
    let text = "é\\n".repeat((16 << 20) / 4);
    let fields = format!("\"content\":\"{text}\"");
    let content = message(&fields, "content").unwrap().unwrap();
    assert_eq!(content, text.replace("\\n", "\n"));
}

fn notification(fields: &str, column: &str) -> Result<Option<String>, (String, String)> {
    let known = r#""_id":"n","userId":"u","createdAt":"2024-01-02T00:00:00Z""#;
    one(Collection::Notifications, &format!("{{{known},{fields}}}"), column)
}

#[test]
fn a_notification_changes_when_it_is_read() {
    for (fields, updated) in [
        (r#""type":"x""#, "2024-01-02T00:00:00Z"),
        (r#""readAt":"2024-01-03T00:00:00Z""#, "2024-01-03T00:00:00Z"),
        (r#""readAt":"2024-01-01T00:00:00Z""#, "2024-01-02T00:00:00Z"),
        (r#""readAt":"2024-01-03T00:00:00Z","updatedAt":"2024-01-01T00:00:00Z""#, "2024-01-01T00:00:00Z"),
        (r#""readAt":"2024-01-03T00:00:00Z","updatedAt":null"#, "2024-01-03T00:00:00Z"),
    ] {
        assert_eq!(notification(fields, "updated_at"), ok(updated), "{fields}");
    }
    assert_eq!(notification(r#""isRead":true"#, "is_read"), ok("true"));
    assert_eq!(notification(r#""readAt":"2024-01-03T00:00:00Z""#, "is_read"), ok("false"));
    assert_eq!(notification(r#""userId":null"#, "user_id"), bad("missing_key", "userId"));
    assert_eq!(notification(r#""readAt":"soon""#, "read_at"), bad("bad_date", "readAt"));
    assert_eq!(notification(r#""title":5"#, "title"), bad("wrong_type", "title"));
}

#[test]
fn columns_are_those_of_the_contract() {
    let columns = |collection: Collection| -> String {
        collection
            .columns()
            .fields()
            .iter()
            .map(|field| format!("{}{}", field.name(), if field.is_nullable() { "?" } else { "" }))
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (collection, expected) in [
        (
            Collection::Messages,
            "message_id conversation_id sender_id message_type content? is_encrypted reply_to_message_id? attachments reactions read_by is_edited is_deleted is_forwarded created_at updated_at deleted_at? expires_at?",
        ),
        (
            Collection::Users,
            "user_id phone_number? email? username? display_name? avatar? bio? status? last_seen_at? is_online role is_banned is_verified linked_device_count created_at updated_at",
        ),
        (
            Collection::Conversations,
            "conversation_id type name? avatar? participants admins last_message_id? last_message_at? is_archived is_locked created_by? created_at updated_at",
        ),
        (
            Collection::Calls,
            "call_id conversation_id? initiator_id participants type? status? started_at? ended_at? duration_seconds? created_at updated_at",
        ),
        (
            Collection::AuthUsers,
            "auth_user_id email? external_id? status? email_verified? two_factor_enabled? failed_login_attempts? locked_until? last_login_at? login_count? created_at? updated_at?",
        ),
        (Collection::Notifications, "notification_id user_id type? title? is_read created_at read_at? updated_at"),
        (
            Collection::AuthSessions,
            "session_id auth_user_id? device_id? device_name? ip_address? is_revoked revoked_at? revoked_reason? expires_at? created_at updated_at",
        ),
        (
            Collection::AuditLogs,
            "audit_id auth_user_id? email? event_type? status? ip_address? device_id? country? city? failure_reason? request_id? session_id? created_at",
        ),
        (Collection::Media, "key size_bytes etag? last_modified content_type"),
    ] {
        assert_eq!(columns(collection), expected);
        assert_eq!(Collection::from_name(collection.name()), Some(collection));
    }
}

#[test]
fn object_ids_and_literals_in_elements() {
    let fields = r#""participants":[{"userId":{"$oid":"65D4F0A1B2C3D4E5F6A7B8C9"}}]"#;
    assert_eq!(
        one(Collection::Conversations, &format!("{{{USER},{fields}}}"), "participants"),
        ok("[{user_id: 65d4f0a1b2c3d4e5f6a7b8c9, joined_at: }]")
    );
}
