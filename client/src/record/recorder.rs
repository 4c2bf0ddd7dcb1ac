//! Hears of a run's jobs, and writes what became of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::error::DataFusionError;
use parking_lot::Mutex;
use quickchat_jobs::runs_contract;
use quickchat_lake::commit::TransactionId;
use quickchat_lake::operation::{CommitNote, Put, Written, put, remove_folder};
use quickchat_lake::snapshot::Tables;
use quickchat_lake::{LakeError, LakeRoot};
use serde_json::{Map, json};

use super::life::{self, Heartbeat, Process};
use super::row::{Kind, RunRow, State, in_micros, to_batch};
use crate::cluster::Progress;
use crate::error::ErrorClass;
use crate::run::observer::Observer;
use crate::run::report::{JobReport, JobState, RunReport};
use crate::run::{COMMIT_KEY, target};

/// Longer than a commit ever takes; a store that hangs must not hold up a run for the sake of its record.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run was asked to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// The selectors, as they were given.
    pub selectors: Vec<String>,
    /// The run's `as_of`, in microseconds since 1970 UTC.
    pub as_of_micros: i64,
}

/// Records a run. It stands between the run and its observer, and passes everything on.
pub struct Recorder {
    tables: Tables,
    root: LakeRoot,
    request: Request,
    observer: Arc<dyn Observer>,
    process: Option<Process>,
    progress: Mutex<RunProgress>,
}

/// What is known of the run so far.
#[derive(Default)]
struct RunProgress {
    run_id: String,
    started_at: DateTime<Utc>,
    heartbeat: Option<Heartbeat>,
    started: BTreeMap<String, DateTime<Utc>>,
    inputs: BTreeMap<String, BTreeMap<String, u64>>,
    ended: Vec<EndedJob>,
}

struct EndedJob {
    report: JobReport,
    started_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
}

impl Recorder {
    /// A recorder for one run in the lake at `root`; nothing is written yet.
    pub fn new(tables: Tables, root: LakeRoot, request: Request, observer: Arc<dyn Observer>) -> Self {
        let progress = Mutex::new(RunProgress { started_at: now(), ..RunProgress::default() });
        Self { tables, root, request, observer, process: Process::own(), progress }
    }

    /// Records that the run has started.
    pub async fn start(&self, run_id: &str) {
        let row = {
            let mut progress = self.progress.lock();
            run_id.clone_into(&mut progress.run_id);
            let folder = life::folder(&self.root, run_id);
            progress.heartbeat = Some(Heartbeat::start(self.tables.clone(), folder));
            self.run_row(&progress, State::Running)
        };
        self.write(&[row], false).await;
    }

    /// Records what became of the run and its jobs.
    pub async fn end(&self, report: &RunReport) {
        let state = if report.exit_code() == 0 { State::Succeeded } else { State::Failed };
        self.finish(state).await;
    }

    /// Records that the run was interrupted, and its unfinished jobs with it.
    pub async fn interrupted(&self) {
        self.finish(State::Interrupted).await;
    }

    /// Records a run that could not even start.
    pub async fn failed_to_start(&self, error: &str, class: ErrorClass) {
        let row = {
            let mut progress = self.progress.lock();
            progress.run_id = uuid::Uuid::now_v7().to_string();
            let run = self.run_row(&progress, State::Failed);
            RunRow { error: Some(error.to_owned()), error_class: class_name(class), ..ended(run, now()) }
        };
        self.write(&[row], false).await;
    }

    async fn finish(&self, state: State) {
        let (rows, folder) = {
            let mut progress = self.progress.lock();
            let may_have_beaten = progress.heartbeat.take().is_some_and(|heartbeat| heartbeat.may_have_beaten());
            let folder = may_have_beaten.then(|| life::folder(&self.root, &progress.run_id));
            (self.final_rows(&progress, state), folder)
        };
        self.write(&rows, true).await;
        if let Some(folder) = folder {
            // A sign of life may have come after the run removed its temporary files.
            remove_folder(&self.tables, &folder).await;
        }
    }

    fn final_rows(&self, progress: &RunProgress, state: State) -> Vec<RunRow> {
        let mut run = ended(self.run_row(progress, state), now());
        let mut jobs: Vec<RunRow> = progress.ended.iter().map(|job| self.job_row(progress, job)).collect();
        for job in &jobs {
            run.rows_read += job.rows_read;
            run.rows_written += job.rows_written;
            run.rows_unchanged += job.rows_unchanged;
            run.rows_quarantined += job.rows_quarantined;
            run.files_written += job.files_written;
            run.bytes_written += job.bytes_written;
        }
        if let Some(failed) = jobs.iter().find(|job| job.state == State::Failed) {
            run.error = failed.error.as_ref().map(|error| format!("{}: {error}", failed.job));
            run.error_class.clone_from(&failed.error_class);
        }
        let unfinished = progress.started.iter().map(|(job, started_at)| {
            let row = self.row_of_job(progress, job, State::Interrupted, *started_at);
            ended(row, now())
        });
        jobs.extend(unfinished);
        jobs.insert(0, run);
        jobs
    }

    fn run_row(&self, progress: &RunProgress, state: State) -> RunRow {
        let as_of = DateTime::from_timestamp_micros(self.request.as_of_micros);
        RunRow {
            run_id: progress.run_id.clone(),
            job: String::new(),
            kind: Kind::Run,
            state,
            as_of: as_of.unwrap_or_default(),
            started_at: progress.started_at,
            ended_at: None,
            seconds: None,
            decision: None,
            why: None,
            error: None,
            error_class: None,
            input_versions: BTreeMap::new(),
            version: None,
            rows_read: 0,
            rows_written: 0,
            rows_unchanged: 0,
            rows_quarantined: 0,
            files_written: 0,
            bytes_written: 0,
            selectors: self.request.selectors.clone(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            host: life::host(),
            process: self.process.as_ref().map(ToString::to_string),
        }
    }

    fn row_of_job(&self, progress: &RunProgress, job: &str, state: State, started_at: DateTime<Utc>) -> RunRow {
        let input_versions = progress.inputs.get(job).cloned().unwrap_or_default();
        let run = self.run_row(progress, state);
        RunRow { kind: Kind::Job, job: job.to_owned(), started_at, input_versions, ..run }
    }

    fn job_row(&self, progress: &RunProgress, job: &EndedJob) -> RunRow {
        let report = &job.report;
        let (state, why, error, class) = match &report.state {
            JobState::Changed => (State::Changed, None, None, None),
            JobState::Unchanged => (State::Unchanged, None, None, None),
            JobState::Failed { error, class } => (State::Failed, None, Some(error.clone()), class_name(*class)),
            JobState::Skipped { because } => (State::Skipped, Some(format!("{because} failed")), None, None),
        };
        RunRow {
            ended_at: Some(job.ended_at),
            seconds: Some(report.seconds),
            decision: report.decision.as_ref().map(|decision| decision.name().to_owned()),
            why: why.or_else(|| report.decision.as_ref().map(ToString::to_string)),
            error,
            error_class: class,
            version: report.version,
            rows_read: report.read,
            rows_written: report.written,
            rows_unchanged: report.unchanged,
            rows_quarantined: report.quarantined,
            files_written: report.files,
            bytes_written: report.bytes,
            ..self.row_of_job(progress, &report.job, state, job.started_at)
        }
    }

    /// Writes rows of this run, at the end in place of that of the start.
    async fn write(&self, rows: &[RunRow], replace: bool) {
        let run_id = self.progress.lock().run_id.clone();
        let (contract, replaces) = (runs_contract(), replace.then_some(("run_id", run_id.as_str())));
        let target = target(&self.root, &contract);
        let written = async {
            let rows = to_batch(rows, &target.schema).map_err(|error| LakeError::Query {
                action: "make the rows of a run's record",
                table: target.url.to_string(),
                source: Box::new(DataFusionError::from(error)),
            })?;
            let note =
                |_: &Written| Map::from_iter([(COMMIT_KEY.to_owned(), json!({"program": env!("CARGO_PKG_VERSION")}))]);
            let transaction = TransactionId {
                application: format!("quickchat-etl/{}", target.name),
                sequence: Utc::now().timestamp_micros(),
                run: run_id.clone(),
            };
            let put = Put { target: &target, rows, replaces };
            quickly(self::put(&self.tables, &put, &CommitNote { transaction, info: &note }), &target.name).await
        };
        if let Err(error) = written.await {
            tracing::error!(
                run_id,
                "this run could not be recorded, and `runs list` does not tell the truth about it; its tables are not \
                 concerned: {error}"
            );
        }
    }
}

async fn quickly<T>(work: impl Future<Output = Result<T, LakeError>>, table: &str) -> Result<T, LakeError> {
    let late = || LakeError::Runner(format!("the commit to {table} took longer than {PATIENCE:?}").into());
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| late())?
}

impl Observer for Recorder {
    fn job_started(&self, job: &str) {
        self.progress.lock().started.insert(job.to_owned(), now());
        self.observer.job_started(job);
    }

    fn job_pinned(&self, job: &str, inputs: &BTreeMap<String, u64>) {
        self.progress.lock().inputs.insert(job.to_owned(), inputs.clone());
        self.observer.job_pinned(job, inputs);
    }

    fn job_progress(&self, job: &str, step: &str, progress: &Progress) {
        self.observer.job_progress(job, step, progress);
    }

    fn job_ended(&self, report: &JobReport) {
        let ended_at = now();
        {
            let mut progress = self.progress.lock();
            // A job that is skipped never started.
            let started_at = progress.started.remove(&report.job).unwrap_or(ended_at);
            progress.ended.push(EndedJob { report: report.clone(), started_at, ended_at });
        }
        self.observer.job_ended(report);
    }

    fn wants_progress(&self) -> bool {
        self.observer.wants_progress()
    }
}

fn now() -> DateTime<Utc> {
    in_micros(Utc::now())
}

fn ended(row: RunRow, ended_at: DateTime<Utc>) -> RunRow {
    let took = ended_at.signed_duration_since(row.started_at).max(TimeDelta::zero());
    let seconds = took.to_std().map(|took| took.as_secs_f64()).ok();
    RunRow { ended_at: Some(ended_at), seconds, ..row }
}

/// The word that reports have for it.
fn class_name(class: ErrorClass) -> Option<String> {
    serde_json::to_value(class).ok()?.as_str().map(str::to_owned)
}
