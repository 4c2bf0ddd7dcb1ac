//! How fast rows of MySQL become Arrow, on one core: MB/s of the text of their values.
//!
//! Rows of `audit_logs`, the widest table, are made in a table of the benchmark's own by the server itself, and read as
//! a job does: planned into ranges, which are read one after another on one thread. The rate "per core" is bytes per
//! CPU second of this process; what the server takes is not counted, and is what limits the plain rate where both are
//! on one machine. 1 MB is 1,000,000 bytes.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use datafusion::catalog::TableProvider;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use quickchat_benches::clock::{Stopwatch, Took};
use quickchat_benches::{progress, report};
use quickchat_sources::{Collection, Connections, LiveNames, LiveRequest, MySqlSettings, SourceTable};
use report::Spread;
use serde::Serialize;

/// The table is made anew, so it has a name that nobody else uses.
const TABLE: &str = "quickchat_bench_audit_logs";
const COLUMNS: &str = "user_id, email, event_type, status, ip_address, device_id, country, city, failure_reason, \
                       request_id, session_id, created_at";

/// Measures how fast rows of MySQL become Arrow, on one core.
#[derive(Debug, Parser, Serialize)]
struct Options {
    /// Server and database: mysql://user:password@host:port/database
    #[arg(long, env = "QUICKCHAT_TEST_MYSQL_URL", hide_env_values = true)]
    #[serde(skip)]
    url: String,
    /// Rows
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Measured rounds; one more comes before them and is not counted
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Leave the connection unencrypted
    #[arg(long)]
    plain: bool,
}

#[derive(Serialize)]
struct Results {
    rows: u64,
    /// Of the values as text.
    bytes: u64,
    mean_row_bytes: f64,
    ranges: usize,
    mb_per_second: Spread,
    /// Absent where CPU time is not known.
    mb_per_cpu_second: Option<Spread>,
    rows_per_second: Spread,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let results = runtime.block_on(measure(&options))?;
    report::print("mysql", &options, &results)
}

async fn measure(options: &Options) -> Result<Results> {
    // What the driver says of an address may hold the password.
    let mut conn = Conn::from_url(&options.url).await.ok().context("cannot connect to the server; see --url")?;
    progress(&format!("making {} rows", options.rows));
    let bytes = load(&mut conn, options.rows).await?;
    let results = read(options, bytes).await;
    conn.query_drop(format!("DROP TABLE {TABLE}")).await.context("cannot drop the table of the benchmark")?;
    conn.disconnect().await?;
    results
}

/// Makes the rows; gives the bytes of their values.
async fn load(conn: &mut Conn, rows: u64) -> Result<u64> {
    let row = "UUID(), CONCAT('user', FLOOR(RAND() * 100000), '@example.org'), 'login', 'success', '203.0.113.77', \
               MD5(RAND()), 'DE', 'Frankfurt am Main', NULL, UUID(), FLOOR(RAND() * 1000000), \
               '2024-01-01' + INTERVAL FLOOR(RAND() * 31536000000000) MICROSECOND";
    let create = format!(
        "CREATE TABLE {TABLE} (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id CHAR(36), email VARCHAR(255), \
         event_type VARCHAR(64), status VARCHAR(16), ip_address VARCHAR(45), device_id VARCHAR(64), country CHAR(2), \
         city VARCHAR(100), failure_reason VARCHAR(255), request_id CHAR(36), session_id BIGINT, \
         created_at DATETIME(6)) CHARACTER SET utf8mb4"
    );
    for statement in
        [format!("DROP TABLE IF EXISTS {TABLE}"), create, format!("INSERT INTO {TABLE} ({COLUMNS}) SELECT {row}")]
    {
        conn.query_drop(statement).await.context("cannot make the table of the benchmark")?;
    }
    let mut made = 1;
    while made < rows {
        let more = made.min(rows - made);
        let insert = format!("INSERT INTO {TABLE} ({COLUMNS}) SELECT {row} FROM {TABLE} LIMIT {more}");
        conn.query_drop(insert).await.context("cannot make rows")?;
        made += more;
    }
    let lengths: Vec<String> =
        format!("id, {COLUMNS}").split(", ").map(|column| format!("COALESCE(LENGTH({column}), 0)")).collect();
    let sum = format!("SELECT COUNT(*), SUM({}) FROM {TABLE}", lengths.join(" + "));
    let (count, bytes): (u64, u64) = conn.query_first(sum).await?.context("the table of the benchmark is gone")?;
    ensure!(count == rows, "the server made {count} rows");
    conn.query_drop(format!("ANALYZE TABLE {TABLE}")).await?;
    Ok(bytes)
}

async fn read(options: &Options, bytes: u64) -> Result<Results> {
    let separator = if options.url.contains('?') { '&' } else { '?' };
    let url = match options.plain {
        true => format!("{}{separator}sslMode=DISABLED", options.url),
        false => options.url.clone(),
    };
    let names = LiveNames { name: Some(TABLE.to_owned()), ..LiveNames::default() };
    let request = LiveRequest { names, ..LiveRequest::default() };
    let table = SourceTable::live(Collection::AuditLogs, request, Connections::with_mysql(MySqlSettings::of_url(url)?));
    let mut rounds: Vec<Took> = Vec::new();
    let mut ranges = 0;
    for round in 0..=options.rounds {
        progress(&format!("reading, round {round}"));
        let watch = Stopwatch::start();
        let (found, partitions) = read_once(&table).await?;
        let took = watch.stop();
        ensure!(found == options.rows + partitions as u64, "{found} rows and tallies of {partitions} ranges were read");
        ranges = partitions;
        if round > 0 {
            rounds.push(took);
        }
    }
    let megabytes = bytes as f64 / 1e6;
    let wall = || rounds.iter().map(|took| took.seconds);
    let cpu: Option<Vec<f64>> = rounds.iter().map(|took| took.cpu_seconds).collect();
    Ok(Results {
        rows: options.rows,
        bytes,
        mean_row_bytes: bytes as f64 / options.rows as f64,
        ranges,
        mb_per_second: Spread::rate(megabytes, wall()),
        mb_per_cpu_second: cpu.map(|seconds| Spread::rate(megabytes, seconds)),
        rows_per_second: Spread::rate(options.rows as f64, wall()),
    })
}

/// Reads all ranges, one after another; gives the number of rows, tallies included, and of ranges.
async fn read_once(table: &SourceTable) -> Result<(u64, usize)> {
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], None).await?;
    let partitions = plan.output_partitioning().partition_count();
    let mut rows = 0;
    for partition in 0..partitions {
        let mut batches = plan.execute(partition, context.task_ctx())?;
        while let Some(batch) = batches.next().await {
            rows += black_box(batch?).num_rows() as u64;
        }
    }
    Ok((rows, partitions))
}
