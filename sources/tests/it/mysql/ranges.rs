//! Ranges of keys, and what changed.

use datafusion::catalog::TableProvider;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use quickchat_sources::{Collection, LiveNames, LiveRequest, SourceTable};

use super::{Database, SMALL, ids, named, query, since, table, told};

async fn partitions(table: &SourceTable) -> usize {
    let plan = table.scan(&SessionContext::new().state(), None, &[], None).await.unwrap();
    plan.output_partitioning().partition_count()
}

/// How many rows each range has, tallies left out.
async fn rows_of_ranges(table: &SourceTable) -> Vec<usize> {
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
    let mut rows = Vec::new();
    for partition in 0..plan.output_partitioning().partition_count() {
        let batches: Vec<_> = plan.execute(partition, context.task_ctx()).unwrap().try_collect().await.unwrap();
        rows.push(batches.iter().map(arrow::record_batch::RecordBatch::num_rows).sum::<usize>() - 1);
    }
    rows
}

fn sorted(ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn integer_keys_are_cut_evenly_and_every_row_is_read_once() {
    let mut database = Database::create(&[
        "CREATE TABLE audit_logs (id BIGINT UNSIGNED PRIMARY KEY, created_at DATETIME)",
        "INSERT INTO audit_logs VALUES (1, '2024-01-01')",
    ])
    .await;
    database.double("audit_logs", "id + {offset}, created_at", 11).await;
    database.run("INSERT INTO audit_logs VALUES (0, '2024-01-01'), (18446744073709551615, '2024-01-01')").await;
    let table = database.table(Collection::AuditLogs).with_split_policy(SMALL);
    assert_eq!(partitions(&table).await, 8);
    // A few numbers far from all others do not put these into one range.
    let rows = rows_of_ranges(&table).await;
    assert!(rows.iter().sum::<usize>() == 2_050 && rows.iter().all(|rows| *rows < 2 * 2_050 / 8), "{rows:?}");
    let expected = sorted((0..=2_048).chain([u64::MAX]).map(|id| id.to_string()));
    assert_eq!(ids(table.clone(), "audit_id").await.unwrap(), expected);
    let ordinals = query(table, "SELECT count(DISTINCT _ordinal) FROM t").await.unwrap();
    assert_eq!(ordinals, [["2050"]]);
    // What is written between planning and reading belongs to a range too.
    let table = database.table(Collection::AuditLogs).with_split_policy(SMALL);
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
    database.run("DELETE FROM audit_logs WHERE id = 18446744073709551615").await;
    database.run("INSERT INTO audit_logs VALUES (18446744073709551614, '2024-01-01')").await;
    let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap();
    assert_eq!(batches.iter().map(arrow::record_batch::RecordBatch::num_rows).sum::<usize>(), 2_050 + 8);
    database.drop().await;
}

#[tokio::test]
async fn keys_of_text_and_bytes_are_cut_by_counting() {
    for (kind, key) in [
        ("CHAR(36)", "UUID()"),
        ("VARCHAR(40) CHARACTER SET latin1", "CONCAT('\u{d6}', UUID())"),
        ("VARCHAR(40) COLLATE utf8mb4_bin", "CONCAT('User \u{e9}''\\\\', RAND())"),
        ("VARBINARY(40)", "LOWER(UUID())"),
        ("BINARY(16)", "UNHEX(REPLACE(UUID(), '-', ''))"),
        // A type that only MariaDB has.
        ("/*M!100700 UUID */ /*!80000 CHAR(36) */", "UUID()"),
    ] {
        let mut database = Database::create(&[
            &format!("CREATE TABLE audit_logs (id {kind} PRIMARY KEY, created_at DATETIME)"),
            &format!("INSERT INTO audit_logs VALUES ({key}, '2024-01-01')"),
        ])
        .await;
        database.double("audit_logs", &format!("{key}, created_at"), 10).await;
        let table = database.table(Collection::AuditLogs).with_split_policy(SMALL);
        assert!(partitions(&table).await >= 4, "{kind}");
        let found = ids(table.clone(), "audit_id").await.unwrap();
        let distinct: std::collections::BTreeSet<&String> = found.iter().collect();
        assert_eq!((found.len(), distinct.len()), (1_024, 1_024), "{kind}");
        database.drop().await;
    }
}

#[tokio::test]
async fn a_table_without_an_indexed_key_is_read_in_one_go() {
    let mut database = Database::create(&[
        "CREATE TABLE audit_logs (id INT, created_at DATETIME, KEY (id))",
        "INSERT INTO audit_logs VALUES (NULL, '2024-01-01')",
        "CREATE TABLE sessions (id INT NOT NULL, part INT, created_at DATETIME, PRIMARY KEY (part, id))",
        "INSERT INTO sessions VALUES (1, 1, '2024-01-01')",
        "CREATE TABLE base (id INT PRIMARY KEY, email TEXT)",
        "INSERT INTO base VALUES (1, 'a@b')",
        "CREATE VIEW auth_users AS SELECT id, email FROM base",
        // MariaDB has unique hashes of long texts, which are in no order.
        "CREATE TABLE hashed (id TEXT NOT NULL, created_at DATETIME /*M!100401 , UNIQUE (id) */)",
        "INSERT INTO hashed VALUES (UUID(), '2024-01-01')",
    ])
    .await;
    database.double("audit_logs", "7, created_at", 8).await;
    database.double("sessions", "id, part + {offset}, created_at", 8).await;
    database.double("hashed", "UUID(), created_at", 8).await;
    let logs = database.table(Collection::AuditLogs).with_split_policy(SMALL);
    assert_eq!(partitions(&logs).await, 1);
    let counts = "SELECT count(*) FILTER (WHERE _output = 0), count(_reject), sum(_read) FROM t";
    assert_eq!(query(logs, counts).await.unwrap(), [["255", "1", "256"]]);
    let sessions = database.table(Collection::AuthSessions).with_split_policy(SMALL);
    assert_eq!(partitions(&sessions).await, 1);
    assert_eq!(query(sessions, counts).await.unwrap(), [["256", "0", "256"]]);
    assert_eq!(ids(database.table(Collection::AuthUsers), "auth_user_id").await.unwrap(), ["1"]);
    let hashed = named(LiveNames { name: Some("hashed".to_owned()), ..LiveNames::default() });
    let hashed = table(database.url(), Collection::AuditLogs, hashed).with_split_policy(SMALL);
    assert_eq!(partitions(&hashed).await, 1);
    assert_eq!(query(hashed, counts).await.unwrap(), [["256", "0", "256"]]);
    database.drop().await;
}

#[tokio::test]
async fn a_key_that_rows_share_is_cut_where_an_index_begins_with_it() {
    for index in [
        "PRIMARY KEY (id, created_at)",
        "PRIMARY KEY (id, created_at)) PARTITION BY RANGE (TO_DAYS(created_at)) (PARTITION p1 VALUES LESS THAN \
         (TO_DAYS('2024-03-01')), PARTITION p2 VALUES LESS THAN MAXVALUE",
        "KEY (id, status)",
    ] {
        let mut database = Database::create(&[
            &format!("CREATE TABLE audit_logs (id INT NOT NULL, status TEXT, created_at DATETIME NOT NULL, {index})")
                .replace("(id, status)", "(id, status(9))"),
            "INSERT INTO audit_logs VALUES (1, 'done', '2024-01-01')",
        ])
        .await;
        // Two rows of each key, in months of their own.
        database.double("audit_logs", "id + {offset}, status, created_at", 10).await;
        database.run("INSERT INTO audit_logs SELECT id, status, created_at + INTERVAL 100 DAY FROM audit_logs").await;
        database.run("ANALYZE TABLE audit_logs").await;
        let table = database.table(Collection::AuditLogs).with_split_policy(SMALL);
        let rows = rows_of_ranges(&table).await;
        assert!(rows.len() == 8 && rows.iter().all(|rows| *rows < 2 * 2_048 / 8), "{index}: {rows:?}");
        let mut expected: Vec<String> = (1..=1_024).flat_map(|id| [id.to_string(), id.to_string()]).collect();
        expected.sort();
        assert_eq!(ids(table, "audit_id").await.unwrap(), expected, "{index}");
        database.drop().await;
    }
}

#[tokio::test]
async fn an_empty_table_is_empty_and_an_optional_one_may_be_absent() {
    let database = Database::create(&["CREATE TABLE audit_logs (id INT PRIMARY KEY, created_at DATETIME)"]).await;
    let counts = "SELECT count(*), sum(_read) FROM t";
    let empty = database.table(Collection::AuditLogs).with_split_policy(SMALL);
    assert_eq!(query(empty, counts).await.unwrap(), [["1", "0"]]);
    let optional = named(LiveNames { optional: true, ..LiveNames::default() });
    let absent = table(database.url(), Collection::AuthSessions, optional.clone());
    assert_eq!(query(absent, counts).await.unwrap(), [["0", "null"]]);
    database.drop().await;
    // Of a database without any table too.
    let database = Database::create(&[]).await;
    let absent = table(database.url(), Collection::AuthSessions, optional);
    assert_eq!(query(absent, counts).await.unwrap(), [["0", "null"]]);
    let (text, _) = told(database.table(Collection::AuthSessions)).await;
    assert!(text.contains("does not exist or has no tables"), "{text}");
    database.drop().await;
}

const DAY: i64 = 86_400_000_000;
/// 2024-01-01.
const NEW_YEAR: i64 = 1_704_067_200_000_000;

/// What is read of a collection that changed since the 10th of January 2024.
async fn changed(database: &Database, collection: Collection, id: &str) -> Vec<String> {
    ids(table(database.url(), collection, since(NEW_YEAR + 9 * DAY)), id).await.unwrap()
}

#[tokio::test]
async fn only_users_that_changed_are_read_where_the_table_tells() {
    let mut database = Database::create(&[
        "CREATE TABLE auth_users (id INT PRIMARY KEY, created_at DATETIME, updated_at DATETIME(6) NULL)",
        "INSERT INTO auth_users VALUES (1, '2024-01-20', '2024-01-09 23:59:59.999999'), (2, '2024-01-01', '2024-01-10'), \
         (3, '2024-01-01', NULL), (4, '2024-01-01', '0000-00-00'), (5, '2024-01-01', '2024-01-20')",
    ])
    .await;
    // The zero date is null, and of null it is not known when the row changed. The tally counts what came.
    assert_eq!(changed(&database, Collection::AuthUsers, "auth_user_id").await, ["2", "3", "4", "5"]);
    database.run("ALTER TABLE auth_users MODIFY updated_at TIMESTAMP(6) NULL").await;
    database.run("UPDATE auth_users SET updated_at = '2024-01-10 05:29:59.999999' WHERE id = 1").await;
    database.run("UPDATE auth_users SET updated_at = '2024-01-10 05:30:00' WHERE id = 2").await;
    assert_eq!(changed(&database, Collection::AuthUsers, "auth_user_id").await, ["2", "3", "4", "5"]);
    let names = LiveNames { changed_field: Some("created_at".to_owned()), ..LiveNames::default() };
    let request = LiveRequest { names, ..since(NEW_YEAR + 9 * DAY) };
    let by_creation = table(database.url(), Collection::AuthUsers, request);
    assert_eq!(ids(by_creation, "auth_user_id").await.unwrap(), ["1"]);
    database.run("ALTER TABLE auth_users DROP updated_at").await;
    assert_eq!(changed(&database, Collection::AuthUsers, "auth_user_id").await.len(), 5);
    database.drop().await;
}

#[tokio::test]
async fn only_sessions_that_changed_are_read() {
    let mut database = Database::create(&[
        "CREATE TABLE sessions (id INT PRIMARY KEY, is_revoked BIT(1), created_at DATETIME, revoked_at TIMESTAMP NULL)",
        "INSERT INTO sessions VALUES (1, 0, '2024-01-01', NULL), (2, 1, '2024-01-01', '2024-01-02'), \
         (3, 0, '2024-01-10', NULL), (4, 1, '2024-01-01', '2024-01-11')",
    ])
    .await;
    assert_eq!(changed(&database, Collection::AuthSessions, "session_id").await, ["3", "4"]);
    // A revocation without a time is not to be missed.
    database.run("UPDATE sessions SET is_revoked = 1 WHERE id = 1").await;
    assert_eq!(changed(&database, Collection::AuthSessions, "session_id").await, ["1", "3", "4"]);
    database.run("ALTER TABLE sessions DROP revoked_at").await;
    assert_eq!(changed(&database, Collection::AuthSessions, "session_id").await.len(), 4);
    database.run("ALTER TABLE sessions ADD updated_at DATETIME").await;
    database.run("UPDATE sessions SET updated_at = '2024-01-05'").await;
    assert!(changed(&database, Collection::AuthSessions, "session_id").await.is_empty());
    database.drop().await;
}

#[tokio::test]
async fn sessions_that_last_may_have_changed() {
    let mut database = Database::create(&[
        "CREATE TABLE sessions (id INT PRIMARY KEY, device_name TEXT, created_at DATETIME, expires_at DATETIME NULL)",
        "INSERT INTO sessions VALUES (1, 'a', '2024-01-01', '2024-01-09'), (2, 'b', '2024-01-01', '2024-01-10'), \
         (3, 'c', '2024-01-01', NULL), (4, 'd', '2024-01-01', '2024-02-01')",
    ])
    .await;
    assert_eq!(changed(&database, Collection::AuthSessions, "session_id").await, ["2", "3", "4"]);
    // Nothing tells that its device changed.
    database.run("ALTER TABLE sessions DROP expires_at").await;
    assert_eq!(changed(&database, Collection::AuthSessions, "session_id").await.len(), 4);
    database.drop().await;
}

#[tokio::test]
async fn few_changes_are_one_range() {
    let mut database = Database::create(&[
        "CREATE TABLE audit_logs (id INT PRIMARY KEY, created_at DATETIME, KEY (created_at))",
        "INSERT INTO audit_logs VALUES (1, '2024-01-01')",
    ])
    .await;
    database.double("audit_logs", "id + {offset}, created_at + INTERVAL {offset} MINUTE", 12).await;
    // Minute 12,960 after New Year is the 10th; there are 4,096.
    assert!(changed(&database, Collection::AuditLogs, "audit_id").await.is_empty());
    let since = since(NEW_YEAR + 4_000 * 60_000_000);
    let few = table(database.url(), Collection::AuditLogs, since).with_split_policy(SMALL);
    assert_eq!(partitions(&few).await, 1);
    assert_eq!(ids(few, "audit_id").await.unwrap().len(), 96);
    database.drop().await;
}
