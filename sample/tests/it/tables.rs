//! The MySQL tables: every row is valid or bad for its reason, and accounts join users both ways.

use std::collections::{BTreeMap, BTreeSet};

use quickchat_sample::{Collection, Reason, SampleOptions};
use serde_json::Value;

use crate::export::{Export, id, millis};

const TABLES: [Collection; 3] = [Collection::AuthUsers, Collection::AuthSessions, Collection::AuditLogs];

fn options() -> SampleOptions {
    SampleOptions { messages: 5000, users: Some(400), bad_share: 0.03, ..SampleOptions::default() }
}

/// A table's columns by name and its rows.
fn rows(export: &Export, table: Collection) -> (Vec<String>, Vec<csv::ByteRecord>) {
    let bytes = export.contents(table).concat();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(&bytes[..]);
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (header, reader.into_byte_records().map(Result::unwrap).collect())
}

/// A valid row by column name, or why it is bad.
fn check(header: &[String], row: &csv::ByteRecord) -> Result<BTreeMap<String, String>, Reason> {
    let texts: Result<Vec<&str>, _> = row.iter().map(std::str::from_utf8).collect();
    let texts = texts.map_err(|_| Reason::InvalidUtf8)?;
    if texts.len() != header.len() {
        return Err(Reason::WrongType);
    }
    for (name, text) in header.iter().zip(&texts) {
        let is_null = matches!(*text, "" | "\\N") || text.starts_with("0000-00-00");
        let is_required = name == "id" || name == "created_at";
        let is_time = name.ends_with("_at") || name.ends_with("_until");
        let is_flag = name == "is_revoked" || name == "two_factor_enabled";
        if is_required && is_null {
            return Err(Reason::MissingKey);
        }
        let time = millis(&Value::from(*text));
        if is_time
            && !is_null
            && !time.is_some_and(|ms| (0..options().end.timestamp_millis() + 31 * 86_400_000).contains(&ms))
        {
            return Err(Reason::BadDate);
        }
        if is_flag && !matches!(*text, "0" | "1") {
            return Err(Reason::WrongType);
        }
    }
    Ok(header.iter().cloned().zip(texts.into_iter().map(str::to_owned)).collect())
}

#[test]
fn every_bad_row_is_counted_under_its_reason() {
    let export = Export::new(&options());
    for table in TABLES {
        let (header, rows) = rows(&export, table);
        let mut found: BTreeMap<Reason, u64> = BTreeMap::new();
        let mut ids = BTreeMap::new();
        for row in &rows {
            match check(&header, row) {
                Ok(columns) => *ids.entry(columns["id"].clone()).or_insert(0) += 1,
                Err(reason) => *found.entry(reason).or_insert(0) += 1,
            }
        }
        let summary = export.summary.collection(table).unwrap();
        let expected: BTreeMap<Reason, u64> = summary.bad.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(found, expected, "{table}");
        assert_eq!(found.len(), 4, "{table}");
        assert_eq!(ids.len() as u64, summary.distinct, "{table}");
        assert_eq!(ids.values().sum::<u64>(), summary.distinct + summary.updated + summary.repeated, "{table}");
        assert_eq!(rows.len() as u64, summary.documents(), "{table}");
    }
}

#[test]
fn there_is_no_tie() {
    let export = Export::new(&options());
    for table in TABLES {
        let (header, rows) = rows(&export, table);
        let mut first: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for columns in rows.iter().filter_map(|row| check(&header, row).ok()) {
            let updated = |columns: &BTreeMap<String, String>| {
                let time = columns.get("updated_at").or(columns.get("revoked_at")).filter(|time| *time != "\\N");
                time.unwrap_or(&columns["created_at"]).clone()
            };
            if let Some(earlier) = first.get(&columns["id"]) {
                assert_eq!(updated(&columns) == updated(earlier), columns == *earlier, "{table}: {columns:?}");
            } else {
                first.insert(columns["id"].clone(), columns);
            }
        }
    }
}

#[test]
fn accounts_join_by_external_id_and_by_email() {
    let export = Export::new(&options());
    let users = export.documents(Collection::Users);
    let ids: BTreeSet<&str> = users.iter().filter_map(|user| id(&user["_id"])).collect();
    let emails: BTreeSet<String> =
        users.iter().filter_map(|user| user["email"].as_str()).map(|email| email.trim().to_lowercase()).collect();
    let (header, rows) = rows(&export, Collection::AuthUsers);
    let (mut by_id, mut by_email, mut strangers) = (0, 0, 0);
    for columns in rows.iter().filter_map(|row| check(&header, row).ok()) {
        let external_id = columns["external_id"].as_str();
        if ids.contains(external_id) {
            by_id += 1;
        } else if external_id.is_empty() && emails.contains(&columns["email"].trim().to_lowercase()) {
            by_email += 1;
        } else {
            strangers += 1;
        }
    }
    assert!(by_id > 200 && by_email > 100 && (1..30).contains(&strangers), "{by_id} {by_email} {strangers}");
}

#[test]
fn sessions_belong_to_accounts() {
    let export = Export::new(&options());
    let (header, accounts) = rows(&export, Collection::AuthUsers);
    let accounts: BTreeSet<String> =
        accounts.iter().filter_map(|row| check(&header, row).ok()).map(|columns| columns["id"].clone()).collect();
    for table in [Collection::AuthSessions, Collection::AuditLogs] {
        let (header, rows) = rows(&export, table);
        for columns in rows.iter().filter_map(|row| check(&header, row).ok()) {
            let account = &columns["user_id"];
            assert!(accounts.contains(account) || account.is_empty(), "{table}: {account}");
        }
    }
}

#[test]
fn canaries_stand_in_secret_columns_only() {
    let export = Export::new(&options());
    let secrets = ["password_hash", "two_factor_secret", "backup_codes", "session_token_hash", "parent_token"];
    let mut seen = BTreeSet::new();
    for table in TABLES {
        let (header, rows) = rows(&export, table);
        for row in &rows {
            for (name, value) in header.iter().zip(row) {
                if String::from_utf8_lossy(value).contains("CANARY") {
                    assert!(secrets.contains(&name.as_str()), "{table}: {name}");
                    seen.insert(name.clone());
                }
            }
        }
    }
    assert_eq!(seen.len(), secrets.len());
}
