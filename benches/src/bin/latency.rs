//! How long small things take: starting an embedded cluster, a trivial query, a query of three stages.
//!
//! A query's time is what its caller waits: from SQL text, through planning, scheduling and fetching, to rows.
//! Milliseconds, as percentiles; the first query of a cluster is not counted.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use datafusion::prelude::{CsvReadOptions, SessionContext};
use quickchat_benches::data::DataOptions;
use quickchat_benches::{progress, report};
use quickchat_client::cluster::{Cluster, EmbeddedOptions};
use report::Percentiles;
use serde::Serialize;

/// Measures how long small things take on an embedded cluster.
#[derive(Debug, Parser, Serialize)]
struct Options {
    /// How often each is measured
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Tasks at a time [default: the number of cores]
    #[arg(long)]
    slots: Option<usize>,
    #[command(flatten)]
    data: DataOptions,
}

/// All in milliseconds.
#[derive(Serialize)]
struct Results {
    start: Percentiles,
    stop: Percentiles,
    trivial_query: Percentiles,
    three_stage_query: Percentiles,
}

const TRIVIAL: &str = "select 1 + 1 as two";

/// Two shuffles by hash, then one partition in order.
const THREE_STAGES: &str = "select k, sum(n) as n, sum(s) as s from \
    (select v % 10 as k, v % 3 as j, count(*) as n, sum(v) as s from numbers group by v % 10, v % 3) \
    group by k order by k";

const FILES: i64 = 4;
const ROWS_PER_FILE: i64 = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let scratch = options.data.scratch()?;
    write_numbers(scratch.path())?;
    let (start, stop) = start_and_stop(&options).await?;
    let cluster = embedded(&options).await?;
    let session = cluster.session()?;
    session.register_csv("numbers", scratch.path().to_string_lossy(), CsvReadOptions::new()).await?;
    let trivial_query = query(&cluster, &session, TRIVIAL, 1, &options).await?;
    let three_stage_query = query(&cluster, &session, THREE_STAGES, 10, &options).await?;
    cluster.stop().await;
    report::print("latency", &options, &Results { start, stop, trivial_query, three_stage_query })
}

fn write_numbers(folder: &Path) -> Result<()> {
    for file in 0..FILES {
        let mut text = "v\n".to_owned();
        for row in 0..ROWS_PER_FILE {
            writeln!(text, "{}", file * ROWS_PER_FILE + row)?;
        }
        std::fs::write(folder.join(format!("numbers-{file}.csv")), text).context("cannot write the queries' data")?;
    }
    Ok(())
}

async fn embedded(options: &Options) -> Result<Cluster> {
    let defaults = EmbeddedOptions::default();
    let slots = options.slots.unwrap_or(defaults.slots);
    Ok(Cluster::embedded(EmbeddedOptions { slots, ..defaults }).await?)
}

async fn start_and_stop(options: &Options) -> Result<(Percentiles, Percentiles)> {
    progress("starting clusters");
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..options.runs {
        let started = Instant::now();
        let cluster = embedded(options).await?;
        starts.push(milliseconds(started));
        let stopped = Instant::now();
        cluster.stop().await;
        stops.push(milliseconds(stopped));
    }
    Ok((Percentiles::of(starts), Percentiles::of(stops)))
}

async fn query(
    cluster: &Cluster,
    session: &SessionContext,
    sql: &str,
    expected_rows: usize,
    options: &Options,
) -> Result<Percentiles> {
    progress(&format!("running {sql}"));
    let mut times = Vec::new();
    for run in 0..=options.runs {
        let started = Instant::now();
        let plan = session.sql(sql).await?.into_unoptimized_plan();
        let batches = cluster.submit(&plan, "latency").await?.collect().await?;
        if run > 0 {
            times.push(milliseconds(started));
        }
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        ensure!(rows == expected_rows, "{rows} rows in place of {expected_rows}");
    }
    Ok(Percentiles::of(times))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
