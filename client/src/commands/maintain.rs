//! `quickchat-etl maintain`.

use std::sync::Arc;
use std::time::Instant;

use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand};
use comfy_table::Table;
use quickchat_engine::Engine;
use quickchat_jobs::{Catalog, Contract};
use quickchat_lake::LakeError;
use quickchat_lake::maintenance::{CheckpointOptions, LEAST_RETENTION, VacuumOptions};
use quickchat_lake::write::FILE_BYTES;
use serde::Serialize;

use super::interrupted;
use super::{CommandError, INTERRUPTED, cluster};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::error::RunError;
use crate::maintenance::Maintenance;
use crate::output::{self, bytes, count};
use crate::progress::Display;
use crate::run::observer::Observer;
use crate::tables::LakeView;

/// What jobs aim for, too.
const FILE_MIB: u64 = FILE_BYTES >> 20;

/// Name under which a vacuum lists temporary files of runs that died.
const LANDING: &str = "temporary files";

#[derive(Debug, Subcommand)]
pub(super) enum MaintainCommand {
    /// Make few large files of many small ones, and put rows in order for faster reading
    Optimize {
        #[command(flatten)]
        chosen: Chosen,
        /// Aim for the size of a file, in MiB
        #[arg(long, default_value_t = FILE_MIB, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=4096))]
        file_mib: u64,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// List, or with --execute delete, files that no version of the last days needs
    Vacuum {
        #[command(flatten)]
        chosen: Chosen,
        /// For how many days old versions stay readable; at least 7
        #[arg(long, default_value_t = 7, value_name = "DAYS")]
        retention_days: u16,
        /// Delete the files; without it they are only listed
        #[arg(long)]
        execute: bool,
        /// How many files of each table to list at most; all are counted
        #[arg(long, default_value_t = 10, value_name = "N")]
        limit: usize,
    },
    /// Sum up logs, and drop their entries that are older than the log's retention (30 days)
    Checkpoint {
        #[command(flatten)]
        chosen: Chosen,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Chosen {
    /// Tables, for example silver.messages [default: all that were ever written]
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
}

/// What became of one table.
#[derive(Debug, Serialize)]
struct Report<T> {
    table: String,
    /// Absent when it failed.
    #[serde(flatten)]
    done: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct OptimizeReport {
    /// Whether it was done, or only planned.
    executed: bool,
    /// The version that was made; null if nothing was worth doing.
    version: Option<u64>,
    partitions: u64,
    postponed: u64,
    files_before: u64,
    files_after: u64,
    bytes_before: u64,
    /// Null if it was only planned.
    bytes_after: Option<u64>,
}

#[derive(Debug, Default, Serialize)]
struct VacuumReport {
    executed: bool,
    files: u64,
    bytes: u64,
    /// The first of them.
    first: Vec<UnusedFile>,
}

#[derive(Debug, Serialize)]
struct UnusedFile {
    path: String,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct CheckpointReport {
    executed: bool,
    version: u64,
    checkpoint_made: bool,
    entries_dropped: u64,
    bytes_dropped: u64,
}

pub(super) async fn maintain(config: &Config, command: &MaintainCommand) -> Result<u8, CommandError> {
    let catalog = Catalog::builtin()?;
    match command {
        MaintainCommand::Optimize { chosen, file_mib, dry_run: false } => {
            optimize(config, &catalog, chosen, file_mib << 20).await
        }
        MaintainCommand::Optimize { chosen, file_mib, dry_run: true } => {
            let tended = Tended::find(config, &catalog, &super::engine(config)?, chosen).await?;
            let reports =
                tended.each(async |contract| plan_optimize(&tended.maintenance, contract, file_mib << 20).await).await;
            print(config, &reports, optimize_table)
        }
        MaintainCommand::Vacuum { chosen, retention_days, execute, limit } => {
            let retention = TimeDelta::days(i64::from(*retention_days));
            if retention < LEAST_RETENTION {
                let (days, least_days) = (retention.num_days(), LEAST_RETENTION.num_days());
                return Err(CommandError::Usage(LakeError::Retention { days, least_days }.to_string()));
            }
            let options = VacuumOptions { retention, execute: *execute, now: Utc::now() };
            vacuum(config, &catalog, chosen, &options, *limit).await
        }
        MaintainCommand::Checkpoint { chosen, dry_run } => {
            let tended = Tended::find(config, &catalog, &super::engine(config)?, chosen).await?;
            let options = CheckpointOptions { execute: !dry_run, now: Utc::now() };
            let reports = tended.each(async |contract| checkpoint(&tended.maintenance, contract, &options).await).await;
            print(config, &reports, checkpoint_table)
        }
    }
}

/// The tables that a command looks after.
struct Tended {
    maintenance: Maintenance,
    contracts: Vec<Contract>,
}

impl Tended {
    /// The named tables, or all that were ever written.
    async fn find(config: &Config, catalog: &Catalog, engine: &Engine, chosen: &Chosen) -> Result<Self, CommandError> {
        let view = LakeView::new(config.lake.clone(), engine.tables().clone(), catalog);
        let maintenance = Maintenance::new(config.lake.clone(), engine.tables().clone());
        let mut contracts = Vec::new();
        if chosen.tables.is_empty() {
            for contract in view.contracts() {
                if maintenance.is_written(contract).await? {
                    contracts.push(contract.clone());
                }
            }
        }
        for name in &chosen.tables {
            contracts.push(view.contract(name)?.clone());
        }
        Ok(Self { maintenance, contracts })
    }

    /// Does something with one table after the other; a table that fails keeps none from its turn.
    async fn each<T>(&self, work: impl AsyncFn(&Contract) -> Result<T, RunError>) -> Vec<Report<T>> {
        let mut reports = Vec::with_capacity(self.contracts.len());
        for contract in &self.contracts {
            reports.push(Report::of(contract.table.to_string(), work(contract).await));
        }
        reports
    }
}

impl<T> Report<T> {
    fn of(table: String, done: Result<T, RunError>) -> Self {
        match done {
            Ok(done) => Self { table, done: Some(done), error: None, exit_code: 0 },
            Err(error) => {
                Self { table, done: None, exit_code: error.class().exit_code(), error: Some(error.with_causes()) }
            }
        }
    }
}

async fn optimize(config: &Config, catalog: &Catalog, chosen: &Chosen, file_bytes: u64) -> Result<u8, CommandError> {
    let cluster = cluster(config).await?;
    let tended = Tended::find(config, catalog, cluster.engine(), chosen).await;
    let reports = match &tended {
        Ok(tended) => tokio::select! {
            reports = optimize_all(tended, &cluster, file_bytes) => Some(reports),
            () = interrupted() => None,
        },
        Err(_) => Some(Vec::new()),
    };
    if reports.is_none() {
        tracing::warn!("interrupted: work on the cluster is being cancelled; what was committed stays");
        cluster.settle().await;
    }
    cluster.stop().await;
    tended?;
    match reports {
        Some(reports) => print(config, &reports, optimize_table),
        None => Ok(INTERRUPTED),
    }
}

async fn optimize_all(tended: &Tended, cluster: &Cluster, file_bytes: u64) -> Vec<Report<OptimizeReport>> {
    let display = Arc::new(Display::new());
    let work = async |contract: &Contract| {
        let (name, started) = (contract.table.to_string(), Instant::now());
        display.job_started(&name);
        let done = tended.maintenance.optimize(cluster, contract, file_bytes, Arc::clone(&display) as _).await;
        let how = match &done {
            Ok(done) if done.version.is_none() => "nothing to do".to_owned(),
            Ok(done) => format!("{} files in place of {}", count(done.files_added), count(done.files_removed)),
            Err(error) => format!("failed: {}", error.with_causes()),
        };
        display.ended(&name, &format!("{how} ({:.2} s)", started.elapsed().as_secs_f64()));
        done.map(|done| OptimizeReport {
            executed: true,
            version: done.version,
            partitions: done.partitions,
            postponed: done.postponed,
            files_before: done.files_removed,
            files_after: done.files_added,
            bytes_before: done.bytes_removed,
            bytes_after: Some(done.bytes_added),
        })
    };
    tended.each(work).await
}

async fn plan_optimize(
    maintenance: &Maintenance,
    contract: &Contract,
    file_bytes: u64,
) -> Result<OptimizeReport, RunError> {
    let plan = maintenance.plan_optimize(contract, file_bytes).await?;
    Ok(OptimizeReport {
        executed: false,
        version: None,
        partitions: plan.partitions(),
        postponed: 0,
        files_before: plan.files(),
        files_after: plan.expected_files(),
        bytes_before: plan.bytes(),
        bytes_after: None,
    })
}

async fn vacuum(
    config: &Config,
    catalog: &Catalog,
    chosen: &Chosen,
    options: &VacuumOptions,
    limit: usize,
) -> Result<u8, CommandError> {
    let tended = Tended::find(config, catalog, &super::engine(config)?, chosen).await?;
    let work = async |contract: Option<&Contract>| {
        let mut first = Vec::new();
        let mut found = |path: &str, bytes: u64| {
            if first.len() < limit {
                first.push(UnusedFile { path: path.to_owned(), bytes });
            }
        };
        let done = match contract {
            Some(contract) => tended.maintenance.vacuum(contract, options, &mut found).await?,
            None => tended.maintenance.vacuum_landing(options, &mut found).await?,
        };
        Ok::<_, RunError>(VacuumReport { executed: options.execute, files: done.files, bytes: done.bytes, first })
    };
    let mut reports = tended.each(async |contract| work(Some(contract)).await).await;
    if chosen.tables.is_empty() {
        reports.push(Report::of(LANDING.to_owned(), work(None).await));
    }
    let code = print(config, &reports, vacuum_table)?;
    if !options.execute && reports.iter().filter_map(|report| report.done.as_ref()).any(|done| done.files > 0) {
        tracing::info!("nothing was deleted; --execute does it");
    }
    Ok(code)
}

async fn checkpoint(
    maintenance: &Maintenance,
    contract: &Contract,
    options: &CheckpointOptions,
) -> Result<CheckpointReport, RunError> {
    let done = maintenance.checkpoint(contract, options).await?;
    Ok(CheckpointReport {
        executed: options.execute,
        version: done.version,
        checkpoint_made: done.made,
        entries_dropped: done.dropped,
        bytes_dropped: done.dropped_bytes,
    })
}

/// Prints the reports; what failed goes to standard error too. Gives the exit code.
fn print<T: Serialize>(
    config: &Config,
    reports: &[Report<T>],
    table: fn(&[Report<T>]) -> Table,
) -> Result<u8, CommandError> {
    output::print(config.output, &reports, || table(reports))?;
    for report in reports {
        if let Some(error) = &report.error {
            tracing::error!("{}: {error}", report.table);
        }
    }
    Ok(reports.iter().map(|report| report.exit_code).max().unwrap_or(0))
}

/// A table with a line per report: its cells, or that it failed.
fn lines<T>(titles: &[&str], reports: &[Report<T>], cells: impl Fn(&T) -> Vec<String>) -> Table {
    let mut table = output::table(titles);
    for report in reports {
        let mut row = vec![report.table.clone()];
        match &report.done {
            Some(done) => row.extend(cells(done)),
            None => {
                row.resize(titles.len() - 1, String::new());
                row.push("failed".to_owned());
            }
        }
        table.add_row(row);
    }
    table
}

fn optimize_table(reports: &[Report<OptimizeReport>]) -> Table {
    let titles = ["table", "#partitions", "#files before", "#after", "#size before", "#after", "what was done"];
    lines(&titles, reports, |done| {
        let what = match (done.executed, done.version, done.files_before) {
            (true, Some(version), _) => format!("version {version}"),
            (false, _, files) if files > 0 => "to be done".to_owned(),
            _ => "nothing to do".to_owned(),
        };
        let postponed = match done.postponed {
            0 => String::new(),
            partitions => format!("; {} partitions were busy", count(partitions)),
        };
        vec![
            count(done.partitions),
            count(done.files_before),
            count(done.files_after),
            bytes(done.bytes_before),
            done.bytes_after.map(bytes).unwrap_or_default(),
            what + &postponed,
        ]
    })
}

fn vacuum_table(reports: &[Report<VacuumReport>]) -> Table {
    let mut table = output::table(&["table", "#files", "#size", "what was done"]);
    for report in reports {
        let Some(done) = &report.done else {
            table.add_row([report.table.as_str(), "", "", "failed"]);
            continue;
        };
        let what = match (done.files, done.executed) {
            (0, _) => "nothing to do",
            (_, true) => "deleted",
            (_, false) => "to be deleted",
        };
        table.add_row([&report.table, &count(done.files), &bytes(done.bytes), what]);
        for file in &done.first {
            table.add_row([&format!("  {}", file.path), "", &bytes(file.bytes), ""]);
        }
        let more = done.files.saturating_sub(done.first.len() as u64);
        if more > 0 && !done.first.is_empty() {
            table.add_row([&format!("  and {} more", count(more)), "", "", ""]);
        }
    }
    table
}

fn checkpoint_table(reports: &[Report<CheckpointReport>]) -> Table {
    let titles = ["table", "#version", "#entries dropped", "#size", "checkpoint"];
    lines(&titles, reports, |done| {
        let what = match (done.checkpoint_made, done.executed) {
            (true, true) => "made",
            (true, false) => "to be made",
            (false, _) => "was there",
        };
        vec![done.version.to_string(), count(done.entries_dropped), bytes(done.bytes_dropped), what.to_owned()]
    })
}
