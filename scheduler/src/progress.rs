//! How far a running job is, for progress bars.
//!
//! Ballista's own REST answers know only finished stages in full, never how many tasks a running
//! stage will have, and render every stage's plan on each call. This reads the live execution graph
//! once and answers with numbers only. Rejected: counting completed stages, which misleads under
//! adaptive planning, where stages appear while the job runs.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ballista_core::JobId;
use ballista_core::serde::protobuf::{job_status, task_status};
use ballista_scheduler::state::execution_stage::ExecutionStage;
use ballista_scheduler::state::execution_stage::TaskInfo;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use serde::{Deserialize, Serialize};

use crate::server::Server;

/// Path of the endpoint; the job's id follows.
pub const PROGRESS_PATH: &str = "/api/progress/";

/// A snapshot of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    /// The job's state as a whole.
    pub state: JobState,
    /// The stages known so far, by id. Under adaptive planning later ones appear as the job runs.
    pub stages: Vec<StageProgress>,
}

/// State of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Accepted, not planned yet.
    #[default]
    Queued,
    /// Planned; tasks run or wait for a free slot.
    Running,
    /// All stages succeeded.
    Successful,
    /// Failed or cancelled.
    Failed,
}

/// A snapshot of one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageProgress {
    /// Number of the stage in the job.
    pub stage_id: usize,
    /// Its state.
    pub state: StageState,
    /// Partitions that the stage has to process; a task processes one or more of them.
    pub partitions: usize,
    /// Partitions whose task has succeeded.
    pub partitions_done: usize,
    /// Tasks that run now, with the executor of each.
    pub running: Vec<RunningTask>,
    /// Rows that the stage's finished tasks read from sources (not from other stages).
    pub source_rows: u64,
    /// Bytes that they read from sources: the sum of the metrics named `bytes_scanned`.
    pub source_bytes: u64,
    /// Rows that they put out.
    pub output_rows: u64,
}

/// A task that runs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTask {
    /// Number of the task in the stage.
    pub task_id: usize,
    /// Id of the executor that runs it.
    pub executor_id: String,
}

/// State of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// Waits for other stages.
    Waiting,
    /// Has tasks to run or running.
    Running,
    /// All its tasks succeeded.
    Successful,
    /// Failed or cancelled.
    Failed,
}

/// `GET /api/progress/{job_id}`: a [`JobProgress`], or 404 for a job that this scheduler does not
/// know. A job that has ended is answered without stages: its graph has left the live set.
pub(crate) async fn job_progress(State(server): State<Arc<Server>>, Path(job): Path<String>) -> Response {
    let job_id = JobId::from(job);
    let tasks = &server.state.task_manager;
    if let Some(live) = tasks.get_running_job_cache().get(&job_id) {
        let graph = live.execution_graph.read().await;
        let mut stages: Vec<_> = graph.stages().iter().map(|(id, stage)| stage_progress(*id, stage)).collect();
        stages.sort_by_key(|stage| stage.stage_id);
        let state = job_state(graph.status().status.as_ref());
        return Json(JobProgress { state, stages }).into_response();
    }
    match tasks.get_job_status(&job_id).await {
        Ok(Some(status)) => {
            let state = job_state(status.status.as_ref());
            Json(JobProgress { state, stages: Vec::new() }).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn job_state(status: Option<&job_status::Status>) -> JobState {
    match status {
        None | Some(job_status::Status::Queued(_)) => JobState::Queued,
        Some(job_status::Status::Running(_)) => JobState::Running,
        Some(job_status::Status::Successful(_)) => JobState::Successful,
        Some(job_status::Status::Failed(_)) => JobState::Failed,
    }
}

fn stage_progress(stage_id: usize, stage: &ExecutionStage) -> StageProgress {
    let (state, partitions, tasks, metrics): (_, _, &[TaskInfo], &[MetricsSet]) = match stage {
        ExecutionStage::UnResolved(_) => (StageState::Waiting, 0, &[], &[]),
        ExecutionStage::Resolved(stage) => (StageState::Waiting, stage.partitions, &[], &[]),
        ExecutionStage::Running(stage) => (
            StageState::Running,
            stage.partitions,
            &stage.task_infos,
            stage.stage_metrics.as_deref().unwrap_or_default(),
        ),
        ExecutionStage::Successful(stage) => {
            (StageState::Successful, stage.partitions, &stage.task_infos, &stage.stage_metrics)
        }
        ExecutionStage::Failed(stage) => (
            StageState::Failed,
            stage.partitions,
            &stage.task_infos,
            stage.stage_metrics.as_deref().unwrap_or_default(),
        ),
    };
    let volume = Volume::of(stage.plan(), metrics);
    StageProgress {
        stage_id,
        state,
        partitions,
        partitions_done: partitions_done(tasks),
        running: running_tasks(tasks),
        source_rows: volume.source_rows,
        source_bytes: volume.source_bytes,
        output_rows: volume.output_rows,
    }
}

fn partitions_done(tasks: &[TaskInfo]) -> usize {
    tasks
        .iter()
        .filter(|task| matches!(task.task_status, task_status::Status::Successful(_)))
        .map(|task| task.global_input_partition_ids.len())
        .sum()
}

fn running_tasks(tasks: &[TaskInfo]) -> Vec<RunningTask> {
    tasks
        .iter()
        .filter_map(|task| match &task.task_status {
            task_status::Status::Running(running) => {
                Some(RunningTask { task_id: task.task_id, executor_id: running.executor_id.clone() })
            }
            _ => None,
        })
        .collect()
}

#[derive(Default)]
struct Volume {
    source_rows: u64,
    source_bytes: u64,
    output_rows: u64,
}

impl Volume {
    /// Executors report one metric set for each operator that keeps metrics, in pre-order. When
    /// the count does not fit the plan (no task has finished, or the plan was rewritten on the way)
    /// nothing is claimed.
    fn of(plan: &dyn ExecutionPlan, metrics: &[MetricsSet]) -> Self {
        let mut rows = Vec::new();
        let mut slot = 0;
        let source_rows = source_rows(plan, 0, &mut slot, metrics, &mut rows);
        if metrics.is_empty() || slot != metrics.len() {
            return Self::default();
        }
        let bytes = metrics.iter().map(|set| count(set, "bytes_scanned")).sum();
        Self { source_rows, source_bytes: bytes, output_rows: rows.first().copied().unwrap_or_default() }
    }
}

/// Sums the rows of the plan's sources. A source is a leaf that is no shuffle reader; a reader node
/// directly above it counts instead when it puts out more, because a scan that takes its splits as
/// rows of a memory leaf is such a pair.
fn source_rows(
    plan: &dyn ExecutionPlan,
    parent_rows: u64,
    slot: &mut usize,
    metrics: &[MetricsSet],
    rows: &mut Vec<u64>,
) -> u64 {
    let mut own = 0;
    if plan.metrics().is_some() {
        own = metrics.get(*slot).map(|set| count(set, "output_rows")).unwrap_or_default();
        rows.push(own);
        *slot += 1;
    }
    let children = plan.children();
    if children.is_empty() {
        let shuffled = plan.name().contains("Shuffle");
        return if shuffled { 0 } else { own.max(parent_rows) };
    }
    let pass = if children.len() == 1 { own } else { 0 };
    children.into_iter().map(|child| source_rows(child.as_ref(), pass, slot, metrics, rows)).sum()
}

/// By name, because `MetricsSet::sum_by_name` leaves out the metrics that DataFusion itself defines.
fn count(set: &MetricsSet, name: &str) -> u64 {
    set.iter().filter(|metric| metric.value().name() == name).map(|metric| metric.value().as_usize() as u64).sum()
}
