//! What a run would do, without doing it: read from logs and lists of files alone.
//!
//! What a job has to do depends on what the jobs before it will have changed by then, which nobody knows yet. So a plan
//! says what is known now, and which jobs come first.

use std::fmt;

use quickchat_jobs::Job;
use serde::Serialize;

use super::Run;
use super::decide::{Decision, Increment, Reason, decide};
use super::ingest::plan_ingest;
use super::inputs::Inputs;
use super::target::target;
use crate::error::RunError;

/// What a job would do. The JSON form is stable: fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedJob {
    /// The job.
    pub job: String,
    /// What it would have to do if it ran now.
    #[serde(flatten)]
    pub decision: Decision,
    /// Jobs of the same plan that come first and may change what it reads.
    pub after: Vec<String>,
}

impl PlannedJob {
    /// Whether the job may change its table.
    pub fn is_busy(&self) -> bool {
        self.decision != Decision::Nothing || !self.after.is_empty()
    }
}

impl Run {
    /// Plans jobs, which are in the order of the graph.
    pub async fn plan(&self, jobs: &[&Job]) -> Result<Vec<PlannedJob>, RunError> {
        let mut plan: Vec<PlannedJob> = Vec::with_capacity(jobs.len());
        for job in jobs {
            let upstream: Vec<String> = self.catalog.upstream(job).map(|input| input.name().to_string()).collect();
            let busy = plan.iter().filter(|planned| planned.is_busy() && upstream.contains(&planned.job));
            let after: Vec<String> = busy.map(|planned| planned.job.clone()).collect();
            let decision = self.decision(job, &after).await?;
            plan.push(PlannedJob { job: job.name().to_string(), decision, after });
        }
        Ok(plan)
    }

    async fn decision(&self, job: &Job, after: &[String]) -> Result<Decision, RunError> {
        if job.source().is_some() {
            return Ok(plan_ingest(self, job, self.sources.input(job)?).await?.decision);
        }
        let inputs = match Inputs::pin(self, job).await {
            Ok(inputs) => inputs,
            // It will be there when the job's turn comes.
            Err(RunError::MissingInput { table, .. }) if after.contains(&table) => {
                return Ok(Decision::full(Reason::NeverWritten));
            }
            Err(error) => return Err(error),
        };
        let stored = self.pinned(&target(&self.root, job.contract()).url).await?;
        Ok(decide(self, job, &inputs, stored.as_deref()).await?.0)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing to do"),
            Self::Incremental(increment) => write!(f, "{increment}"),
            Self::Full { because } => write!(f, "everything: {because}"),
        }
    }
}

impl fmt::Display for Increment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what changes concern")?;
        let changes: Vec<String> = self.changes.iter().map(ToString::to_string).collect();
        if !changes.is_empty() {
            write!(f, ": {}", changes.join("; "))?;
        }
        let at_most = if self.certain.len() < self.units.len() { "at most " } else { "" };
        match (self.units.first(), self.units.last()) {
            (Some(only), Some(last)) if only == last => write!(f, "; {at_most}{only}")?,
            (Some(first), Some(last)) => write!(f, "; {at_most}{} from {first} to {last}", self.units.len())?,
            _ => {}
        }
        Ok(())
    }
}

impl Increment {
    /// Rows in the files that were added to inputs.
    pub fn rows(&self) -> u64 {
        self.changes.iter().map(|change| change.rows).sum()
    }

    /// Size of the files that were added to inputs.
    pub fn bytes(&self) -> u64 {
        self.changes.iter().map(|change| change.bytes).sum()
    }
}
