//! The lake's queries, run on the cluster, with their progress told to the observer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use quickchat_lake::operation::QueryRunner;

use super::observer::Observer;
use crate::cluster::Cluster;

/// How often progress is asked for: often enough for a bar to move, seldom enough to cost nothing.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Runs plans on a cluster as steps of a job.
pub(crate) struct ClusterRunner {
    cluster: Cluster,
    job: Option<String>,
    observer: Arc<dyn Observer>,
}

impl ClusterRunner {
    pub(crate) fn new(cluster: Cluster, job: Option<String>, observer: Arc<dyn Observer>) -> Self {
        Self { cluster, job, observer }
    }
}

#[async_trait]
impl QueryRunner for ClusterRunner {
    async fn run(
        &self,
        plan: LogicalPlan,
        label: &str,
    ) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
        let submitted = self.cluster.submit(&plan, label).await?;
        let collect = submitted.collect();
        let Some(job) = self.job.as_deref().filter(|_| self.observer.wants_progress()) else {
            return Ok(collect.await?);
        };
        let probe = submitted.progress();
        tokio::pin!(collect);
        loop {
            tokio::select! {
                batches = &mut collect => return Ok(batches?),
                () = tokio::time::sleep(PROGRESS_INTERVAL) => {
                    // A lost answer to a question for display only is no reason to stop; the job's own result tells.
                    if let Ok(Some(progress)) = probe.poll().await {
                        self.observer.job_progress(job, label, &progress);
                    }
                }
            }
        }
    }
}
