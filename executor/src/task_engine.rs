//! Ballista's execution engine, with four of its faults mended.
//!
//! **Output files have names of their own.** Ballista names a task's output by the task's number in its stage, and a
//! stage that runs again counts from 0. A reader takes a partition for local when a file of that name exists in its own
//! work folder, whoever wrote it. So after a lost executor a reader could find the remains of a cancelled attempt, with
//! no rows or with other rows, in the place of what a task of the new attempt had written elsewhere: rows were lost
//! without an error. Here each run of a task takes a random number, which travels with the output's location; a file
//! that exists is then the right one, and a straggler of an old attempt cannot write over a new one's output.
//!
//! **No output is read twice.** See [`crate::doubled_input`].
//!
//! **Faults of an object store that may pass are tried again.** Ballista repeats a task only after an I/O error, and a
//! Parquet reader that its store leaves in the lurch reports another, of which sometimes only the words are left.
//!
//! **Cancelled tasks end.** See [`crate::stop_check`] and [`crate::live_tasks`].

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::protobuf::{RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use quickchat_lake::stores::tells_of_passing_fault;

use crate::connection_pool::ConnectionPool;
use crate::live_tasks::{LiveTask, LiveTasks};
use crate::{doubled_input, stop_check};

/// Makes the executors of tasks.
pub(crate) struct TaskEngine {
    inner: DefaultExecutionEngine,
    tasks: LiveTasks,
}

impl TaskEngine {
    pub(crate) fn new(connections: ConnectionPool, tasks: LiveTasks) -> Self {
        Self { inner: DefaultExecutionEngine::with_client_pool(Arc::new(connections)), tasks }
    }
}

impl ExecutionEngine for TaskEngine {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        output_partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        doubled_input::refuse(&plan)?;
        let live = self.tasks.begin(job_id.as_str());
        let output_number = if stop_check::holds_statistics(&plan) { task_id } else { unique_number() };
        let plan = stop_check::insert(plan, live.token())?;
        let stage = self.inner.create_query_stage_exec(
            job_id,
            stage_id,
            output_number,
            output_partitions,
            plan,
            work_dir,
            config,
        )?;
        Ok(Arc::new(Task { stage, live }))
    }
}

#[derive(Debug)]
struct Task {
    stage: Arc<dyn QueryStageExecutor>,
    live: LiveTask,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for Task {
    /// Whoever cancels the task drops this future; the guard then tells the plan's streams, wherever they run.
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let _tell_streams = self.live.token().clone().drop_guard();
        self.stage.execute_query_stage(task_id, context).await.map_err(repeatable)
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.stage.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.stage.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.stage.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.stage.collect_column_stats()
    }
}

/// The error as one after which Ballista repeats the task, if it is of a store that may do better the next time.
fn repeatable(error: DataFusionError) -> DataFusionError {
    if matches!(error.find_root(), DataFusionError::IoError(_)) || !tells_of_passing_fault(&error) {
        return error;
    }
    // As text: that is all that travels on.
    DataFusionError::IoError(io::Error::other(error.to_string()))
}

/// Random, and within what any signed 64-bit number on the way can hold.
fn unique_number() -> usize {
    let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
    usize::try_from(random & (u64::MAX >> 2)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn only_faults_that_may_pass_are_tried_again() {
        let reader = |words: &str| DataFusionError::External(format!("cannot read the footer: {words}").into());
        let failed = reader(quickchat_lake::stores::PASSING);
        assert!(matches!(repeatable(failed), DataFusionError::IoError(_)));
        let refused = reader(quickchat_lake::stores::REFUSED);
        assert!(matches!(repeatable(refused), DataFusionError::External(_)));
    }

    #[test]
    fn numbers_do_not_repeat() {
        let numbers: HashSet<_> = (0..10_000).map(|_| unique_number()).collect();
        assert_eq!(numbers.len(), 10_000);
    }
}
