//! How far a job is.

use quickchat_scheduler::{JobProgress, PROGRESS_PATH, StageProgress};

use super::Cluster;
use super::error::ClusterError;

/// A snapshot of a running job, summed over its stages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The stages known so far, by id.
    pub stages: Vec<StageProgress>,
    /// Partitions processed; a task processes one or more.
    pub partitions_done: usize,
    /// Partitions to process, as far as known: a stage tells its number when its inputs are ready.
    pub partitions: usize,
    /// Tasks that run now.
    pub running_tasks: usize,
    /// Rows read from sources.
    pub source_rows: u64,
    /// Bytes read from sources.
    pub source_bytes: u64,
}

impl From<JobProgress> for Progress {
    fn from(job: JobProgress) -> Self {
        let stages = job.stages;
        Self {
            partitions_done: stages.iter().map(|stage| stage.partitions_done).sum(),
            partitions: stages.iter().map(|stage| stage.partitions).sum(),
            running_tasks: stages.iter().map(|stage| stage.running.len()).sum(),
            source_rows: stages.iter().map(|stage| stage.source_rows).sum(),
            source_bytes: stages.iter().map(|stage| stage.source_bytes).sum(),
            stages,
        }
    }
}

/// Asks after one job's progress; independent of the [`super::Submitted`] it was taken from.
#[derive(Debug, Clone)]
pub struct ProgressProbe {
    cluster: Cluster,
    job_id: String,
}

impl ProgressProbe {
    pub(super) fn new(cluster: Cluster, job_id: String) -> Self {
        Self { cluster, job_id }
    }

    /// The present state, `None` once the job has ended (or before the scheduler has taken it up).
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`] when the scheduler does not answer.
    pub async fn poll(&self) -> Result<Option<Progress>, ClusterError> {
        let path = format!("{PROGRESS_PATH}{}", self.job_id);
        let Some(answer) = self.cluster.parts.scheduler.try_get(&path).await? else { return Ok(None) };
        let job: JobProgress = serde_json::from_slice(&answer).map_err(|error| ClusterError::answer(&path, error))?;
        Ok((!job.stages.is_empty()).then(|| Progress::from(job)))
    }
}
