//! `quickchat-etl run`.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use quickchat_jobs::{Catalog, Job};
use quickchat_sources::ExportFolder;
use serde::Serialize;

use super::{CommandError, INTERRUPTED, cluster};
use crate::Sources;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::instant::parse_instant;
use crate::output;
use crate::progress::Display;
use crate::run::{Run, RunOptions};

/// How long after a job's cancellation its tasks may still write.
const LAST_FILES: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Tables, layers, schedules, full-pipeline; with + before or after for all inputs or all readers
    #[arg(required = true, value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// What the run takes for now, exclusive: 2026-01-31T12:00:00Z, or a date for its first instant [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    as_of: Option<DateTime<Utc>>,
    /// Recompute everything. So far every run does, whatever this says
    #[arg(long)]
    full_refresh: bool,
    /// Only say which jobs would run, in order
    #[arg(long)]
    dry_run: bool,
    /// Jobs at a time
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
}

pub(super) async fn run(config: &Config, arguments: &RunArguments) -> Result<u8, CommandError> {
    let catalog = Catalog::builtin()?;
    let jobs = catalog.select(&arguments.selectors)?;
    if arguments.dry_run {
        return dry_run(config, &jobs);
    }
    let sources = sources(config, &jobs).await?;
    let cluster = cluster(config).await?;
    let options = RunOptions {
        as_of_micros: arguments.as_of.unwrap_or_else(Utc::now).timestamp_micros(),
        parallel: arguments.parallel.into(),
    };
    let run = Run::new(cluster.clone(), config.lake.clone(), sources, &options, Arc::new(Display::new()))?;
    let report = tokio::select! {
        report = run.execute(&catalog, &jobs) => Some(report),
        () = interrupted() => None,
    };
    let Some(report) = report else {
        tracing::warn!(
            "interrupted: jobs on the cluster are being cancelled; no table has changed since the last job ended"
        );
        tokio::select! {
            () = give_up(&run, cluster) => {}
            // Who interrupts twice does not want to wait for a clean end.
            () = interrupted() => {}
        }
        return Ok(INTERRUPTED);
    };
    cluster.stop().await;
    output::print(config.output, &report, || output::run_table(&report))?;
    if report.nothing_changed() {
        tracing::info!("nothing changed: no table has a new version");
    }
    Ok(report.exit_code())
}

/// Ends what a run has begun on the cluster, and removes its temporary files.
async fn give_up(run: &Run, cluster: Cluster) {
    cluster.settle().await;
    run.clean_up().await;
    // A task may end a moment after its job, and may have been about to close a file.
    tokio::time::sleep(LAST_FILES).await;
    run.clean_up().await;
    cluster.stop().await;
}

/// Waits for Ctrl-C.
pub(super) async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "an interrupt cannot be noticed on this system");
        std::future::pending::<()>().await;
    }
}

/// The sources, if one of the jobs reads any.
async fn sources(config: &Config, jobs: &[&Job]) -> Result<Sources, CommandError> {
    if jobs.iter().all(|job| job.source().is_none()) {
        return Ok(Sources::none());
    }
    match &config.exports {
        Some(folder) => Ok(Sources::exports(ExportFolder::open(folder).await?)),
        None => Err(CommandError::Usage(
            "these jobs read the chat application's data, but no source is configured; give the export folder with \
             --exports or EXPORTS_PATH"
                .to_owned(),
        )),
    }
}

#[derive(Serialize)]
struct PlannedJob {
    job: String,
    reads: Vec<String>,
}

fn dry_run(config: &Config, jobs: &[&Job]) -> Result<u8, CommandError> {
    let planned: Vec<PlannedJob> = jobs
        .iter()
        .map(|job| PlannedJob {
            job: job.name().to_string(),
            reads: job.reads().iter().map(ToString::to_string).collect(),
        })
        .collect();
    output::print(config.output, &planned, || {
        let mut table = output::table(&["job", "reads"]);
        for job in &planned {
            table.add_row([job.job.clone(), job.reads.join(", ")]);
        }
        table
    })?;
    Ok(0)
}
