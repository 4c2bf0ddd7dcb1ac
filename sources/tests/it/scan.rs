//! Tables through DataFusion.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
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
    for table in ["calls", "messages", "auth_users", "notifications", "auth_sessions", "audit_logs"] {
        let rows = query(&folder, small(), &format!("SELECT count(*) FROM {table}")).await.unwrap();
        assert!(rows.contains("| 0 "), "{rows}");
    }
    // An empty file is tallied: nothing was read.
    let read = query(&folder, small(), "SELECT count(*), sum(_read) FROM users").await.unwrap();
    assert!(read.contains("| 1        | 0 "), "{read}");
}

#[tokio::test]
async fn sessions_have_a_flag_of_either_name_and_no_token() {
    let columns = "SELECT session_id AS id, auth_user_id AS owner, is_revoked, CAST(updated_at AS VARCHAR) AS updated, \
                   _reject['reason'] AS reason, _reject['raw'] AS raw FROM auth_sessions WHERE _output < 2 ORDER BY 1";
    let header = b"id,user_id,token,user_agent,is_revoked,revoked,revoked_at,created_at\n\
        a,7,CANARY,CANARY,\\N,1,2024-01-05 00:00:00,2024-01-02 00:00:00\n\
        b,7,CANARY,CANARY,0,1,2024-01-01 00:00:00,2024-01-02 00:00:00\n\
        c,,CANARY,CANARY,,,,2024-01-02\n\
        d,7,CANARY,CANARY,maybe,,,2024-01-02\n\
        e,7,CANARY,CANARY,,,,\n";
    for name in ["sessions", "refresh_tokens"] {
        let folder = export(&[(&format!("mysql/{name}.csv"), header)]);
        let rows = query(&folder, small(), columns).await.unwrap();
        let found: Vec<Vec<&str>> = rows
            .lines()
            .filter(|line| line.contains("2024"))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        assert_eq!(found[0][1..5], ["a", "7", "true", "2024-01-05T00:00:00Z"], "{rows}");
        assert_eq!(found[1][1..5], ["b", "7", "false", "2024-01-02T00:00:00Z"], "{rows}");
        assert_eq!(found[2][1..5], ["c", "", "false", "2024-01-02T00:00:00Z"], "{rows}");
        assert!(rows.contains("wrong_type") && rows.contains("missing_key"), "{rows}");
        assert!(!rows.contains("CANARY"), "{rows}");
    }
    // Where both are there, `sessions` is read.
    let folder =
        export(&[("mysql/sessions.csv", b"id,created_at\ns,2024-01-01\n"), ("mysql/refresh_tokens.csv", header)]);
    let rows = query(&folder, small(), "SELECT session_id FROM auth_sessions WHERE _output = 0").await.unwrap();
    assert!(rows.contains("| s ") && !rows.contains("| a "), "{rows}");
}

#[tokio::test]
async fn media_are_listed_with_their_sizes_and_types() {
    let folder = export(&[
        ("mongodb/users.json", b""),
        ("media/images/2024/a b%20.JPG", b"12345"),
        ("media/noext", b""),
        ("media/odd/#~[1].webm", b"1"),
        ("mediaother/x.jpg", b"1"),
    ]);
    let opened = ExportFolder::open(location(&folder)).await.unwrap();
    assert!(opened.has(Collection::Media) && opened.has(Collection::Users) && !opened.has(Collection::Calls));
    let sql = "SELECT key, size_bytes, content_type, etag, _ordinal FROM media WHERE _output = 0 ORDER BY key";
    let rows = query(&folder, small(), sql).await.unwrap();
    for (key, size, content_type) in [
        ("images/2024/a b%20.JPG", 5, "image/jpeg"),
        ("noext", 0, "application/octet-stream"),
        ("odd/#~[1].webm", 1, "video/webm"),
    ] {
        let line =
            rows.lines().find(|line| line.contains(&format!("| {key} "))).unwrap_or_else(|| panic!("{key}: {rows}"));
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells[2..5], [size.to_string().as_str(), content_type, ""], "{line}");
    }
    assert!(!rows.contains("x.jpg"), "{rows}");
    let count = "SELECT count(*) FILTER (WHERE _output = 0) AS n, sum(_read) AS r, count(DISTINCT _ordinal) AS o, \
                 count(*) FILTER (WHERE last_modified > TIMESTAMP '2020-01-01') AS t FROM media";
    let counts = query(&folder, small(), count).await.unwrap();
    assert!(counts.contains("| 3 | 3 | 3 | 3 |"), "{counts}");
}

#[tokio::test]
async fn an_export_without_media_has_none() {
    let folder = export(&[("mongodb/users.json", b"")]);
    assert!(!ExportFolder::open(location(&folder)).await.unwrap().has(Collection::Media));
    std::fs::create_dir_all(folder.path().join("media/empty")).unwrap();
    assert!(!ExportFolder::open(location(&folder)).await.unwrap().has(Collection::Media));
    let rows = query(&folder, small(), "SELECT count(*) AS n, sum(_read) AS r FROM media").await.unwrap();
    assert!(rows.contains("| 1 | 0 |"), "{rows}");
}

/// A store that lists in the order of keys is listed in several ranges, which together hold every object once.
#[tokio::test]
async fn media_of_an_object_store() {
    let store = Arc::new(InMemory::new());
    let mut expected = vec!["top.jpg".to_owned(), "zz".to_owned()];
    expected.extend((0..6_000).map(|number| format!("{}/{number}.png", ["a", "b", "c c", "\u{e9}"][number % 4])));
    for key in &expected {
        store.put(&Path::parse(format!("x/media/{key}")).unwrap(), PutPayload::from_static(b"12")).await.unwrap();
    }
    store.put(&Path::from("x/mongodb/users.json"), PutPayload::from_static(b"")).await.unwrap();
    let url = url::Url::parse("memory://bucket/x").unwrap();
    let opened = ExportFolder::open_in(&url, store.as_ref()).await.unwrap();
    assert!(opened.has(Collection::Media));
    let context = SessionContext::new();
    context.register_object_store(&url, store);
    context.register_table("media", Arc::new(opened.table(Collection::Media))).unwrap();
    let plan = context.sql("SELECT * FROM media").await.unwrap().create_physical_plan().await.unwrap();
    let ranges = plan.properties().partitioning.partition_count();
    assert!((4..=32).contains(&ranges), "{ranges}");
    let sql = "SELECT key, _ordinal FROM media WHERE _output = 0 AND etag IS NOT NULL ORDER BY key";
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let mut found: Vec<String> = Vec::new();
    let mut ordinals = std::collections::BTreeSet::new();
    for batch in &batches {
        found.extend(batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
        ordinals.extend(batch.column(1).as_primitive::<Int64Type>().values().iter().copied());
    }
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(ordinals.len(), expected.len(), "ordinals are unique");
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
