//! Checks before a commit.
//!
//! Each job of a run writes through a lake whose changes are reviewed here: the rows that are about to be added are
//! asked, and an error refuses the commit. Whatever failed is kept for the job's report, warnings as well, and also when
//! the commit happens. A job that has nothing to commit is asked whether its table has grown too old, since that is when
//! it does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;
use quickchat_jobs::check::{CheckPlan, Occasion};
use quickchat_jobs::{Check, Job, RunParameters};
use quickchat_lake::LakeRoot;
use quickchat_lake::operation::{Proposal, Review};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::snapshot::PinnedTable;
use serde_json::Map;

use super::ask::{Asker, Subject, failed_check};
use super::{FailedCheck, ShownRows};
use crate::cluster::Cluster;
use crate::error::RunError;

/// What the reviews of a run have found, by job.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reviews {
    failed: Arc<Mutex<BTreeMap<String, Vec<FailedCheck>>>>,
}

impl Reviews {
    /// A reviewer of everything that `job` commits to its table.
    pub(crate) fn reviewer(
        &self,
        cluster: &Cluster,
        root: &LakeRoot,
        job: &Job,
        parameters: &RunParameters,
    ) -> Arc<dyn Review> {
        Arc::new(JobReview {
            cluster: cluster.clone(),
            root: root.clone(),
            job: job.clone(),
            parameters: parameters.clone(),
            reviews: self.clone(),
        })
    }

    /// Asks, after a run of `job` that committed nothing, what depends on time alone.
    pub(crate) async fn nothing_committed(
        &self,
        cluster: &Cluster,
        root: &LakeRoot,
        job: &Job,
        parameters: &RunParameters,
        stored: &Arc<PinnedTable>,
    ) -> Result<(), RunError> {
        let contract = job.contract();
        let plan = CheckPlan::new(contract, job.checks(), Occasion::Unchanged);
        if plan.checks().is_empty() {
            return Ok(());
        }
        let scan = DeltaScan::of(cluster.engine().tables(), stored);
        let subject = Subject { added: scan.clone(), checked: scan };
        let answers = Asker::new(cluster, contract, parameters, subject)?.ask(plan, root).await?;
        self.note(job, answers.failed)
    }

    /// Keeps what has failed; errors refuse.
    fn note(&self, job: &Job, failed: Vec<FailedCheck>) -> Result<(), RunError> {
        let name = job.name().to_string();
        let errors: Vec<FailedCheck> = failed.iter().filter(|check| check.is_error()).cloned().collect();
        self.failed.lock().insert(name.clone(), failed);
        if errors.is_empty() { Ok(()) } else { Err(RunError::Quality { job: name, failed: errors }) }
    }

    /// What has failed in the last review of a job's table.
    pub(crate) fn take(&self, job: &str) -> Vec<FailedCheck> {
        self.failed.lock().remove(job).unwrap_or_default()
    }
}

struct JobReview {
    cluster: Cluster,
    root: LakeRoot,
    job: Job,
    parameters: RunParameters,
    reviews: Reviews,
}

#[async_trait]
impl Review for JobReview {
    async fn review(&self, proposal: &Proposal<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // A job that reads a source writes its quarantine too, which holds whatever came.
        if proposal.target().name != self.job.name().to_string() {
            return Ok(());
        }
        let started = Instant::now();
        let failed = self.ask(proposal).await?;
        tracing::debug!(job = %self.job.name(), took = ?started.elapsed(), "checked");
        Ok(self.reviews.note(&self.job, failed)?)
    }
}

impl JobReview {
    async fn ask(&self, proposal: &Proposal<'_>) -> Result<Vec<FailedCheck>, RunError> {
        let contract = self.job.contract();
        let occasion = Occasion::Commit { is_merge: proposal.is_merge(), adds_rows: proposal.adds_rows() };
        let plan = CheckPlan::new(contract, self.job.checks(), occasion);
        let mut failed = self.row_counts(proposal);
        if plan.checks().is_empty() {
            return Ok(failed);
        }
        let subject = Subject { added: proposal.added(), checked: proposal.result() };
        let answers = Asker::new(&self.cluster, contract, &self.parameters, subject)?.ask(plan, &self.root).await?;
        for (check, table) in &answers.left_out {
            tracing::warn!(job = %contract.table, check = check.name, %table, "not checked, since the table is not in the lake");
        }
        failed.extend(answers.failed);
        Ok(failed)
    }

    /// The log knows how many rows there are; nothing is read.
    fn row_counts(&self, proposal: &Proposal<'_>) -> Vec<FailedCheck> {
        let (Some(before), Some(after)) = (proposal.rows_before(), proposal.rows_after()) else { return Vec::new() };
        let figures = || {
            let row = Map::from_iter([("before".to_owned(), before.into()), ("after".to_owned(), after.into())]);
            ShownRows { rows: vec![row], columns: vec!["before".to_owned(), "after".to_owned()] }
        };
        let refused = |check: &&Check| !check.rule.accepts_row_counts(before, after);
        let failed = self.job.checks().iter().filter(refused);
        failed.map(|check| failed_check(check, self.job.contract(), None, figures())).collect()
    }
}
