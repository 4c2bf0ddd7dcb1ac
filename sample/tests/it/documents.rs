//! The MongoDB collections: every document is valid or bad for its reason, and the valid ones fit together.

use std::collections::{BTreeMap, BTreeSet};

use quickchat_sample::{BadCounts, Collection, Reason, SampleOptions};
use serde_json::Value;

use crate::export::{Export, id, millis};
use crate::rules;

const JSON: [Collection; 5] =
    [Collection::Messages, Collection::Users, Collection::Conversations, Collection::Calls, Collection::Notifications];

const DAY_MS: i64 = 86_400_000;

fn options() -> SampleOptions {
    SampleOptions { messages: 20_000, users: Some(300), bad_share: 0.02, ..SampleOptions::default() }
}

fn end_ms() -> i64 {
    options().end.timestamp_millis()
}

fn counts(bad: &BadCounts) -> BTreeMap<Reason, u64> {
    bad.iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn every_bad_document_is_counted_under_its_reason() {
    let export = Export::new(&options());
    for collection in JSON {
        let summary = export.summary.collection(collection).unwrap();
        let mut found = BTreeMap::new();
        let lines = export.lines(collection);
        for line in &lines {
            if let Err(reason) = rules::check(collection, line) {
                *found.entry(reason).or_insert(0) += 1;
            }
        }
        assert_eq!(found, counts(&summary.bad), "{collection}");
        let rate = summary.bad.total() as f64 / summary.distinct as f64;
        assert!((0.018..0.022).contains(&rate) || summary.bad.total() == 1, "{collection}: {rate}");
        assert_eq!(lines.len() as u64, summary.documents(), "{collection}");
    }
    let messages = export.summary.collection(Collection::Messages).unwrap();
    assert_eq!(counts(&messages.bad).len(), Reason::ALL.len());
}

#[test]
fn bad_documents_are_all_different() {
    let export = Export::new(&options());
    for collection in JSON {
        let mut bad = export.lines(collection);
        bad.retain(|line| rules::check(collection, line).is_err());
        let total = bad.len();
        assert_eq!(bad.into_iter().collect::<BTreeSet<_>>().len(), total, "{collection}");
    }
}

#[test]
fn without_a_share_nothing_is_bad() {
    let export = Export::new(&SampleOptions { messages: 3000, bad_share: 0.0, ..SampleOptions::default() });
    for collection in JSON {
        assert_eq!(export.summary.collection(collection).unwrap().bad.total(), 0);
        assert!(export.lines(collection).iter().all(|line| rules::check(collection, line).is_ok()));
    }
}

#[test]
fn distinct_updated_and_repeated_are_as_counted_and_there_is_no_tie() {
    let export = Export::new(&options());
    for collection in JSON {
        let mut states: BTreeMap<String, Vec<(i64, Vec<u8>)>> = BTreeMap::new();
        for line in export.lines(collection) {
            if let Ok(document) = rules::check(collection, &line) {
                let created = millis(&document["createdAt"]).unwrap();
                let updated = millis(&document["updatedAt"]).or(millis(&document["readAt"])).unwrap_or(created);
                states.entry(id(&document["_id"]).unwrap().to_owned()).or_default().push((updated, line));
            }
        }
        let (mut again_equal, mut again_other) = (0, 0);
        for versions in states.values() {
            for (position, (updated, line)) in versions.iter().enumerate().skip(1) {
                let (first_updated, first_line) = &versions[0];
                assert_eq!(position, 1, "{collection}: no document comes more than twice");
                assert_eq!(updated == first_updated, line == first_line, "{collection}: equal times, other content");
                if line == first_line {
                    again_equal += 1;
                } else {
                    again_other += 1;
                }
            }
        }
        let summary = export.summary.collection(collection).unwrap();
        assert_eq!(states.len() as u64, summary.distinct, "{collection}");
        assert_eq!((again_other, again_equal), (summary.updated, summary.repeated), "{collection}");
    }
    let messages = export.summary.collection(Collection::Messages).unwrap();
    assert_eq!(messages.distinct, 20_000);
    assert!(messages.updated > 150 && messages.repeated > 50, "{messages:?}");
}

#[test]
fn references_point_to_what_exists() {
    let export = Export::new(&options());
    let ids = |collection| -> BTreeSet<String> {
        export.documents(collection).iter().map(|document| id(&document["_id"]).unwrap().to_owned()).collect()
    };
    let (users, conversations, message_ids) =
        (ids(Collection::Users), ids(Collection::Conversations), ids(Collection::Messages));
    let mut orphans = BTreeSet::new();
    let mut replies = 0;
    for message in export.documents(Collection::Messages) {
        assert!(conversations.contains(id(&message["conversationId"]).unwrap()));
        if !users.contains(id(&message["senderId"]).unwrap()) {
            orphans.insert(id(&message["_id"]).unwrap().to_owned());
        }
        if let Some(target) = id(&message["replyTo"]) {
            assert!(message_ids.contains(target));
            replies += 1;
        }
    }
    assert_eq!(orphans.len() as u64, export.summary.orphan_messages);
    assert!(!orphans.is_empty() && orphans.len() < 60, "{}", orphans.len());
    assert!(replies > 1000, "{replies}");
    for call in export.documents(Collection::Calls) {
        assert!(users.contains(id(&call["initiatorId"]).unwrap()));
    }
    for conversation in export.documents(Collection::Conversations) {
        let last = id(&conversation["lastMessage"]).or(id(&conversation["lastMessageId"]));
        assert!(last.is_none_or(|last| message_ids.contains(last)));
    }
}

#[test]
fn senders_are_mostly_participants() {
    let export = Export::new(&options());
    let mut members: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for conversation in export.documents(Collection::Conversations) {
        let list = conversation["participants"].as_array().unwrap();
        let users = list.iter().map(|entry| id(entry).or(id(&entry["userId"])).unwrap().to_owned());
        members.insert(id(&conversation["_id"]).unwrap().to_owned(), users.collect());
    }
    let messages = export.documents(Collection::Messages);
    let inside = messages
        .iter()
        .filter(|message| members[id(&message["conversationId"]).unwrap()].contains(id(&message["senderId"]).unwrap()));
    let share = inside.count() as f64 / messages.len() as f64;
    assert!((0.98..1.0).contains(&share), "{share}");
    assert!(members.values().any(|users| users.len() > 10));
    let single = members.values().filter(|users| users.len() == 2).count() as f64 / members.len() as f64;
    assert!((0.6..0.9).contains(&single), "{single}");
}

/// Every date but those of the future: `expiresAt`.
fn check_dates(value: &Value, low: i64, high: i64) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let is_date = key.ends_with("At") || key.ends_with("Time") || key == "lastSeen";
                if is_date && key != "expiresAt" && !field.is_null() {
                    let ms = millis(field).unwrap();
                    assert!((low..high).contains(&ms), "{key}: {field}");
                } else {
                    check_dates(field, low, high);
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| check_dates(element, low, high)),
        _ => (),
    }
}

#[test]
fn dates_lie_in_the_range() {
    let export = Export::new(&SampleOptions { days: 30, ..options() });
    let start = end_ms() - 30 * DAY_MS;
    for collection in JSON {
        let history = match collection {
            Collection::Users => 730 * DAY_MS,
            Collection::Conversations => 730 * DAY_MS,
            _ => 0,
        };
        for document in export.documents(collection) {
            check_dates(&document, start - history, end_ms());
            let created = millis(&document["createdAt"]).unwrap();
            let embedded = u32::from_str_radix(&id(&document["_id"]).unwrap()[..8], 16).unwrap();
            assert_eq!(i64::from(embedded), created / 1000, "{collection}");
            let updated = millis(&document["updatedAt"]).unwrap_or(created);
            assert!(updated >= created, "{document}");
        }
    }
}

#[test]
fn both_shapes_and_both_dialects_occur() {
    let export = Export::new(&options());
    for collection in JSON {
        let lines = export.lines(collection);
        let share = |wanted: &dyn Fn(&str) -> bool| {
            let texts = lines.iter().filter_map(|line| std::str::from_utf8(line).ok());
            texts.filter(|text| wanted(text)).count() as f64 / lines.len() as f64
        };
        let app = match collection {
            Collection::Messages => share(&|text| text.contains("\"status\":")),
            Collection::Users => share(&|text| text.contains("\"refreshTokens\":")),
            Collection::Conversations => share(&|text| text.contains("\"settings\":")),
            Collection::Calls => share(&|text| text.contains("\"quality\":")),
            _ => share(&|text| text.contains("\"deepLink\":")),
        };
        assert!((0.4..0.6).contains(&app), "{collection}: {app}");
        let canonical = share(&|text| text.contains("\"$numberLong\":") && text.contains("\"$date\":{"));
        assert!((0.05..0.2).contains(&canonical), "{collection}: {canonical}");
    }
}

#[test]
fn messages_have_every_feature() {
    let export = Export::new(&options());
    let messages = export.documents(Collection::Messages);
    let share = |wanted: &dyn Fn(&Value) -> bool| {
        messages.iter().filter(|message| wanted(message)).count() as f64 / messages.len() as f64
    };
    let has = |key: &'static str| share(&move |message| message.get(key).is_some_and(|value| !value.is_null()));
    assert!((0.10..0.30).contains(&has("encryptedContent")), "{}", has("encryptedContent"));
    assert!((0.05..0.20).contains(&has("replyTo")), "{}", has("replyTo"));
    assert!(has("readReceipts") > 0.1 && has("readBy") > 0.1);
    assert!(has("deletedAt") > 0.005 && has("expiresAt") > 0.005);
    assert!(share(&|message| message["isEdited"] == true) > 0.02);
    assert!(share(&|message| message["reactions"][0]["createdAt"].is_null()) > 0.02);
    assert!(share(&|message| message["reactions"][1].is_object()) > 0.01);
    assert!(share(&|message| message["attachments"][0]["filename"].is_string()) > 0.03);
    assert!(share(&|message| message["attachments"][0]["fileName"].is_string()) > 0.03);
    for name in ["text", "image", "video", "audio", "file", "call", "huddle", "system", "poll"] {
        assert!(share(&|message| message["type"] == name) > 0.0, "{name}");
    }
    assert!(share(&|message| message["type"].is_null()) > 0.0);
    let lengths: BTreeSet<usize> =
        messages.iter().filter_map(|message| message["content"].as_str()).map(str::len).collect();
    assert!(lengths.len() > 300 && lengths.last().is_some_and(|longest| *longest > 1000));
}

#[test]
fn calls_have_every_status() {
    let export = Export::new(&options());
    let calls = export.documents(Collection::Calls);
    for status in ["ended", "completed", "missed", "rejected", "failed", "initiated", "ongoing"] {
        assert!(calls.iter().any(|call| call["status"] == status), "{status}");
    }
    let ended = |call: &&Value| call["status"] == "ended" || call["status"] == "completed";
    assert!(calls.iter().filter(ended).any(|call| call["duration"].is_null()));
    assert!(calls.iter().any(|call| call["participants"][0]["joinedAt"].is_object()));
    assert!(calls.iter().any(|call| call["participantIds"].is_array()));
}

/// A message of about 500 bytes, so that 200,000 messages are an export of about 104 MB.
#[test]
fn documents_have_the_usual_size() {
    let export = Export::new(&SampleOptions { messages: 20_000, ..SampleOptions::default() });
    let bytes = export.summary.bytes() as f64 / 20_000.0;
    assert!((490.0..560.0).contains(&bytes), "{bytes} bytes a message, all files counted");
}

/// The rule that names secret fields, for the keys that occur here.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace(['_', '-'], "");
    let parts = ["password", "publickey", "privatekey", "token", "secret", "backupcode", "passcode", "twofactor"];
    key != "twofactorenabled" && (parts.iter().any(|part| key.contains(part)) || key.starts_with("otp"))
}

fn without_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !is_secret(key));
            fields.values_mut().for_each(without_secrets);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_secrets),
        _ => (),
    }
}

#[test]
fn canaries_stand_in_secret_fields_only() {
    let export = Export::new(&options());
    for collection in JSON {
        for line in export.lines(collection) {
            if let Ok(mut document) = serde_json::from_slice::<Value>(&line) {
                without_secrets(&mut document);
                assert!(!document.to_string().contains("CANARY"), "{document}");
            } else {
                // What cannot be parsed is cut before the first secret key.
                let text = String::from_utf8_lossy(&line);
                let canary = text.find("CANARY").unwrap_or(text.len());
                let key = ["\"sessionToken\"", "\"password\""].into_iter().filter_map(|key| text.find(key)).min();
                let key = key.unwrap_or(text.len());
                assert!(key <= canary, "{text}");
            }
        }
    }
    let users = export.documents(Collection::Users);
    assert!(users.iter().all(|user| user["password"].as_str().unwrap().starts_with("CANARY-")));
}
