//! Ballista's execution engine, with tasks that really end when they are cancelled. See [`crate::stop_check`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::protobuf::{RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use tokio_util::sync::CancellationToken;

use crate::connection_pool::ConnectionPool;
use crate::stop_check;

/// Makes cancellable stage executors.
pub(crate) struct CancellableEngine {
    inner: DefaultExecutionEngine,
}

impl CancellableEngine {
    pub(crate) fn new(connections: ConnectionPool) -> Self {
        Self { inner: DefaultExecutionEngine::with_client_pool(Arc::new(connections)) }
    }
}

impl ExecutionEngine for CancellableEngine {
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
        let given_up = CancellationToken::new();
        let plan = stop_check::insert(plan, &given_up)?;
        let stage = self.inner.create_query_stage_exec(
            job_id,
            stage_id,
            task_id,
            output_partitions,
            plan,
            work_dir,
            config,
        )?;
        Ok(Arc::new(CancellableStage { stage, given_up }))
    }
}

#[derive(Debug)]
struct CancellableStage {
    stage: Arc<dyn QueryStageExecutor>,
    given_up: CancellationToken,
}

impl fmt::Display for CancellableStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt(f)
    }
}

#[async_trait]
impl QueryStageExecutor for CancellableStage {
    /// Whoever cancels the task drops this future; the guard then tells the plan's streams, wherever they run.
    async fn execute_query_stage(
        &self,
        task_id: usize,
        context: Arc<TaskContext>,
    ) -> Result<Vec<ShuffleWritePartition>> {
        let _tell_streams = self.given_up.clone().drop_guard();
        self.stage.execute_query_stage(task_id, context).await
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
