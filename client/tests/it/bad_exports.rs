//! Exports that cannot be read: a clear error, the right exit code, and no half-written table.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ListArray, StringArray};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;

use crate::fixtures::{SAMPLE_AS_OF, job, pipeline, sample, select};
use crate::lake::{Tables, assert_no_landing, copy, data_files};
use crate::process::{Ended, etl, run, scratch};

/// A folder for exports and one for a lake, both absent.
fn places(name: &str) -> (PathBuf, PathBuf) {
    let folder = scratch(name);
    (folder.join("exports"), folder.join("lake"))
}

fn write(folder: &Path, file: &str, content: &[u8]) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn without_a_source_nothing_runs() {
    let (_, lake) = places("no-source");
    let ended = run(etl(&["run", "full-pipeline", "--lake"]).arg(&lake)).expect(2);
    ended.says(&["no source is configured", "--exports", "EXPORTS_PATH"]);
    assert_eq!(ended.stdout, "");
    assert!(!lake.exists(), "nothing is written");
}

#[test]
fn a_missing_export_folder_is_named() {
    let (exports, lake) = places("missing-folder");
    let ended = run(&mut pipeline(&exports, &lake, SAMPLE_AS_OF)).expect(2);
    ended.says(&[exports.to_str().unwrap(), "does not exist", "EXPORTS_PATH"]);
    assert!(!lake.exists(), "nothing is written");
}

#[test]
fn an_export_folder_without_any_collection_is_refused() {
    let (exports, lake) = places("no-collections");
    let refused = |what: &str| {
        let ended = run(&mut pipeline(&exports, &lake, SAMPLE_AS_OF)).expect(2);
        ended.says(&[exports.to_str().unwrap(), "holds none of the collections", "messages", "EXPORTS_PATH"]);
        assert!(!lake.exists(), "{what}: nothing is written");
    };
    std::fs::create_dir(&exports).unwrap();
    refused("an empty folder");
    write(&exports, "mongodb/notes.txt", b"nothing that we know");
    write(&exports, "media/cat.jpg", b"no collection either");
    refused("a folder of other files");
}

/// Two sources fail; what reads from them is skipped, everything else is computed.
#[test]
fn a_failed_job_skips_its_readers_and_no_other() {
    let (exports, lake) = places("two-broken");
    for file in ["messages-00001.json", "users.json", "conversations.json"] {
        let content = std::fs::read(sample().exports.join("mongodb").join(file)).unwrap();
        write(&exports, &format!("mongodb/{file}"), &content);
    }
    write(&exports, "mongodb/calls.json.gz", &truncated_gzip());
    write(&exports, "mysql/auth_users.csv", b"17,a@example.org,1\n18,b@example.org,0\n");

    let ended = run(&mut pipeline(&exports, &lake, SAMPLE_AS_OF)).expect(1);
    let report = ended.json();
    let state = |name: &str| job(&report, name)["state"].as_str().unwrap().to_owned();
    let assert_failed = |name: &str, parts: &[&str]| {
        let report = job(&report, name);
        let error = report["error"].as_str().unwrap_or_else(|| panic!("{report}"));
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        assert!(!error.contains('{'), "a message for people: {error}");
        assert_eq!((&report["state"], &report["class"]), (&"failed".into(), &"user".into()), "{report}");
        ended.says(&[error]);
        assert!(!ended.stderr.contains("ERROR"), "told once: {ended}");
    };
    assert_failed("bronze.calls", &["mongodb/calls.json.gz", "not a complete gzip file", "export it again"]);
    assert_failed("bronze.auth_users", &["mysql/auth_users.csv", "no header line", "id"]);
    assert_eq!(job(&report, "silver.calls")["because"], "bronze.calls");
    assert_eq!(job(&report, "silver.users")["because"], "bronze.auth_users");
    for skipped in [
        "silver.calls",
        "silver.users",
        "silver.messages",
        "silver.user_sessions",
        "silver.user_activity",
        "gold.daily_metrics",
        "gold.weekly_metrics",
        "gold.conversation_analytics",
    ] {
        assert_eq!(state(skipped), "skipped");
    }
    let absent = ["bronze.notifications", "bronze.auth_sessions", "bronze.audit_logs"];
    let done = ["bronze.messages", "bronze.users", "bronze.conversations"];
    let derived = ["silver.conversations", "silver.reactions", "bronze.media", "silver.media"];
    for name in done.iter().chain(&derived).chain(&absent) {
        assert_eq!(state(name), "changed", "{name}");
    }

    let tables = Tables::read(&lake);
    let quarantines: Vec<String> =
        done.iter().chain(&absent).map(|name| name.replace("bronze", "quarantine")).collect();
    let mut expected: Vec<&str> = done.iter().chain(&derived).chain(&absent).copied().collect();
    expected.extend(quarantines.iter().map(String::as_str));
    expected.sort_unstable();
    assert_eq!(tables.0.keys().collect::<Vec<_>>(), expected, "nothing of the failed and skipped jobs");
    assert_no_landing(&lake);
}

/// The first half of a gzip file that is too large for one read to notice at once.
fn truncated_gzip() -> Vec<u8> {
    let line = br#"{"_id":"c1","initiatorId":"u1","createdAt":{"$date":"2026-01-01T00:00:00Z"}}"#;
    let mut child = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for _ in 0..2000 {
        stdin.write_all(line).and_then(|()| stdin.write_all(b"\n")).unwrap();
    }
    drop(stdin);
    let whole = child.wait_with_output().unwrap().stdout;
    whole[..whole.len() / 2].to_vec()
}

#[test]
fn a_truncated_file_leaves_an_existing_table_as_it_is() {
    let (exports, lake) = places("broken-later");
    copy(&sample().lake, &lake);
    let before = data_files(&lake);
    write(&exports, "mongodb/calls.json.gz", &truncated_gzip());
    let ended = run(&mut select("bronze.calls", &exports, &lake, SAMPLE_AS_OF)).expect(1);
    ended.says(&["not a complete gzip file"]);
    assert_eq!(data_files(&lake), before);
    assert_no_landing(&lake);
}

fn run_parquet(name: &str, columns: Vec<(&str, ArrayRef)>) -> (Ended, PathBuf) {
    let (exports, lake) = places(name);
    std::fs::create_dir_all(exports.join("mysql")).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(exports.join("mysql/auth_users.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    (run(&mut select("bronze.auth_users", &exports, &lake, SAMPLE_AS_OF)), lake)
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// No value of such a column can be right, so it is not the rows' fault.
#[test]
fn a_parquet_column_of_a_wrong_type_fails_the_job() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)]), Some([Some(2)])]);
    let columns = vec![("id", strings(&["1", "2"])), ("email", Arc::new(lists) as ArrayRef)];
    let (ended, lake) = run_parquet("parquet-list", columns);
    let ended = ended.expect(1);
    ended.says(&["column email of mysql/auth_users.parquet", "List", "export it as one of these"]);
    assert_eq!(job(&ended.json(), "bronze.auth_users")["state"], "failed");
    assert!(Tables::read(&lake).0.is_empty(), "no table is made");
    assert_no_landing(&lake);
}

/// Text where a number is expected may be a number in most rows: each row is judged by itself.
#[test]
fn parquet_values_of_a_wrong_type_are_put_aside_row_by_row() {
    let columns = vec![("id", strings(&["1", "2", "3"])), ("login_count", strings(&["7", "many", "9"]))];
    let (ended, lake) = run_parquet("parquet-text", columns);
    let report = ended.expect(0).json();
    let report = job(&report, "bronze.auth_users");
    assert_eq!([&report["read"], &report["written"], &report["quarantined"]], [3, 2, 1], "{report}");
    let tables = Tables::read(&lake);
    assert_eq!(tables.row("bronze.auth_users", "auth_user_id", "3")["login_count"], 9);
    let rejected = &tables.rows("quarantine.auth_users")[0];
    assert_eq!([&rejected["reason"], &rejected["field"]], ["wrong_type", "login_count"], "{rejected:?}");
}
