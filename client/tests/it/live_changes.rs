//! What a run knows of a live system from earlier runs: how far it has read, which rows may be out of sight, and in which
//! table the rows are.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use mongodb::bson::{DateTime as BsonDateTime, Document, doc};
use serde_json::{Value, json};

use crate::fixtures::job;
use crate::lake::Tables;
use crate::live::{LiveSystems, required};
use crate::process::{python, run, scratch};

const USERS: &str = "bronze.users";
const ACCOUNTS: &str = "bronze.auth_users";

/// An export with one user and one account, both of long ago, the account in a table of this name.
fn export(folder: &Path, table: &str, account: u32) -> PathBuf {
    let exports = folder.join(format!("exports-{table}"));
    fs::create_dir_all(exports.join("media")).unwrap();
    let date = json!({"$date": "2020-05-01T00:00:00.000Z"});
    let user = json!({"_id": {"$oid": "5eab2b8000000000000000aa"}, "createdAt": date, "updatedAt": date});
    for (name, text) in [
        ("mongodb/users.json".to_owned(), format!("{user}\n")),
        (
            format!("mysql/{table}.csv"),
            format!("id,email,created_at,updated_at\n{account},x@y.z,2020-05-01 00:00:00,2020-05-01 00:00:00\n"),
        ),
    ] {
        let path = exports.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    exports
}

/// Does something to the users of a live system.
fn change_users<T>(live: &LiveSystems, change: impl AsyncFnOnce(mongodb::Collection<Document>) -> T) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = mongodb::Client::with_uri_str(required("QUICKCHAT_TEST_MONGODB_URI")).await.unwrap();
        change(client.database(&live.database).collection("users")).await
    })
}

fn user(id: &str, updated: DateTime<Utc>) -> Document {
    let updated = BsonDateTime::from_millis(updated.timestamp_millis());
    doc! { "_id": id, "createdAt": updated, "updatedAt": updated }
}

/// Now, as the command line takes it.
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn values(lake: &Path, table: &str, column: &str) -> Vec<String> {
    let rows = Tables::read(lake).rows(table).into_iter();
    let mut values: Vec<String> = rows.map(|row| row[column].as_str().unwrap().to_owned()).collect();
    values.sort_unstable();
    values
}

#[test]
fn a_document_that_is_dated_ahead_hides_no_later_change() {
    let folder = scratch("dated-ahead");
    let lake = folder.join("lake");
    let live = LiveSystems::with(&export(&folder, "users", 1));
    let ahead: DateTime<Utc> = "2199-06-01T00:00:00Z".parse().unwrap();
    live.insert_user(user("ahead", ahead));
    run(&mut live.select(USERS, &lake, "2200-01-01")).expect(0);
    live.insert_user(user("later", Utc::now()));
    run(&mut live.select(USERS, &lake, &now())).expect(0);
    assert_eq!(values(&lake, USERS, "user_id"), ["5eab2b8000000000000000aa", "ahead", "later"]);

    // The same where another release has already noted a day to come.
    let log = lake.join("bronze/users/_delta_log");
    let newest = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let newest = newest.filter(|path| path.extension().is_some_and(|extension| extension == "json")).max().unwrap();
    let text = fs::read_to_string(&newest).unwrap();
    let noted = text.lines().map(|line| {
        let mut action: Value = serde_json::from_str(line).unwrap();
        if let Some(value) = action.pointer_mut("/commitInfo/quickchat/watermark/value") {
            assert!(value.as_str().unwrap() < "2199", "{value}");
            *value = "2199-06-01T00:00:00.000000Z".into();
        }
        action.to_string()
    });
    fs::write(&newest, noted.collect::<Vec<_>>().join("\n")).unwrap();
    live.insert_user(user("last", Utc::now()));
    let report = run(&mut live.select(USERS, &lake, &now())).expect(0).json();
    assert_eq!(job(&report, USERS)["decision"]["action"], "incremental");
    assert_eq!(values(&lake, USERS, "user_id"), ["5eab2b8000000000000000aa", "ahead", "last", "later"]);
}

/// Ids may come from a server that has not seen yet what another one has.
#[test]
fn what_changed_just_now_is_not_marked_as_gone() {
    let folder = scratch("not-yet-there");
    let lake = folder.join("lake");
    let live = LiveSystems::with(&export(&folder, "users", 1));
    let hours_ago = |hours| Utc::now() - TimeDelta::hours(hours);
    for (id, hours) in [("long-ago", 30), ("just-now", 20), ("stays", 1)] {
        live.insert_user(user(id, hours_ago(hours)));
    }
    let ahead: DateTime<Utc> = "2199-06-01T00:00:00Z".parse().unwrap();
    live.insert_user(user("ahead", ahead));
    let detect = |options: &[&str]| {
        let mut command = live.select(USERS, &lake, &now());
        run(command.arg("--detect-deletes").args(options)).expect(0).json()
    };
    let marked = || {
        let rows = Tables::read(&lake).rows(USERS).into_iter();
        let marked = rows.filter(|row| row.get("is_deleted_at_source") == Some(&Value::Bool(true)));
        let mut marked: Vec<String> = marked.map(|row| row["user_id"].as_str().unwrap().to_owned()).collect();
        marked.sort_unstable();
        marked
    };
    detect(&[]);
    assert_eq!(marked(), Vec::<String>::new());
    change_users(&live, async |users| {
        let gone = doc! { "_id": { "$in": ["long-ago", "just-now", "ahead"] } };
        assert_eq!(users.delete_many(gone).await.unwrap().deleted_count, 3);
    });
    let report = detect(&[]);
    assert_eq!(job(&report, USERS)["marked_deleted"], 2, "{report}");
    assert_eq!(marked(), ["ahead", "long-ago"]);
    // Time goes by; here the lookback becomes shorter.
    assert_eq!(job(&detect(&["--lookback-hours", "10"]), USERS)["marked_deleted"], 1);
    assert_eq!(marked(), ["ahead", "just-now", "long-ago"]);
}

/// The application moves from `users` to `auth_users`, whose rows were last changed before those that are known.
#[test]
fn another_table_of_the_application_is_read_as_a_whole() {
    let folder = scratch("another-table");
    let lake = folder.join("lake");
    let live = LiveSystems::with(&export(&folder, "users", 1));
    let again = || run(&mut live.select(ACCOUNTS, &lake, &now())).expect(0);
    let decision = |report: &Value| job(report, ACCOUNTS)["decision"].clone();
    assert_eq!(decision(&again().json())["because"]["reason"], "never_written");
    assert_eq!(decision(&again().json())["action"], "incremental");

    let mut loader = python("load_live.py", &["--database", &live.database]);
    loader.arg(export(&folder, "auth_users", 2)).args(["--mysql", &required("QUICKCHAT_TEST_MYSQL_URL")]);
    if let Ok(ca) = std::env::var("QUICKCHAT_TEST_MYSQL_CA") {
        loader.args(["--ca", &ca]);
    }
    run(&mut loader).expect(0);
    let moved = again();
    moved.says(&["MySQL has the tables auth_users and users, and auth_users is read"]);
    assert_eq!(decision(&moved.json())["because"]["reason"], "source_changed");
    assert_eq!(values(&lake, ACCOUNTS, "auth_user_id"), ["1", "2"]);
    assert_eq!(decision(&again().json())["action"], "incremental");
    // A plan asks no system.
    let mut plan = crate::process::etl(&["plan", ACCOUNTS, "-o", "json", "--lake"]);
    let plan = run(plan.arg(&lake).envs(live.environment())).expect(0);
    assert!(!plan.stdout.contains("source_changed"), "{plan}");
}
