//! How fast rows become a table: `bronze.messages`, partitioned by date, written by the embedded cluster.
//!
//! Three plans over the same staged rows, each more than the one before:
//! * `scan` only reads every column of them, to know what of the others is reading,
//! * `in_place` writes them by the tasks that read them, as the landing of a source does,
//! * `by_partition` is [`Lake::replace`] into a new table: a shuffle by date, a sort, one writer for each date, the
//!   fingerprints, the commit. This is how every table of the lake is written.
//!
//! Rates count all of the time of a plan, its reading included. 1 MB is 1,000,000 bytes; Arrow bytes are those that
//! the rows need, without spare capacity.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::ident;
use futures::TryStreamExt;
use quickchat_benches::clock::{Stopwatch, Took};
use quickchat_benches::messages::{MessagesLake, MessagesOptions};
use quickchat_benches::{progress, report};
use quickchat_lake::commit::TransactionId;
use quickchat_lake::operation::{CommitNote, Lake, Scope, remove_folder};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::snapshot::PinnedTable;
use quickchat_lake::write::{Distribution, FileOutput, Output, Receipts, Sink, WriteNode, WriteSpec};
use report::Spread;
use serde::Serialize;

/// Measures how fast rows become a table.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: MessagesOptions,
}

#[derive(Serialize)]
struct Results {
    rows: u64,
    arrow_bytes: u64,
    staged_parquet_bytes: u64,
    scan: Figures,
    in_place: Figures,
    by_partition: Figures,
}

#[derive(Serialize)]
struct Figures {
    seconds: Spread,
    cpu_seconds: Option<Spread>,
    rows_per_second: Spread,
    arrow_mb_per_second: Spread,
    /// Of the last round; absent if nothing is written.
    written: Option<Written>,
}

#[derive(Clone, Copy, Serialize)]
struct Written {
    files: u64,
    parquet_bytes: u64,
    parquet_mb_per_second: f64,
}

/// What a write left behind.
struct Files {
    rows: u64,
    files: u64,
    bytes: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse().common;
    let exports = options.exports()?;
    let scratch = options.scratch()?;
    let lake = MessagesLake::start(scratch.path(), options.slots).await?;
    progress("staging the rows");
    lake.ingest(&exports.folder).await?;
    let bench = Bench::new(lake, options.rounds).await?;
    let results = bench.run().await;
    bench.lake.stop().await;
    report::print("write", &options, &results?)
}

struct Bench {
    lake: MessagesLake,
    operations: Lake,
    staged: Arc<PinnedTable>,
    rows: u64,
    arrow_bytes: u64,
    rounds: u16,
}

impl Bench {
    async fn new(lake: MessagesLake, rounds: u16) -> Result<Self> {
        let (operations, staged) = (lake.operations()?, lake.pinned().await?);
        let rows = staged.rows().context("the log does not say how many rows were staged")?;
        let bench = Self { lake, operations, staged, rows, arrow_bytes: 0, rounds };
        let arrow_bytes = bench.count_arrow_bytes().await?;
        Ok(Self { arrow_bytes, ..bench })
    }

    async fn run(&self) -> Result<Results> {
        Ok(Results {
            rows: self.rows,
            arrow_bytes: self.arrow_bytes,
            staged_parquet_bytes: self.staged.bytes(),
            scan: self.scan().await?,
            in_place: self.in_place().await?,
            by_partition: self.by_partition().await?,
        })
    }

    /// The staged rows as a plan.
    fn rows(&self) -> Result<LogicalPlanBuilder> {
        let scan = DeltaScan::of(self.operations.tables(), &self.staged);
        Ok(LogicalPlanBuilder::scan("staged", provider_as_source(Arc::new(scan)), None)?)
    }

    async fn count_arrow_bytes(&self) -> Result<u64> {
        let plan = self.rows()?.build()?;
        let mut batches = self.lake.cluster().submit(&plan, "measure rows").await?.stream().await?;
        let mut bytes = 0;
        while let Some(batch) = batches.try_next().await? {
            for column in batch.columns() {
                bytes += column.to_data().get_slice_memory_size()? as u64;
            }
        }
        Ok(bytes)
    }

    async fn scan(&self) -> Result<Figures> {
        let columns = self.staged.schema.fields().iter();
        let counts: Vec<_> = columns.map(|field| count(ident(field.name())).alias(field.name())).collect();
        let no_groups: [datafusion::prelude::Expr; 0] = [];
        let plan = self.rows()?.aggregate(no_groups, counts)?.build()?;
        let mut rounds = Vec::new();
        for round in 0..=self.rounds {
            progress(&format!("scan, round {round}"));
            let watch = Stopwatch::start();
            self.submit(&plan, "scan").await?;
            rounds.push(watch.stop());
        }
        Ok(self.figures(&rounds[1..], None))
    }

    async fn in_place(&self) -> Result<Figures> {
        let (mut rounds, mut last) = (Vec::new(), None);
        for round in 0..=self.rounds {
            progress(&format!("write in place, round {round}"));
            let folder = self.lake.folder(&format!("in_place_{round}"));
            let spec = WriteSpec {
                name: "in place".to_owned(),
                distribution: Distribution::InPlace,
                count_by: Vec::new(),
                route: None,
                outputs: vec![Output {
                    route: 0,
                    sink: Sink::Files(Box::new(FileOutput::new(folder.clone(), &self.staged.schema)?)),
                }],
            };
            let plan = WriteNode::try_new(self.rows()?.build()?, Arc::new(spec))?.into_plan();
            let watch = Stopwatch::start();
            let receipts = Receipts::decode(&self.submit(&plan, "write in place").await?)?;
            rounds.push(watch.stop());
            let files = receipts.files(0);
            last = Some(self.check(Files {
                rows: receipts.count(0).unsigned_abs(),
                files: files.len() as u64,
                bytes: files.iter().map(|file| file.size.unsigned_abs()).sum(),
            })?);
            remove_folder(self.operations.tables(), &folder).await;
        }
        Ok(self.figures(&rounds[1..], last))
    }

    async fn by_partition(&self) -> Result<Figures> {
        let (mut rounds, mut last) = (Vec::new(), None);
        for round in 0..=self.rounds {
            progress(&format!("write by partition, round {round}"));
            let folder = self.lake.folder(&format!("by_partition_{round}"));
            let target = self.lake.twin(folder.clone())?;
            let transaction =
                TransactionId { application: "bench".to_owned(), sequence: 1, run: format!("round {round}") };
            let note = CommitNote { transaction, info: &|_| serde_json::Map::new() };
            let rows = self.rows()?.build()?;
            let watch = Stopwatch::start();
            let written = self.operations.replace(&target, rows, &Scope::Table, &note).await?;
            rounds.push(watch.stop());
            last = Some(self.check(Files { rows: written.written, files: written.files, bytes: written.bytes })?);
            remove_folder(self.operations.tables(), &folder).await;
        }
        Ok(self.figures(&rounds[1..], last))
    }

    async fn submit(&self, plan: &LogicalPlan, name: &str) -> Result<Vec<arrow::array::RecordBatch>> {
        Ok(self.lake.cluster().submit(plan, name).await?.collect().await?)
    }

    fn check(&self, files: Files) -> Result<Files> {
        ensure!(files.rows == self.rows, "{} rows were written in place of {}", files.rows, self.rows);
        Ok(files)
    }

    fn figures(&self, rounds: &[Took], last: Option<Files>) -> Figures {
        let seconds = Spread::wall(rounds);
        let rate = |amount: f64| Spread::rate(amount, rounds.iter().map(|took| took.seconds));
        Figures {
            seconds,
            cpu_seconds: Spread::cpu(rounds),
            rows_per_second: rate(self.rows as f64),
            arrow_mb_per_second: rate(self.arrow_bytes as f64 / 1e6),
            written: last.map(|files| Written {
                files: files.files,
                parquet_bytes: files.bytes,
                parquet_mb_per_second: files.bytes as f64 / 1e6 / seconds.median,
            }),
        }
    }
}
