//! What a table of very many files costs before its first row is read: opening it, and planning queries over it.
//!
//! Only the log is made, since planning looks at nothing else: partitions by day, with several files each and
//! statistics as our writers leave them. Each measurement is a process of its own that opens the table for the first
//! time, so its peak memory, as the operating system counts it, is that of the table and the plans; once with
//! the log as commits made it, once with a checkpoint.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chrono::{Days, NaiveDate, Utc};
use clap::Parser;
use datafusion::datasource::physical_plan::ParquetSource;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use quickchat_benches::clock::{Stopwatch, Took};
use quickchat_benches::data::DataOptions;
use quickchat_benches::process::Ended;
use quickchat_benches::{process, progress, report};
use quickchat_engine::{Engine, session_config};
use quickchat_lake::maintenance::{CheckpointOptions, checkpoint};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::snapshot::Tables;
use quickchat_lake::{LakeRoot, TableUrl};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Measures what opening and planning cost on a table of very many files.
#[derive(Debug, Parser, Serialize)]
struct Options {
    /// Days, each a partition
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: u32,
    /// Files of each day
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    files: u32,
    #[command(flatten)]
    data: DataOptions,
    /// Measures the table in this folder in this process; what the program starts itself with
    #[arg(long, hide = true)]
    #[serde(skip)]
    measure: Option<PathBuf>,
    /// Sums the table's log up instead; what the program starts itself with
    #[arg(long, hide = true, requires = "measure")]
    #[serde(skip)]
    sum_up: bool,
}

#[derive(Serialize)]
struct Results {
    files: u64,
    log_bytes: u64,
    from_commits: Measured,
    from_checkpoint: Measured,
}

#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    times: Times,
    peak_memory_bytes: u64,
}

/// What the measuring process prints.
#[derive(Serialize, Deserialize)]
struct Times {
    /// The table is opened: its log is read.
    open: Took,
    /// It is opened again, with nothing new.
    open_again: Took,
    /// A query over one day.
    plan_one_day: Planned,
    /// A query over a range of a column, which by their statistics only the files of the first hundred days have.
    plan_first_days: Planned,
    /// A query over everything.
    plan_everything: Planned,
}

/// A query from SQL text to physical plan.
#[derive(Serialize, Deserialize)]
struct Planned {
    #[serde(flatten)]
    took: Took,
    /// Files that the plan reads.
    files: usize,
}

const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(1995, 1, 1).expect("a date");
const ROWS_PER_FILE: i64 = 1_000;
/// Files that one version adds.
const FILES_PER_VERSION: usize = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(folder) = &options.measure {
        let (tables, url) = (Engine::default(), LakeRoot::parse(&folder.to_string_lossy())?.table("bronze", "events"));
        return match options.sum_up {
            true => sum_up(tables.tables(), &url).await,
            false => measure(&tables, &url).await,
        };
    }
    let scratch = options.data.scratch()?;
    progress("writing a log");
    let log_bytes = write_log(&scratch.path().join("bronze/events/_delta_log"), &options)?;
    progress("opening and planning");
    let from_commits = in_own_process(scratch.path())?;
    progress("the same with a checkpoint");
    start(scratch.path(), &["--sum-up"])?;
    let from_checkpoint = in_own_process(scratch.path())?;
    let files = u64::from(options.partitions) * u64::from(options.files);
    report::print("planning", &options, &Results { files, log_bytes, from_commits, from_checkpoint })
}

/// Writes versions that add all files; gives the log's size.
fn write_log(folder: &Path, options: &Options) -> Result<u64> {
    let place = || format!("cannot write a log to {}", folder.display());
    fs::create_dir_all(folder).with_context(place)?;
    let mut adds = (0..options.partitions).flat_map(|day| (0..options.files).map(move |file| (day, file)));
    let mut bytes = 0;
    for version in 0.. {
        let path = folder.join(format!("{version:020}.json"));
        let actions: Vec<Value> = adds.by_ref().take(FILES_PER_VERSION).map(|(day, file)| add(day, file)).collect();
        if actions.is_empty() && version > 0 {
            break;
        }
        let mut out = BufWriter::new(fs::File::create(&path).with_context(place)?);
        let head = if version == 0 { creation() } else { Vec::new() };
        let info = json!({"commitInfo": {"timestamp": 1_700_000_000_000_i64 + version, "operation": "WRITE"}});
        for action in std::iter::once(info).chain(head).chain(actions) {
            serde_json::to_writer(&mut out, &action).with_context(place)?;
            out.write_all(b"\n").with_context(place)?;
        }
        out.flush().with_context(place)?;
        bytes += fs::metadata(&path).with_context(place)?.len();
    }
    Ok(bytes)
}

fn creation() -> Vec<Value> {
    let field = |name: &str, kind: &str| json!({"name": name, "type": kind, "nullable": false, "metadata": {}});
    let fields = [field("id", "string"), field("amount", "long"), field("at", "timestamp"), field("day", "date")];
    let schema = json!({"type": "struct", "fields": fields});
    vec![
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        json!({"metaData": {
            "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9", "format": {"provider": "parquet", "options": {}},
            "schemaString": schema.to_string(), "partitionColumns": ["day"], "configuration": {}, "createdTime": 0,
        }}),
    ]
}

fn add(day: u32, file: u32) -> Value {
    let date = FIRST_DAY + Days::new(day.into());
    let amount = i64::from(day) * ROWS_PER_FILE;
    let statistics = json!({
        "numRecords": ROWS_PER_FILE,
        "minValues": {"id": format!("{day:08x}{file:04x}0000"), "amount": amount, "at": format!("{date}T00:00:00.000Z")},
        "maxValues": {
            "id": format!("{day:08x}{file:04x}ffff"), "amount": amount + ROWS_PER_FILE - 1,
            "at": format!("{date}T23:59:59.999Z"),
        },
        "nullCount": {"id": 0, "amount": 0, "at": 0},
    });
    json!({"add": {
        "path": format!("day={date}/part-{file:05}-{day:08x}-4c1e-9d3b-c000.zstd.parquet"),
        "partitionValues": {"day": date.to_string()}, "size": 1_000_000, "modificationTime": 1_700_000_000_000_i64,
        "dataChange": true, "stats": statistics.to_string(),
    }})
}

async fn sum_up(tables: &Tables, url: &TableUrl) -> Result<()> {
    let options = CheckpointOptions { execute: true, now: Utc::now() };
    ensure!(checkpoint(tables, url, &options).await?.made, "the log had a checkpoint");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what this process is started for")]
async fn measure(engine: &Engine, url: &TableUrl) -> Result<()> {
    let watch = Stopwatch::start();
    let pinned = engine.tables().latest(url).await?.context("the table is not there")?;
    let open = watch.stop();
    let watch = Stopwatch::start();
    let again = engine.tables().latest(url).await?.context("the table is not there any more")?;
    let open_again = watch.stop();
    ensure!(again.version == pinned.version, "the table has changed");
    let context = SessionContext::new_with_state(engine.session_state(session_config(2))?);
    context.register_table("events", Arc::new(DeltaScan::of(engine.tables(), &pinned)))?;
    let day = FIRST_DAY + Days::new(pinned.files.len() as u64 / 20);
    let one_day = format!("SELECT id, amount FROM events WHERE day = DATE '{day}'");
    let first_days = format!("SELECT id FROM events WHERE amount < {}", 100 * ROWS_PER_FILE);
    let times = Times {
        open,
        open_again,
        plan_one_day: plan(&context, &one_day).await?,
        plan_first_days: plan(&context, &first_days).await?,
        plan_everything: plan(&context, "SELECT day, sum(amount) AS amount FROM events GROUP BY day").await?,
    };
    println!("{}", serde_json::to_string(&times)?);
    Ok(())
}

async fn plan(context: &SessionContext, sql: &str) -> Result<Planned> {
    let watch = Stopwatch::start();
    let plan = context.sql(sql).await?.create_physical_plan().await?;
    let took = watch.stop();
    let files = files_read(&plan);
    ensure!(files > 0, "the plan of {sql} reads no file");
    Ok(Planned { took, files })
}

fn files_read(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let source = plan.downcast_ref::<DataSourceExec>();
    let scan = source.and_then(|source| source.downcast_to_file_source::<ParquetSource>());
    let own: usize = scan.map_or(0, |(config, _)| config.file_groups.iter().map(|group| group.len()).sum());
    own + plan.children().into_iter().map(files_read).sum::<usize>()
}

fn in_own_process(folder: &Path) -> Result<Measured> {
    let ended = start(folder, &[])?;
    Ok(Measured { times: ended.json()?, peak_memory_bytes: ended.used.maxrss })
}

/// Starts this program on a table.
fn start(folder: &Path, options: &[&str]) -> Result<Ended> {
    process::run_itself(|command| {
        command.arg("--measure").arg(folder).args(options);
    })
}
