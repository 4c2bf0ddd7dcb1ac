//! Tables through DataFusion.

use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use quickchat_sources::{Collection, ExportFolder, SplitPolicy};

use crate::{export, location};

async fn query(folder: &tempfile::TempDir, policy: SplitPolicy, sql: &str) -> Result<String, String> {
    let context = SessionContext::new();
    let opened = ExportFolder::open(location(folder)).await.unwrap();
    for collection in Collection::ALL {
        let table = opened.table(collection).with_split_policy(policy);
        context.register_table(collection.name(), Arc::new(table)).unwrap();
    }
    let batches = context.sql(sql).await.unwrap().collect().await;
    batches.map(|batches| pretty_format_batches(&batches).unwrap().to_string()).map_err(|error| error.to_string())
}

fn small() -> SplitPolicy {
    SplitPolicy { target_bytes: 1_000, min_bytes: 1, spread: 1_000, max_partitions: 1_000 }
}

#[tokio::test]
async fn documents_rejects_and_tallies_agree_however_the_file_is_cut() {
    let mut text = String::new();
    for at in 0..2_000 {
        if at % 100 == 7 {
            text.push_str("{\"_id\":5}\n");
        } else {
            text.push_str(&format!("{{\"_id\":\"u{at}\",\"createdAt\":{at},\"role\":\"r{}\"}}\n", at % 3));
        }
    }
    let folder = export(&[("mongodb/users.json", text.as_bytes())]);
    let sql = "SELECT count(*) FILTER (WHERE _output = 0) AS documents, \
               count(_reject) AS rejects, sum(_read) AS read, \
               count(DISTINCT _ordinal) AS ordinals, min(_reject['source_position']) AS first, \
               count(DISTINCT user_id) AS ids FROM users";
    let expected = "\
+-----------+---------+------+----------+----------------------+------+
| documents | rejects | read | ordinals | first                | ids  |
+-----------+---------+------+----------+----------------------+------+
| 1980      | 20      | 2000 | 2000     | mongodb/users.json:1008 | 1980 |
+-----------+---------+------+----------+----------------------+------+";
    let cells = |table: &str| -> Vec<String> {
        table.split_whitespace().filter(|cell| !cell.starts_with('+')).map(str::to_owned).collect()
    };
    for policy in [SplitPolicy::default(), small()] {
        let table = query(&folder, policy, sql).await.unwrap();
        assert_eq!(cells(&table), cells(expected), "{table}");
    }
}

#[tokio::test]
async fn columns_that_nobody_reads_are_not_built() {
    let folder = export(&[("mongodb/users.json", b"{\"_id\":\"u\",\"createdAt\":5}\n")]);
    let plan = query(&folder, small(), "EXPLAIN SELECT role FROM users").await.unwrap();
    assert!(plan.contains("SourceScanExec: collection=users, columns=[role]"), "{plan}");
    let count = query(&folder, SplitPolicy::default(), "SELECT count(*) FROM users").await.unwrap();
    // The document and the tally.
    assert!(count.contains("| 2 "), "{count}");
}

#[tokio::test]
async fn an_absent_collection_is_an_empty_table() {
    let folder = export(&[("mongodb/users.json", b"")]);
    for table in ["calls", "messages", "auth_users"] {
        let rows = query(&folder, small(), &format!("SELECT count(*) FROM {table}")).await.unwrap();
        assert!(rows.contains("| 0 "), "{rows}");
    }
    // An empty file is tallied: nothing was read.
    let read = query(&folder, small(), "SELECT count(*), sum(_read) FROM users").await.unwrap();
    assert!(read.contains("| 1        | 0 "), "{read}");
}

#[tokio::test]
async fn a_damaged_file_fails_the_query_and_is_named() {
    let folder = export(&[("mongodb/users.json.gz", b"\x1f\x8b\x08\x00")]);
    let error = query(&folder, small(), "SELECT * FROM users").await.unwrap_err();
    assert!(error.contains("mongodb/users.json.gz"), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_after_listing_fails_the_query() {
    let folder = export(&[("mongodb/users.json", b"{\"_id\":\"u\",\"createdAt\":5}\n")]);
    let opened = ExportFolder::open(location(&folder)).await.unwrap();
    crate::write(folder.path(), "mongodb/users.json", b"{\"_id\":\"w\",\"createdAt\":5}  \n");
    let context = SessionContext::new();
    let table = Arc::new(opened.table(Collection::Users));
    context.register_table("users", table).unwrap();
    let rows = context.sql("SELECT * FROM users").await.unwrap().collect().await;
    let error = rows.unwrap_err().to_string();
    assert!(error.contains("mongodb/users.json was changed"), "{error}");
}

#[tokio::test]
async fn file_names_of_every_kind_can_be_read() {
    let folder = export(&[
        ("mongodb/users_\u{e9} #1%.json", b"{\"_id\":\"u\",\"createdAt\":5}\n"),
        ("mongodb/users_~[2].json", b"{\"_id\":7}"),
    ]);
    let sql = "SELECT user_id AS v FROM users WHERE _output = 0 \
               UNION ALL SELECT _reject['source_position'] FROM users WHERE _output = 1";
    let rows = query(&folder, small(), sql).await.unwrap();
    assert!(rows.contains("| u "), "{rows}");
    assert!(rows.contains("mongodb/users_"), "{rows}");
}
