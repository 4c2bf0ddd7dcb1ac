//! Documents at and beyond the borders of what can be decoded, through the whole pipeline.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::fixtures::{RANDOM_AS_OF, assert_equals_reference, job, pipeline};
use crate::lake::{Tables, assert_no_landing};
use crate::process::{Ended, run, scratch};

/// The last instant that a timestamp of the lake can hold.
const LAST_INSTANT: &str = "9999-12-31T23:59:59.999999Z";
/// One millisecond later, as `mongoexport` writes it.
const YEAR_10000: &str = r#"{"$date":{"$numberLong":"253402300800000"}}"#;

struct Odd {
    exports: PathBuf,
    lake: PathBuf,
    ended: Ended,
    tables: Tables,
}

/// One run over all odd documents.
fn odd() -> &'static Odd {
    static ODD: OnceLock<Odd> = OnceLock::new();
    ODD.get_or_init(|| {
        let folder = scratch("odd");
        let (exports, lake) = (folder.join("exports"), folder.join("lake"));
        write_exports(&exports);
        let ended = run(&mut pipeline(&exports, &lake, RANDOM_AS_OF)).expect(0);
        let tables = Tables::read(&lake);
        Odd { exports, lake, ended, tables }
    })
}

fn write_exports(exports: &Path) {
    let mongodb = exports.join("mongodb");
    std::fs::create_dir_all(&mongodb).unwrap();
    let user = |id: &str, name: &str, created: &str, updated: &str| {
        json!({"_id": id, "displayName": name, "createdAt": {"$date": created}, "updatedAt": {"$date": updated}})
            .to_string()
    };
    let users = [
        user("twice", "newer", "2024-01-01T00:00:00Z", "2024-03-02T00:00:00Z"),
        user("twice", "older", "2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        user("first", "at the beginning of time", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        user("last", "at the end of time", LAST_INSTANT, LAST_INSTANT),
    ];
    std::fs::write(mongodb.join("users.json"), users.join("\n")).unwrap();
    let conversation = json!({
        "_id": "c", "type": "group", "participants": ["twice", "first", "last", "nobody"],
        "createdAt": {"$date": "2024-01-01T00:00:00Z"}, "lastMessageAt": {"$date": LAST_INSTANT},
    });
    std::fs::write(mongodb.join("conversations.json"), conversation.to_string()).unwrap();
    // An empty collection is exported as a file without a byte. Of auth users there is no file at all.
    std::fs::write(mongodb.join("calls.json"), "").unwrap();
    std::fs::write(mongodb.join("messages.json"), messages()).unwrap();
}

fn messages() -> Vec<u8> {
    let last = format!(r#"{{"$date":"{LAST_INSTANT}"}}"#);
    let usual = r#"{"$date":"2024-05-01T10:00:00Z"}"#;
    let line = |id: &str, sender: &str, created: &str, content: &str| {
        format!(
            r#"{{"_id":"{id}","conversationId":"c","senderId":"{sender}","createdAt":{created},"content":{content}}}"#
        )
        .into_bytes()
    };
    let big = format!("\"{}\"", "x".repeat(16 << 20));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let mut invalid = line("invalid", "twice", usual, "\"caf@\"");
    *invalid.iter_mut().rfind(|byte| **byte == b'@').unwrap() = 0xE9;
    [
        line("usual", "twice", usual, "\"hello\""),
        line("orphan", "nobody", usual, "\"who am I\""),
        line("big", "twice", usual, &big),
        line("last", "twice", &last, "\"good bye\""),
        line("first", "first", r#"{"$date":"1970-01-01T00:00:00Z"}"#, "\"hello world\""),
        line("deep", "twice", usual, &deep),
        invalid,
        line("1969", "twice", r#"{"$date":"1969-12-31T23:59:59.999Z"}"#, "null"),
        line("negative", "twice", r#"{"$date":{"$numberLong":"-1"}}"#, "null"),
        line("10000", "twice", YEAR_10000, "null"),
    ]
    .join(&b'\n')
}

#[test]
fn the_reference_computes_the_same_tables() {
    assert_equals_reference(&odd().lake, &[&odd().exports], RANDOM_AS_OF);
    assert_no_landing(&odd().lake);
}

#[test]
fn undecodable_documents_are_put_aside_with_their_reason() {
    let report = odd().ended.json();
    let messages = job(&report, "bronze.messages");
    assert_eq!([&messages["read"], &messages["written"], &messages["quarantined"]], [10, 5, 5], "{messages}");
    let mut found: Vec<(String, String)> = odd()
        .tables
        .rows("quarantine.messages")
        .iter()
        .map(|row| ["source_position", "reason"].map(|column| row[column].as_str().unwrap().to_owned()).into())
        .collect();
    found.sort();
    let expected = [(10, "bad_date"), (6, "too_deep"), (7, "invalid_utf8"), (8, "bad_date"), (9, "bad_date")]
        .map(|(line, reason)| (format!("mongodb/messages.json:{line}"), reason.to_owned()));
    assert_eq!(found, expected);
    let invalid = odd().tables.row("quarantine.messages", "reason", "invalid_utf8");
    assert!(invalid["raw"].as_str().unwrap().contains("caf\u{fffd}"), "{invalid:?}");
}

#[test]
fn of_two_users_with_one_id_the_newer_is_kept() {
    let report = odd().ended.json();
    let users = job(&report, "bronze.users");
    assert_eq!([&users["read"], &users["written"], &users["unchanged"]], [4, 3, 1], "{users}");
    assert_eq!(odd().tables.row("silver.users", "user_id", "twice")["display_name"], "newer");
}

#[test]
fn a_document_of_16_mib_is_read_as_any_other() {
    assert_eq!(odd().tables.row("silver.messages", "message_id", "big")["content_length"], 16 << 20);
}

#[test]
fn a_message_of_an_unknown_sender_counts_but_makes_no_user() {
    let tables = &odd().tables;
    let message = tables.row("silver.messages", "message_id", "orphan");
    assert_eq!([&message["sender_id"], &message["sender_name"]], [&"nobody".into(), &Value::Null]);
    let day = tables.row("gold.daily_metrics", "metric_date", "2024-05-01");
    assert_eq!([&day["active_users"], &day["total_messages"]], [2, 3], "{day:?}");
    let activity = tables.rows("silver.user_activity");
    let activity =
        activity.iter().find(|row| row["user_id"] == "nobody" && row["activity_date"] == "2024-05-01").unwrap();
    assert_eq!([&activity["messages_sent"], &activity["messages_received"]], [1, 2], "{activity:?}");
    for table in ["gold.user_engagement", "gold.ml_features"] {
        assert!(tables.rows(table).iter().all(|row| row["user_id"] != "nobody"), "{table}");
    }
}

/// The first and the last instant that the lake can hold.
#[test]
fn time_goes_from_1970_to_the_end_of_9999() {
    let tables = &odd().tables;
    let last = tables.row("silver.messages", "message_id", "last");
    assert_eq!(last["created_at"], "9999-12-31T23:59:59.999999Z");
    assert_eq!(
        [&last["created_date"], &last["hour"], &last["day_of_week"]],
        [&json!("9999-12-31"), &json!(23), &json!(5)]
    );
    assert_eq!(tables.row("silver.users", "user_id", "last")["account_age_days"], 0);
    assert_eq!(tables.row("silver.conversations", "conversation_id", "c")["days_since_last_message"], 0);
    // What lies after the run's instant is not in gold; the first date is that of the earliest event.
    assert!(tables.rows("gold.user_engagement").iter().all(|row| row["user_id"] != "last"));
    let dates: Vec<_> = tables.rows("gold.daily_metrics").into_iter().map(|row| row["metric_date"].clone()).collect();
    assert_eq!(
        (dates.iter().map(Value::to_string).min(), dates.iter().map(Value::to_string).max()),
        (Some("\"1970-01-01\"".to_owned()), Some("\"2024-05-19\"".to_owned()))
    );
}

#[test]
fn an_empty_file_and_a_missing_collection_give_empty_tables() {
    for table in [
        "bronze.calls",
        "silver.calls",
        "bronze.auth_users",
        "bronze.notifications",
        "bronze.auth_sessions",
        "bronze.audit_logs",
        "bronze.media",
        "silver.media",
    ] {
        assert!(odd().tables.rows(table).is_empty(), "{table}");
    }
    let warning = |text: &str| odd().ended.stderr.lines().any(|line| line.contains("WARN") && line.contains(text));
    for absent in ["auth_users", "notifications", "auth_sessions", "audit_logs", "media"] {
        assert!(warning(absent), "{absent}: {}", odd().ended);
    }
    assert!(warning("mongodb/calls.json"), "{}", odd().ended);
}
