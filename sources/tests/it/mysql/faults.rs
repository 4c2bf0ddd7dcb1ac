//! Connections that are lost, and servers that do not answer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt8Type;
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use mysql_async::prelude::Queryable;
use quickchat_sources::{Collection, Connections, LiveRequest, MySqlSettings, OUTPUT_COLUMN, SourceTable};
use tokio::net::TcpListener;

use super::proxy::{Break, Proxy};
use super::{Database, WHOLE, ids, settings, table, told};

const ROWS: u32 = 1 << 16;

/// A table of some MB, so that not all of it is on its way at once.
async fn logs(key: &str, first: &str, next: &str) -> Database {
    let mut database = Database::create(&[
        &format!("CREATE TABLE audit_logs (id {key}, event_type VARCHAR(400), created_at DATETIME)"),
        &format!("INSERT INTO audit_logs VALUES ({first}, REPEAT('x', 400), '2024-01-01')"),
    ])
    .await;
    database.double("audit_logs", &format!("{next}, event_type, created_at"), ROWS.trailing_zeros()).await;
    database
}

async fn numbered_logs() -> Database {
    logs("INT PRIMARY KEY", "1", "id + {offset}").await
}

fn expected() -> Vec<String> {
    let mut ids: Vec<String> = (1..=ROWS).map(|id| id.to_string()).collect();
    ids.sort();
    ids
}

fn ids_of(batches: &[RecordBatch]) -> Vec<String> {
    let mut ids = Vec::new();
    for batch in batches {
        let output = batch.column_by_name(OUTPUT_COLUMN).unwrap().as_primitive::<UInt8Type>();
        let column = batch.column(0).as_string::<i32>();
        ids.extend((0..batch.num_rows()).filter(|row| output.value(*row) == 0).map(|row| column.value(row).to_owned()));
    }
    ids.sort();
    ids
}

/// Waits until no one reads a database: the server does not tell those who leave that it saw them go.
async fn until_nobody_reads(database: &mut Database) {
    let started = Instant::now();
    while !readers(database).await.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(30), "a connection stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The connections that read a database, as the server sees them.
async fn readers(database: &mut Database) -> Vec<u64> {
    let sql = format!(
        "SELECT id FROM information_schema.processlist WHERE db = '{}' AND id <> CONNECTION_ID()",
        database.name
    );
    database.conn.query(sql).await.unwrap()
}

#[tokio::test]
async fn a_killed_connection_loses_and_doubles_no_row() {
    for (key, first, next, shown) in [
        ("INT PRIMARY KEY", "1", "id + {offset}", "id"),
        ("CHAR(36) PRIMARY KEY", "UUID()", "UUID()", "id"),
        ("BINARY(16) PRIMARY KEY", "UNHEX(MD5(UUID()))", "UNHEX(MD5(UUID()))", "LOWER(HEX(id))"),
    ] {
        let mut database = logs(key, first, next).await;
        let table = database.table(Collection::AuditLogs).with_split_policy(WHOLE);
        let context = SessionContext::new();
        let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
        until_nobody_reads(&mut database).await;
        let mut stream = plan.execute(0, context.task_ctx()).unwrap();
        let mut batches = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch.unwrap());
            seen.extend(readers(&mut database).await);
            if batches.len() == 1 {
                for reader in &seen {
                    database.run(&format!("KILL {reader}")).await;
                }
            }
        }
        assert_eq!(seen.len(), 2, "a second connection went on: {seen:?}");
        let mut all: Vec<String> = database.conn.query(format!("SELECT {shown} FROM audit_logs")).await.unwrap();
        all.sort();
        let found = ids_of(&batches);
        assert!(found == all, "{key}: {} of {} rows", found.len(), all.len());
        database.drop().await;
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_within_a_row_is_made_anew() {
    let database = numbered_logs().await;
    let wire = Proxy::start("127.0.0.1", Break::Cut, 1_000_000, 3).await;
    let url = wire.url(&format!("{}?sslMode=DISABLED", database.url()));
    let table = table(url, Collection::AuditLogs, LiveRequest::default()).with_split_policy(WHOLE);
    assert!(ids(table, "audit_id").await.unwrap() == expected());
    assert_eq!((wire.breaks_left(), wire.connections()), (0, 1 + 1 + 3));
    database.drop().await;
}

#[tokio::test]
async fn a_table_without_a_key_is_not_read_on_but_anew() {
    let database = logs("INT", "1", "id + {offset}").await;
    let wire = Proxy::start("127.0.0.1", Break::Cut, 1_000_000, 1).await;
    let url = wire.url(&format!("{}?sslMode=DISABLED", database.url()));
    let (text, is_retried) = told(table(url, Collection::AuditLogs, LiveRequest::default())).await;
    assert!(text.contains("MySQL failed 1 times while reading") && is_retried, "{text}");
    assert_eq!(wire.breaks_left(), 0);
    database.drop().await;
}

#[tokio::test]
async fn a_server_that_never_recovers_ends_the_read() {
    let database = numbered_logs().await;
    let url = format!("{}?sslMode=DISABLED", database.url());
    let wire = Proxy::start("127.0.0.1", Break::Cut, 0, usize::MAX).await;
    let started = Instant::now();
    let (text, is_retried) = told(table(wire.url(&url), Collection::AuditLogs, LiveRequest::default())).await;
    assert!(text.contains("MySQL failed 6 times while planning to read audit_logs"), "{text}");
    assert!(is_retried && started.elapsed() < Duration::from_secs(30));
    assert_eq!(wire.connections(), 6);
    database.drop().await;
}

/// As long as a server may be silent; enough for all that it does while other tests keep it busy.
const PATIENCE: Duration = Duration::from_secs(4);

fn impatient(url: String) -> SourceTable {
    let settings = MySqlSettings { patience: PATIENCE, ..settings(url) };
    let connections = Connections::with_mysql(settings);
    SourceTable::live(Collection::AuditLogs, LiveRequest::default(), connections).with_split_policy(WHOLE)
}

#[tokio::test]
async fn a_server_that_takes_connections_and_says_nothing_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok(Ok(connection)) = tokio::time::timeout(PATIENCE * 3, listener.accept()).await {
            connections.push(connection);
        }
        connections.len()
    });
    let started = Instant::now();
    let (text, is_retried) = told(impatient(format!("mysql://u:CANARY@127.0.0.1:{port}/d"))).await;
    assert!(text.contains(&format!("cannot reach MySQL at 127.0.0.1:{port}")), "{text}");
    assert!(text.contains("no answer within 4 s"), "{text}");
    assert!(is_retried && started.elapsed() < Duration::from_secs(60));
    assert_eq!(connections.await.unwrap(), 2, "it is worth a second attempt");
}

#[tokio::test]
async fn a_server_that_hangs_while_it_is_read_is_read_on_by_another_connection() {
    let database = numbered_logs().await;
    let wire = Proxy::start("127.0.0.1", Break::Silence, 1_000_000, 1).await;
    let url = wire.url(&format!("{}?sslMode=DISABLED", database.url()));
    assert!(ids(impatient(url), "audit_id").await.unwrap() == expected());
    assert_eq!((wire.breaks_left(), wire.connections()), (0, 1 + 1 + 1));
    database.drop().await;
}

#[tokio::test]
async fn a_server_that_hangs_ends_the_read_in_time() {
    // Without a key there is nothing to go on behind.
    let database = logs("INT", "1", "id + {offset}").await;
    let wire = Proxy::start("127.0.0.1", Break::Silence, 1_000_000, 1).await;
    let url = wire.url(&format!("{}?sslMode=DISABLED", database.url()));
    let started = Instant::now();
    let (text, is_retried) = told(impatient(url)).await;
    assert!(text.contains("has not answered for 4 s while reading") && text.contains("audit_logs"), "{text}");
    assert!(is_retried && started.elapsed() < Duration::from_secs(60));
    assert_eq!(wire.breaks_left(), 0);
    database.drop().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    // A port that nobody listens at, and that no other test is given.
    let (text, is_retried) = told(impatient("mysql://u:CANARY@127.0.0.1:1/d".to_owned())).await;
    assert!(text.contains("cannot reach MySQL at 127.0.0.1:1 ") && is_retried, "{text}");
}

#[tokio::test]
async fn a_read_that_is_given_up_leaves_no_connection() {
    let mut database = numbered_logs().await;
    let table = database.table(Collection::AuditLogs).with_split_policy(WHOLE);
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
    until_nobody_reads(&mut database).await;
    let mut stream = plan.execute(0, context.task_ctx()).unwrap();
    stream.next().await.unwrap().unwrap();
    assert_eq!(readers(&mut database).await.len(), 1);
    drop(stream);
    until_nobody_reads(&mut database).await;
    database.drop().await;
}

#[tokio::test]
async fn a_column_that_goes_after_the_plan_is_told() {
    let mut database = numbered_logs().await;
    let table = database.table(Collection::AuditLogs).with_split_policy(WHOLE);
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
    database.run("ALTER TABLE audit_logs DROP event_type").await;
    let error = datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap_err();
    assert!(error.to_string().contains("changed after the read was planned"), "{error}");
    database.drop().await;
}
