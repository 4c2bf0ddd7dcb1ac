//! Tables of a real server: MariaDB or MySQL, with databases of their own.

mod faults;
mod proxy;
mod ranges;
mod server;
mod settings;
mod values;

use std::time::Duration;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use bson::oid::ObjectId;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use quickchat_sources::{Collection, Connections, LiveNames, LiveRequest, MySqlSettings, SourceTable, SplitPolicy};
use url::Url;

/// Small ranges.
const SMALL: SplitPolicy = SplitPolicy { target_bytes: 1, min_bytes: 1, spread: 1_000, max_partitions: 8 };
/// One range.
const WHOLE: SplitPolicy = SplitPolicy { target_bytes: 1 << 40, min_bytes: 1, spread: 1, max_partitions: 1 };

fn server_url() -> Url {
    let text = std::env::var("QUICKCHAT_TEST_MYSQL_URL").expect(
        "QUICKCHAT_TEST_MYSQL_URL is not set: run the tests by scripts/test.sh, or `scripts/services.sh start mysql`",
    );
    Url::parse(&text).unwrap()
}

/// The file of the authority that the server's certificate is signed by.
fn authority() -> Option<String> {
    std::env::var("QUICKCHAT_TEST_MYSQL_CA").ok().filter(|path| !path.is_empty())
}

/// A database of a test.
struct Database {
    name: String,
    conn: Conn,
}

impl Database {
    async fn create(statements: &[&str]) -> Self {
        // No name comes twice: one that runs longer than the tests keeps what was not removed.
        let name = format!("quickchat_test_{}", ObjectId::new().to_hex());
        let mut conn = Conn::from_url(server_url()).await.unwrap();
        conn.query_drop(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await.unwrap();
        conn.query_drop(format!("USE {name}")).await.unwrap();
        // Whatever the values, and in a zone that is not UTC.
        conn.query_drop("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+05:30'").await.unwrap();
        let mut database = Self { name, conn };
        for statement in statements {
            database.run(statement).await;
        }
        database
    }

    /// One more connection to it, for what happens beside.
    async fn beside(&self) -> Conn {
        Conn::from_url(self.url()).await.unwrap()
    }

    async fn run(&mut self, statement: &str) {
        self.conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Makes the rows of a table, which has one, many: twice as many each time.
    async fn double(&mut self, table: &str, columns: &str, times: u32) {
        for time in 0..times {
            let offset = 1_u32 << time;
            let columns = columns.replace("{offset}", &offset.to_string());
            self.run(&format!("INSERT INTO {table} SELECT {columns} FROM {table}")).await;
        }
        self.run(&format!("ANALYZE TABLE {table}")).await;
    }

    fn url(&self) -> String {
        let mut url = server_url();
        url.set_path(&self.name);
        url.to_string()
    }

    async fn drop(mut self) {
        self.run(&format!("DROP DATABASE {}", self.name)).await;
        self.conn.disconnect().await.unwrap();
    }

    fn table(&self, collection: Collection) -> SourceTable {
        table(self.url(), collection, LiveRequest::default())
    }
}

fn settings(url: String) -> MySqlSettings {
    MySqlSettings { url: url.into(), user: None, password: None, ca: None, patience: Duration::from_secs(20) }
}

fn table(url: String, collection: Collection, request: LiveRequest) -> SourceTable {
    SourceTable::live(collection, request, Connections::with_mysql(settings(url)))
}

fn since(micros: i64) -> LiveRequest {
    LiveRequest { changed_since: Some(micros), ..LiveRequest::default() }
}

fn named(names: LiveNames) -> LiveRequest {
    LiveRequest { names, ..LiveRequest::default() }
}

/// The rows of a query over the table, which is called `t`.
async fn query(table: SourceTable, sql: &str) -> Result<Vec<Vec<String>>, DataFusionError> {
    let context = SessionContext::new();
    context.register_table("t", std::sync::Arc::new(table)).unwrap();
    let options = FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in context.sql(sql).await.unwrap().collect().await? {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|it| it.value(row).to_string()).collect()));
    }
    Ok(rows)
}

/// The ids of all rows, in their order, after a look at the tally.
async fn ids(table: SourceTable, id: &str) -> Result<Vec<String>, DataFusionError> {
    let rows = query(table, &format!("SELECT {id}, _output, _read FROM t WHERE _output <> 1 ORDER BY {id}")).await?;
    let (tallies, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row[1] == "2");
    let read: usize = tallies.iter().map(|row| row[2].parse::<usize>().unwrap()).sum();
    assert_eq!(read, rows.len(), "the tally; no row of these tables is bad");
    Ok(rows.into_iter().map(|mut row| row.swap_remove(0)).collect())
}

/// The error of a read, which must not hold any secret, and whether a task that failed with it is run again.
async fn told(table: SourceTable) -> (String, bool) {
    let password = server_url().password().unwrap_or("CANARY").to_owned();
    let error = query(table, "SELECT * FROM t").await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("CANARY") && !text.contains(&password) && !text.contains("mysql://u"), "{text}");
    (text, matches!(error.find_root(), DataFusionError::IoError(_)))
}
