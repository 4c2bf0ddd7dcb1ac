//! Which slots of which executor are free.
//!
//! Ballista keeps a counter of free slots an executor and loses some of them for good: when a running stage is rolled
//! back because its input was lost, the cancelled tasks report back, but their stage no longer lists them, and their
//! slots are never given back. On a small cluster that ends all work: the job that should recover waits for ever. So
//! nothing is counted here. The execution graphs of the running jobs say which tasks run where; what they do not use
//! is free, and a wrong figure cannot outlive the next look.
//!
//! A cancelled task holds a slot for a moment after its graph has forgotten it, so an executor may briefly run one task
//! too many; Ballista accepts the same when a job is cancelled.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::Result;
use ballista_core::serde::protobuf::ExecutorHeartbeat;
use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata};
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use ballista_scheduler::cluster::{BoundTask, ClusterState, ClusterStateEventStream, ExecutorSlot};
use ballista_scheduler::config::TaskDistributionPolicy;
use ballista_scheduler::state::task_manager::JobInfoCache;

/// Ballista's in-memory list of executors and heartbeats, with free slots derived instead of counted.
#[derive(Default)]
pub(crate) struct DerivedSlots {
    executors: InMemoryClusterState,
}

#[async_trait]
impl ClusterState for DerivedSlots {
    /// The binding itself is Ballista's, on a state made for the occasion that holds the free slots.
    async fn bind_schedulable_tasks(
        &self,
        distribution: TaskDistributionPolicy,
        jobs: Arc<HashMap<JobId, JobInfoCache>>,
        eligible: Option<HashSet<String>>,
    ) -> Result<Vec<BoundTask>> {
        let used = used_slots(&jobs).await;
        let occasion = InMemoryClusterState::default();
        for executor in self.executors.registered_executor_metadata().await {
            if eligible.as_ref().is_some_and(|eligible| !eligible.contains(&executor.id)) {
                continue;
            }
            let total_vcores = executor.specification.vcores;
            let available_vcores = total_vcores.saturating_sub(used.get(&executor.id).copied().unwrap_or_default());
            let data = ExecutorData { executor_id: executor.id.clone(), total_vcores, available_vcores };
            occasion.register_executor(executor, data).await?;
        }
        occasion.bind_schedulable_tasks(distribution, jobs, None).await
    }

    /// Nothing is counted, so nothing is given back.
    async fn unbind_tasks(&self, _: Vec<ExecutorSlot>) -> Result<()> {
        Ok(())
    }

    async fn register_executor(&self, metadata: ExecutorMetadata, data: ExecutorData) -> Result<()> {
        self.executors.register_executor(metadata, data).await
    }

    async fn save_executor_metadata(&self, metadata: ExecutorMetadata) -> Result<()> {
        self.executors.save_executor_metadata(metadata).await
    }

    async fn get_executor_metadata(&self, executor_id: &str) -> Result<ExecutorMetadata> {
        self.executors.get_executor_metadata(executor_id).await
    }

    async fn registered_executor_metadata(&self) -> Vec<ExecutorMetadata> {
        self.executors.registered_executor_metadata().await
    }

    async fn save_executor_heartbeat(&self, heartbeat: ExecutorHeartbeat) -> Result<()> {
        self.executors.save_executor_heartbeat(heartbeat).await
    }

    async fn remove_executor(&self, executor_id: &str) -> Result<()> {
        self.executors.remove_executor(executor_id).await
    }

    fn executor_heartbeats(&self) -> HashMap<String, ExecutorHeartbeat> {
        self.executors.executor_heartbeats()
    }

    fn get_executor_heartbeat(&self, executor_id: &str) -> Option<ExecutorHeartbeat> {
        self.executors.get_executor_heartbeat(executor_id)
    }

    async fn cluster_state_events(&self) -> Result<ClusterStateEventStream> {
        self.executors.cluster_state_events().await
    }
}

async fn used_slots(jobs: &HashMap<JobId, JobInfoCache>) -> HashMap<String, u32> {
    let mut used = HashMap::new();
    for job in jobs.values() {
        let graph = job.execution_graph.read().await;
        for task in graph.running_tasks() {
            let slots = graph.task_vcores(task.stage_id, task.task_id).unwrap_or(1);
            *used.entry(task.executor_id).or_default() += slots;
        }
    }
    used
}
