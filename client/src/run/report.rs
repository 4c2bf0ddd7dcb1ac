//! What a run did, for people and, as stable JSON, for programs.

use std::time::Duration;

use serde::Serialize;

use super::Counts;
use super::decide::Decision;
use crate::checks::FailedCheck;
use crate::error::{ErrorClass, RunError};

/// A run and its jobs. The JSON form is stable: fields are added, never renamed.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// Id of the run, stored with every commit that it made.
    pub run_id: String,
    /// The run's `as_of`, ISO 8601.
    pub as_of: String,
    /// Wall time.
    pub seconds: f64,
    /// One entry a job, in the order of the graph.
    pub jobs: Vec<JobReport>,
}

/// One job of a run.
#[derive(Debug, Clone, Serialize)]
pub struct JobReport {
    /// Name, which is that of its table.
    pub job: String,
    /// How it ended.
    #[serde(flatten)]
    pub state: JobState,
    /// Rows (for a source: documents) that it looked at: written + unchanged + quarantined.
    pub read: u64,
    /// New or different rows.
    pub written: u64,
    /// Rows that were there already, or were superseded by a newer version in the same run.
    pub unchanged: u64,
    /// Documents that could not be decoded.
    pub quarantined: u64,
    /// Rows that were found to be gone at the source, and marked; only if that was asked.
    pub marked_deleted: u64,
    /// Data files added to its table.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Wall time.
    pub seconds: f64,
    /// The version that it committed; null when nothing changed.
    pub version: Option<u64>,
    /// What it had to do; null if it failed before it knew, or did not run.
    pub decision: Option<Decision>,
    /// Checks that did not pass: those that stopped its commit, and warnings.
    pub failed_checks: Vec<FailedCheck>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// It committed a version.
    Changed,
    /// There was nothing to commit.
    Unchanged,
    /// It failed; its table is as it was.
    Failed {
        /// Why, with all causes.
        error: String,
        /// Who has to act.
        class: ErrorClass,
    },
    /// It did not run, since a job that it reads from failed.
    Skipped {
        /// That job.
        because: String,
    },
}

impl RunReport {
    pub(super) fn new(run_id: &str, as_of_micros: i64, took: Duration, jobs: Vec<JobReport>) -> Self {
        let as_of = chrono::DateTime::from_timestamp_micros(as_of_micros).map_or_else(
            || as_of_micros.to_string(),
            |instant| instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        );
        Self { run_id: run_id.to_owned(), as_of, seconds: took.as_secs_f64(), jobs }
    }

    /// 0 when all jobs ended well; otherwise that of the first failure.
    pub fn exit_code(&self) -> u8 {
        let failures = self.jobs.iter().filter_map(|job| match &job.state {
            JobState::Failed { class, .. } => Some(class.exit_code()),
            _ => None,
        });
        failures.min().unwrap_or(0)
    }

    /// Whether no table has a new version.
    pub fn nothing_changed(&self) -> bool {
        self.jobs.iter().all(|job| job.state == JobState::Unchanged)
    }
}

impl JobReport {
    pub(super) fn new(job: &str, took: Duration, outcome: Result<Counts, RunError>) -> Self {
        let (state, counts) = match outcome {
            Ok(counts) if counts.written.version.is_some() => (JobState::Changed, counts),
            Ok(counts) => (JobState::Unchanged, counts),
            Err(error) => (JobState::Failed { error: error.with_causes(), class: error.class() }, Counts::default()),
        };
        Self {
            job: job.to_owned(),
            state,
            read: counts.read,
            written: counts.written.written,
            unchanged: counts.written.unchanged,
            quarantined: counts.quarantined,
            marked_deleted: counts.marked,
            files: counts.written.files,
            bytes: counts.written.bytes,
            seconds: took.as_secs_f64(),
            version: counts.written.version,
            decision: counts.decision,
            failed_checks: Vec::new(),
        }
    }

    pub(super) fn with_failed_checks(self, failed_checks: Vec<FailedCheck>) -> Self {
        Self { failed_checks, ..self }
    }

    pub(super) fn skipped(job: &str, because: String) -> Self {
        let outcome = Self::new(job, Duration::ZERO, Ok(Counts::default()));
        Self { state: JobState::Skipped { because }, ..outcome }
    }
}
