//! `quickchat-etl run`.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;
use quickchat_engine::Engine;
use quickchat_jobs::{Catalog, Job};
use quickchat_sources::ExportFolder;

use super::{CommandError, INTERRUPTED, OUT_OF_REACH, cluster, interrupted};
use crate::cluster::{Cluster, EmbeddedOptions};
use crate::config::Config;
use crate::instant::parse_instant;
use crate::output;
use crate::progress::Display;
use crate::record::{Recorder, Request};
use crate::run::observer::{Observer, Silent};
use crate::run::{Run, RunOptions};
use crate::{ErrorClass, Sources, with_causes};

/// How long after a job's cancellation its tasks may still write.
const LAST_FILES: Duration = Duration::from_millis(500);

/// Which jobs, and as of when.
#[derive(Debug, Args)]
pub(super) struct JobsArguments {
    /// Tables, layers, schedules, full-pipeline; with + before or after for all inputs or all readers
    #[arg(required = true, value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// What the run takes for now, exclusive: 2026-01-31T12:00:00Z, or a date for its first instant [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    as_of: Option<DateTime<Utc>>,
    /// Compute everything, whatever the tables have already
    #[arg(long)]
    full_refresh: bool,
}

/// What to run.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    jobs: JobsArguments,
    /// Only say what each job would do and why, like the command `plan`
    #[arg(long)]
    dry_run: bool,
    /// Run once for each date from this one on, as of its end; needs --to
    #[arg(long, value_name = "DATE", requires = "to", conflicts_with_all = ["as_of", "dry_run"])]
    from: Option<NaiveDate>,
    /// The last date of --from
    #[arg(long, value_name = "DATE", requires = "from")]
    to: Option<NaiveDate>,
    /// Jobs at a time
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
}

pub(super) async fn run(config: &Config, arguments: &RunArguments) -> Result<u8, CommandError> {
    if arguments.dry_run {
        return plan(config, &arguments.jobs).await;
    }
    let catalog = Catalog::builtin()?;
    let jobs = catalog.select(&arguments.jobs.selectors)?;
    let instants = instants(arguments)?;
    let selectors = arguments.jobs.selectors.clone();
    let first = instants.first().map_or(0, DateTime::timestamp_micros);
    let (sources, cluster) = match prepare(config, &jobs).await {
        Ok(prepared) => prepared,
        Err(error) => return Err(not_started(config, Request { selectors, as_of_micros: first }, error).await),
    };
    let mut code = 0;
    for as_of in instants {
        let options = RunOptions {
            as_of_micros: as_of.timestamp_micros(),
            parallel: arguments.parallel.into(),
            full_refresh: arguments.jobs.full_refresh,
        };
        match one_run(config, &catalog, &jobs, &selectors, &sources, &cluster, &options).await? {
            INTERRUPTED => return Ok(INTERRUPTED),
            0 => {}
            failed => {
                code = failed;
                break;
            }
        }
    }
    cluster.stop().await;
    Ok(code)
}

/// Runs jobs as of one instant, and records that.
async fn one_run(
    config: &Config,
    catalog: &Catalog,
    jobs: &[&Job],
    selectors: &[String],
    sources: &Sources,
    cluster: &Cluster,
    options: &RunOptions,
) -> Result<u8, CommandError> {
    let request = Request { selectors: selectors.to_vec(), as_of_micros: options.as_of_micros };
    let tables = cluster.engine().tables().clone();
    let recorder = Arc::new(Recorder::new(tables, config.lake.clone(), request, Arc::new(Display::new())));
    let observer: Arc<dyn Observer> = Arc::<Recorder>::clone(&recorder);
    let run = Run::new(cluster.clone(), catalog.clone(), config.lake.clone(), sources.clone(), options, observer)?;
    let report = tokio::select! {
        ((), report) = async { tokio::join!(recorder.start(run.id()), run.execute(jobs)) } => Some(report),
        () = interrupted() => None,
    };
    let Some(report) = report else {
        tracing::warn!(
            "interrupted: jobs on the cluster are being cancelled; no table has changed since the last job ended"
        );
        tokio::select! {
            ((), ()) = async { tokio::join!(recorder.interrupted(), give_up(&run, cluster.clone())) } => {}
            // Who interrupts twice does not want to wait for a clean end.
            () = interrupted() => {}
        }
        return Ok(INTERRUPTED);
    };
    tokio::select! {
        () = recorder.end(&report) => {}
        () = interrupted() => tracing::warn!("interrupted: the run is done, but `runs list` may not know that"),
    }
    output::print_run(config.output, &report)?;
    if report.nothing_changed() {
        tracing::info!("nothing changed: no table has new rows");
    }
    Ok(report.exit_code())
}

/// The instants to run as of, one after the other.
fn instants(arguments: &RunArguments) -> Result<Vec<DateTime<Utc>>, CommandError> {
    let (Some(from), Some(to)) = (arguments.from, arguments.to) else {
        return Ok(vec![arguments.jobs.as_of.unwrap_or_else(Utc::now)]);
    };
    if to < from {
        return Err(CommandError::Usage(format!("--to {to} is before --from {from}; exchange the two dates")));
    }
    let dates = from.iter_days().take_while(|date| *date <= to);
    // A run as of a date's end reports that date in full.
    dates
        .map(|date| date.succ_opt().map(|next| next.and_time(NaiveTime::MIN).and_utc()))
        .collect::<Option<_>>()
        .ok_or_else(|| CommandError::Usage(format!("--to {to} is the last date there is; give an earlier one")))
}

/// Says what jobs would do. Nothing runs, so the cluster is one inside this process, whatever is configured.
pub(super) async fn plan(config: &Config, arguments: &JobsArguments) -> Result<u8, CommandError> {
    let catalog = Catalog::builtin()?;
    let jobs = catalog.select(&arguments.selectors)?;
    let sources = sources(config, &jobs).await?;
    let cluster = Cluster::embedded(EmbeddedOptions::default()).await?;
    let options = RunOptions {
        as_of_micros: arguments.as_of.unwrap_or_else(Utc::now).timestamp_micros(),
        parallel: 1,
        full_refresh: arguments.full_refresh,
    };
    let root = config.lake.clone();
    let run = Run::new(cluster.clone(), catalog.clone(), root, sources, &options, Arc::new(Silent))?;
    let plan = run.plan(&jobs).await;
    cluster.stop().await;
    let plan = plan?;
    output::print(config.output, &plan, || output::plan_table(&plan))?;
    Ok(0)
}

/// Everything that a run needs besides its jobs.
async fn prepare(config: &Config, jobs: &[&Job]) -> Result<(Sources, Cluster), CommandError> {
    Ok((sources(config, jobs).await?, cluster(config).await?))
}

/// Records a run that outside systems kept from starting. What the caller can mend at once is no run.
async fn not_started(config: &Config, request: Request, error: CommandError) -> CommandError {
    if error.exit_code() == OUT_OF_REACH {
        let tables = Engine::default().tables().clone();
        let recorder = Recorder::new(tables, config.lake.clone(), request, Arc::new(Silent));
        recorder.failed_to_start(&with_causes(&error), ErrorClass::External).await;
    }
    error
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
