//! `quickchat-etl run`.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;
use quickchat_engine::Engine;
use quickchat_jobs::{Catalog, Job};
use quickchat_lake::operation::Closed;
use quickchat_lake::stores::ObjectStores;
use quickchat_sources::{Collection, SourceError};

use super::{CommandError, INTERRUPTED, OUT_OF_REACH, cluster, interrupted};
use crate::cluster::{Cluster, EmbeddedOptions};
use crate::config::Config;
use crate::doctor::names_a_live_system;
use crate::instant::parse_instant;
use crate::output;
use crate::progress::Display;
use crate::record::{Recorder, Request};
use crate::run::observer::{Observer, Silent};
use crate::run::report::RunReport;
use crate::run::{Run, RunOptions};
use crate::sources::open_exports;
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
    /// Compare ids with the live systems, and mark rows that these no longer have (is_deleted_at_source)
    #[arg(long, conflicts_with = "dry_run")]
    detect_deletes: bool,
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
    let (sources, cluster) = match prepare(config, &jobs).await {
        Ok(prepared) => prepared,
        Err(error) => {
            let first = instants.first().map_or(0, DateTime::timestamp_micros);
            let request = Request { selectors: arguments.jobs.selectors.clone(), as_of_micros: first };
            return Err(not_started(config, request, error).await);
        }
    };
    let runs = Runs { config, arguments, catalog: &catalog, jobs: &jobs, sources, cluster: cluster.clone() };
    let code = runs.one_after_the_other(&instants).await;
    // An interrupt has stopped the cluster, as far as the user let it.
    if !matches!(code, Ok(INTERRUPTED)) {
        cluster.stop().await;
    }
    code
}

/// The runs of one command: the same jobs, as of one or several instants.
struct Runs<'a> {
    config: &'a Config,
    arguments: &'a RunArguments,
    catalog: &'a Catalog,
    jobs: &'a [&'a Job],
    sources: Sources,
    cluster: Cluster,
}

impl Runs<'_> {
    /// Runs until one fails or is interrupted, and tells how each ended.
    async fn one_after_the_other(&self, instants: &[DateTime<Utc>]) -> Result<u8, CommandError> {
        let mut reports = Vec::new();
        let mut code = 0;
        for as_of in instants {
            let Some(report) = self.as_of(*as_of).await? else {
                code = INTERRUPTED;
                break;
            };
            code = report.exit_code();
            output::print_run_table(self.config.output, &report)?;
            reports.push(report);
            if code != 0 {
                break;
            }
        }
        match (self.arguments.from, reports.as_slice()) {
            (None, []) => {}
            (None, [report, ..]) => output::print_json(self.config.output, report)?,
            // One document for all dates, so that what reads it need not know where one ends.
            (Some(_), reports) => output::print_json(self.config.output, &reports)?,
        }
        Ok(code)
    }

    /// Runs the jobs as of one instant, and records that; none if it was interrupted.
    async fn as_of(&self, as_of: DateTime<Utc>) -> Result<Option<RunReport>, CommandError> {
        let options = RunOptions {
            as_of_micros: as_of.timestamp_micros(),
            parallel: self.arguments.parallel.into(),
            full_refresh: self.arguments.jobs.full_refresh,
            detect_deletions: self.arguments.detect_deletes,
        };
        let root = || self.config.lake.clone();
        let request = Request { selectors: self.arguments.jobs.selectors.clone(), as_of_micros: options.as_of_micros };
        let tables = self.cluster.engine().tables().clone();
        let recorder = Arc::new(Recorder::new(tables, root(), request, Arc::new(Display::new())));
        let observer: Arc<dyn Observer> = Arc::<Recorder>::clone(&recorder);
        let (catalog, sources) = (self.catalog.clone(), self.sources.clone());
        let run = Run::new(self.cluster.clone(), catalog, root(), sources, &options, observer)?;
        let report = tokio::select! {
            ((), report) = async { tokio::join!(recorder.start(run.id()), run.execute(self.jobs)) } => report,
            closed = interrupted_between_commits(&run) => {
                self.interrupt(&run, closed.as_ref(), &recorder).await;
                return Ok(None);
            }
        };
        tokio::select! {
            () = recorder.end(&report) => {}
            () = interrupted() => tracing::warn!("interrupted: the run is done, but `runs list` may not know that"),
        }
        if report.nothing_changed() {
            tracing::info!("nothing changed: no table has new rows");
        }
        Ok(Some(report))
    }

    async fn interrupt(&self, run: &Run, closed: Option<&Closed>, recorder: &Recorder) {
        tracing::warn!("interrupted: jobs on the cluster are being cancelled; {}", what_changed(closed));
        tokio::select! {
            ((), ()) = async { tokio::join!(recorder.interrupted(), give_up(run, self.cluster.clone())) } => {}
            // Who interrupts twice does not want to wait for a clean end.
            () = interrupted() => {}
        }
    }
}

/// Waits for an interrupt, and then for commits under way; not for these if there is a second interrupt.
async fn interrupted_between_commits(run: &Run) -> Option<Closed> {
    interrupted().await;
    tokio::select! {
        closed = run.close() => Some(closed),
        () = interrupted() => None,
    }
}

/// What a run that is given up has changed, for people.
fn what_changed(closed: Option<&Closed>) -> String {
    let Some(closed) = closed else {
        return "tables may get a version that was being committed; `tables history` tells".to_owned();
    };
    let versions: Vec<String> =
        closed.committed().iter().map(|(table, version)| format!("{table} (version {version})")).collect();
    match versions.as_slice() {
        [] => "no table has changed".to_owned(),
        versions => format!("the run changed {} and no other table", versions.join(", ")),
    }
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
        detect_deletions: false,
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
    let Some(media) = &config.media else { return documents(config).await };
    media.check().await.map_err(SourceError::from)?;
    // Who has media alone needs nothing else.
    let others = |job: &&Job| job.source().is_some_and(|source| source.table() != Collection::Media.name());
    let sources = if jobs.iter().any(others) { documents(config).await? } else { Sources::none() };
    Ok(sources.with_media(media.clone()))
}

/// The sources of everything but media, which they have too where these have no folder of their own.
async fn documents(config: &Config) -> Result<Sources, CommandError> {
    if let Some(folder) = &config.exports {
        // Each process of the cluster opens it by its own environment.
        return Ok(Sources::exports(open_exports(folder, &ObjectStores::new()).await?));
    }
    // The processes of a remote cluster know where the systems are, and this one need not.
    if config.scheduler.is_none() && !names_a_live_system() {
        return Err(CommandError::Usage(
            "these jobs read the chat application's data, but no source is configured; give an export folder with \
             --exports or EXPORTS_PATH, or the addresses of the live systems with MONGODB_URI and MYSQL_URL"
                .to_owned(),
        ));
    }
    Ok(Sources::live(config.live.clone()))
}
