//! Who hears of a run's progress.

use std::collections::BTreeMap;

use super::report::JobReport;
use crate::cluster::Progress;

/// Hears what happens in a run. Calls come from several jobs at once and must not block.
pub trait Observer: Send + Sync {
    /// A job starts.
    fn job_started(&self, job: &str);
    /// A job has pinned the tables that it reads at these versions.
    fn job_pinned(&self, _job: &str, _inputs: &BTreeMap<String, u64>) {}
    /// A job is somewhere in one of its steps.
    fn job_progress(&self, job: &str, step: &str, progress: &Progress);
    /// A job ended, well or not.
    fn job_ended(&self, report: &JobReport);
    /// Whether to ask the cluster for progress at all.
    fn wants_progress(&self) -> bool {
        false
    }
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn job_started(&self, _job: &str) {}
    fn job_progress(&self, _job: &str, _step: &str, _progress: &Progress) {}
    fn job_ended(&self, _report: &JobReport) {}
}
