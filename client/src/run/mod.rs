//! Running jobs: in the order of the graph, independent ones side by side, each from pinned inputs to one commit.
//!
//! Jobs are inert descriptions of the catalog; this module is the one driver that pins their inputs, plans their
//! query, has it run and written, and commits. So a job cannot do any of it differently, and progress, counts, errors
//! and commit metadata are the same for all. The rejected alternative, a program per job, is what the replaced system
//! had.
//!
//! * [`graph`] decides what may run now,
//! * [`decide`] compares a job's inputs with the [`basis`] of its stored rows: nothing to do, a part, or everything,
//! * [`units`] asks the cluster which part, where only rows can tell ([`ask`] is how),
//! * [`derive`] runs a job whose rows are computed from tables,
//! * [`ingest`] runs a job whose rows come from a source,
//! * [`pins`] keeps which version of a table the run reads,
//! * [`inputs`] makes pinned tables visible to a query,
//! * [`observer`] hears of everything that happens,
//! * [`report`] says in the end what was done.
//!
//! # What a run needs to reach
//!
//! The process that runs jobs may be far away from the data: it reaches the scheduler, and of the lake's store
//!
//! * `<table>/_delta_log/`, which it lists, reads and adds to,
//! * `_probe/` in the folder that it first writes to, where it creates and deletes an object before that (see
//!   `quickchat_lake::stores`),
//! * `ops/runs/`, the records of runs, whose few rows it writes itself and may have to read again after a compaction,
//! * `_landing/<run>/heartbeat`, which it writes once a minute.
//!
//! Two things it only tries. It lists and deletes the temporary files of the run, below `_landing/<run>/`, and deletes
//! data files that were written and not committed. Where the store refuses, they stay, a warning says so, and vacuum
//! removes them later. A deletion by executors was rejected: it would need a cluster that works at the very moment when
//! a run is given up, because the cluster does not.
//!
//! It never reads a data file and asks no source, but for `--exports`: an export folder is listed here.

mod ask;
mod basis;
pub mod decide;
pub(crate) mod deletions;
mod derive;
mod graph;
mod ingest;
mod inputs;
pub(crate) use inputs::register;
pub mod observer;
mod pins;
pub mod plan;
pub mod report;
mod source_files;
mod steps;
pub(crate) use steps::ClusterRunner;
mod target;
mod units;
pub(crate) use target::target;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quickchat_jobs::{Catalog, Job, RunParameters, WriteMode};
use quickchat_lake::commit::TransactionId;
use quickchat_lake::operation::{Closed, Lake, Written, remove_folder};
use quickchat_lake::snapshot::PinnedTable;
use quickchat_lake::{LakeRoot, TableUrl};
use serde_json::{Map, Value, json};

use crate::checks::Reviews;
use crate::cluster::Cluster;
use crate::error::RunError;
use crate::sources::Sources;

use observer::Observer;
use pins::Pins;
use report::{JobReport, RunReport};

/// Folder of the lake for temporary files; one folder a run inside.
pub(crate) const LANDING_FOLDER: &str = "_landing";

/// Key in `commitInfo` of what this program notes about a version.
pub const COMMIT_KEY: &str = "quickchat";

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// End of what the run looks at, exclusive, and what its queries take for "now". Microseconds since 1970 UTC.
    pub as_of_micros: i64,
    /// How many jobs run at a time.
    pub parallel: usize,
    /// Whether to compute everything, whatever the tables have already.
    pub full_refresh: bool,
    /// Whether to look for rows that live systems no longer have, and mark them.
    pub detect_deletions: bool,
}

/// Everything that the jobs of a run share.
pub struct Run {
    lake: Lake,
    root: LakeRoot,
    sources: Sources,
    cluster: Cluster,
    catalog: Catalog,
    observer: Arc<dyn Observer>,
    reviews: Reviews,
    pins: Pins,
    parameters: RunParameters,
    started_micros: i64,
    parallel: usize,
    full_refresh: bool,
    detect_deletions: bool,
    /// Whether the run may have left temporary files.
    has_landed: AtomicBool,
}

impl Run {
    /// Prepares a run; nothing is read or written yet.
    pub fn new(
        cluster: Cluster,
        catalog: Catalog,
        root: LakeRoot,
        sources: Sources,
        options: &RunOptions,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, RunError> {
        let session = cluster.session()?.state();
        let tables = cluster.engine().tables().clone();
        let runner = Arc::new(steps::ClusterRunner::new(cluster.clone(), None, Arc::clone(&observer)));
        Ok(Self {
            lake: Lake::new(tables, session, runner),
            root,
            sources,
            cluster,
            catalog,
            observer,
            reviews: Reviews::default(),
            pins: Pins::default(),
            parameters: RunParameters { as_of_micros: options.as_of_micros, run_id: uuid::Uuid::now_v7().to_string() },
            started_micros: chrono::Utc::now().timestamp_micros(),
            parallel: options.parallel.max(1),
            full_refresh: options.full_refresh,
            detect_deletions: options.detect_deletions,
            has_landed: AtomicBool::new(false),
        })
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.parameters.run_id
    }

    /// Runs jobs to their end. A job that fails keeps those that read from it from running; the others go on.
    pub async fn execute(&self, jobs: &[&Job]) -> RunReport {
        let started = Instant::now();
        let reports = graph::run_all(self, &self.catalog, jobs).await;
        self.clean_up().await;
        RunReport::new(self.id(), self.parameters.as_of_micros, started.elapsed(), reports)
    }

    /// Waits until no job is in the middle of a commit, and holds back further ones. To be called before
    /// [`execute`](Self::execute) is given up, and while it is still polled.
    pub async fn close(&self) -> Closed {
        self.lake.close().await
    }

    /// Removes the run's temporary files; also to be called when a run is given up.
    pub async fn clean_up(&self) {
        if self.has_landed.load(Ordering::Relaxed) {
            remove_folder(self.lake.tables(), &self.root.folder(LANDING_FOLDER).folder(self.id())).await;
        }
    }

    /// A folder for temporary files of a step, removed with the end of the run at the latest.
    fn landing(&self, step: &str) -> TableUrl {
        self.has_landed.store(true, Ordering::Relaxed);
        self.root.folder(LANDING_FOLDER).folder(self.id()).folder(step)
    }

    /// Runs one job, whose inputs are up to date.
    async fn job(&self, job: &Job) -> JobReport {
        let name = job.name().to_string();
        let started = Instant::now();
        self.observer.job_started(&name);
        let mut outcome = match job.source() {
            Some(_) => ingest::ingest(self, job).await,
            None => derive::derive(self, job).await,
        };
        if outcome.as_ref().is_ok_and(|counts| counts.written.version.is_none()) {
            let looked = self.look_at_unchanged(job).await;
            outcome = looked.and(outcome);
        } else {
            self.pins.forget(&target(&self.root, job.contract()).url);
        }
        let failed_checks = self.reviews.take(&name);
        let report = JobReport::new(&name, started.elapsed(), outcome).with_failed_checks(failed_checks);
        self.observer.job_ended(&report);
        report
    }

    /// Asks the checks of a table in which nothing was to be changed.
    async fn look_at_unchanged(&self, job: &Job) -> Result<(), RunError> {
        let Some(stored) = self.pinned(&target(&self.root, job.contract()).url).await? else { return Ok(()) };
        self.reviews.nothing_committed(&self.cluster, &self.root, job, &self.parameters, &stored).await
    }

    /// The version of a table that the jobs of this run read, see [`pins`].
    async fn pinned(&self, table: &TableUrl) -> Result<Option<Arc<PinnedTable>>, RunError> {
        Ok(self.pins.read(self.lake.tables(), table).await?)
    }

    /// The lake, with progress reported as that of `job`, whose checks are asked before every commit.
    fn lake_for(&self, job: &Job) -> Lake {
        let reviewer = self.reviews.reviewer(&self.cluster, &self.root, job, &self.parameters);
        self.lake.with_runner(Arc::new(self.runner(job))).with_review(reviewer)
    }

    /// Runs queries on the cluster as steps of `job`.
    fn runner(&self, job: &Job) -> steps::ClusterRunner {
        steps::ClusterRunner::new(self.cluster.clone(), Some(job.name().to_string()), Arc::clone(&self.observer))
    }

    fn transaction(&self, table: &str) -> TransactionId {
        TransactionId {
            application: format!("quickchat-etl/{table}"),
            sequence: self.started_micros,
            run: self.parameters.run_id.clone(),
        }
    }

    /// What a commit says of itself: which run, which inputs, how many rows.
    fn commit_info(&self, facts: &Map<String, Value>, written: &Written) -> Map<String, Value> {
        let mut note = facts.clone();
        note.insert("program".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        note.insert("written".to_owned(), json!(written.written));
        note.insert("unchanged".to_owned(), json!(written.unchanged));
        Map::from_iter([(COMMIT_KEY.to_owned(), Value::Object(note))])
    }
}

/// A job's result, before it is timed.
#[derive(Debug, Default)]
struct Counts {
    read: u64,
    quarantined: u64,
    written: Written,
    /// Rows that were found to be gone at the source.
    marked: u64,
    decision: Option<decide::Decision>,
}

/// Builds the note of a commit out of facts that are known before the write.
macro_rules! note {
    ($run:expr, $table:expr, $facts:expr) => {{
        CommitNote {
            transaction: $run.transaction($table),
            info: &|written: &Written| $run.commit_info($facts, written),
        }
    }};
}
use note;

/// The column that decides which of two rows of a key is newer.
fn newest(job: &Job) -> Option<&'static str> {
    match job.write_mode() {
        WriteMode::Upsert { newest } => Some(newest),
        WriteMode::ReplaceTable | WriteMode::ReplacePartitions => None,
    }
}
