//! Servers whose own settings would change what is read.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt8Type;
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use mysql_async::prelude::Queryable;
use quickchat_sources::{Collection, LiveRequest, OUTPUT_COLUMN, SourceTable};

use super::proxy::{Proxy, Terms};
use super::{Database, SMALL, WHOLE, ids, query, table, told};

/// The table as read from a server with these settings.
async fn table_with(settings: &[&str], database: &Database) -> SourceTable {
    let wire = Proxy::with_settings(settings).await;
    table(wire.url(&format!("{}?sslMode=DISABLED", database.url())), Collection::AuditLogs, LiveRequest::default())
}

const ROWS: usize = 1 << 15;

async fn logs() -> Database {
    let mut database = Database::create(&[
        "CREATE TABLE audit_logs (id INT PRIMARY KEY, event_type VARCHAR(400), created_at DATETIME)",
        "INSERT INTO audit_logs VALUES (1, REPEAT('x', 400), '2024-01-01')",
    ])
    .await;
    database.double("audit_logs", "id + {offset}, event_type, created_at", ROWS.trailing_zeros()).await;
    database
}

#[tokio::test]
async fn a_limit_of_rows_leaves_none_out() {
    let mut database = Database::create(&[
        "CREATE TABLE audit_logs (id INT PRIMARY KEY, event_type TEXT, created_at DATETIME)",
        "INSERT INTO audit_logs VALUES (1, 'login', '2024-01-01')",
    ])
    .await;
    database.double("audit_logs", "id + {offset}, event_type, created_at", 6).await;
    let limited = table_with(&["SET SESSION sql_select_limit = 1, max_join_size = 10"], &database).await;
    for policy in [WHOLE, SMALL] {
        let found = ids(limited.clone().with_split_policy(policy), "audit_id").await.unwrap();
        assert_eq!(found.len(), 64);
    }
    database.drop().await;
}

#[tokio::test]
async fn a_limit_of_time_ends_no_read() {
    let database = Database::create(&[
        "CREATE TABLE base (id INT PRIMARY KEY)",
        "INSERT INTO base VALUES (1), (2), (3), (4), (5), (6), (7), (8)",
        // Rows that take longer than the limit.
        "CREATE VIEW audit_logs AS SELECT id + SLEEP(0.1) AS id, '2024-01-01' AS created_at FROM base",
    ])
    .await;
    let limit = "SET SESSION /*M!100101 max_statement_time = 0.2 */ /*!50708 max_execution_time = 200 */";
    let limited = table_with(&[limit], &database).await;
    assert_eq!(ids(limited, "audit_id").await.unwrap().len(), 8);
    database.drop().await;
}

/// Ids and events of all rows.
fn events(batches: &[RecordBatch]) -> Vec<(String, String)> {
    let mut events = Vec::new();
    for batch in batches {
        let output = batch.column_by_name(OUTPUT_COLUMN).unwrap().as_primitive::<UInt8Type>();
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let (ids, types) = (text("audit_id"), text("event_type"));
        let rows = (0..batch.num_rows()).filter(|row| output.value(*row) == 0);
        events.extend(rows.map(|row| (ids.value(row).to_owned(), types.value(row).to_owned())));
    }
    events
}

#[tokio::test]
async fn a_range_is_of_one_instant_and_of_what_was_committed() {
    let mut database = logs().await;
    let uncommitted = ["SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED"];
    let table = table_with(&uncommitted, &database).await.with_split_policy(WHOLE);
    let mut beside = database.beside().await;
    beside.query_drop("START TRANSACTION").await.unwrap();
    beside.query_drop("UPDATE audit_logs SET event_type = 'never' WHERE id <= 3").await.unwrap();
    beside.query_drop("INSERT INTO audit_logs VALUES (0, 'never', '2024-01-01')").await.unwrap();
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
    let mut stream = plan.execute(0, context.task_ctx()).unwrap();
    let mut batches = vec![stream.next().await.unwrap().unwrap()];
    beside.query_drop("ROLLBACK").await.unwrap();
    // After the first row and before the last.
    database.run(&format!("UPDATE audit_logs SET event_type = 'later' WHERE id > {}", ROWS - 3)).await;
    database.run(&format!("DELETE FROM audit_logs WHERE id = {}", ROWS - 5)).await;
    database.run(&format!("INSERT INTO audit_logs VALUES ({}, 'later', '2024-01-01')", ROWS + 1)).await;
    while let Some(batch) = stream.next().await {
        batches.push(batch.unwrap());
    }
    let found = events(&batches);
    assert_eq!(found.len(), ROWS);
    for (index, (id, event)) in found.iter().enumerate() {
        assert_eq!((id.as_str(), event.len()), ((index + 1).to_string().as_str(), 400));
    }
    beside.disconnect().await.unwrap();
    database.drop().await;
}

#[tokio::test]
async fn those_who_write_are_not_held_up() {
    let mut database = logs().await;
    let serializable = ["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"];
    let table = table_with(&serializable, &database).await.with_split_policy(WHOLE);
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
    let mut stream = plan.execute(0, context.task_ctx()).unwrap();
    stream.next().await.unwrap().unwrap();
    database.run("SET SESSION innodb_lock_wait_timeout = 1").await;
    database.run("UPDATE audit_logs SET event_type = 'later' WHERE id = 1").await;
    drop(stream);
    database.drop().await;
}

#[tokio::test]
async fn a_server_that_is_too_old_is_told_before_it_fails_otherwise() {
    let mut database = Database::create(&["CREATE TABLE audit_logs (id INT PRIMARY KEY, created_at DATETIME)"]).await;
    let version: String = database.conn.query_first("SELECT VERSION()").await.unwrap().unwrap();
    let old: String = version.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    let terms = Terms {
        // Such servers do not know it.
        up: vec![("utf8mb4".to_owned(), "utf8mbX".to_owned())],
        down: vec![(version, old.clone())],
        ..Terms::default()
    };
    let wire = Proxy::on(terms).await;
    let url = wire.url(&format!("{}?sslMode=DISABLED", database.url()));
    let (text, is_retried) = told(table(url, Collection::AuditLogs, LiveRequest::default())).await;
    assert!(text.contains(&format!("is of version {old}, too old to be read")) && !is_retried, "{text}");
    let now = query(database.table(Collection::AuditLogs), "SELECT count(*) FROM t").await.unwrap();
    assert_eq!(now, [["1"]]);
    database.drop().await;
}
