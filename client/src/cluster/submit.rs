//! Running a plan as a job: submit, wait, fetch, cancel.
//!
//! The plan is optimised here, because expressions with subqueries have no encoding and only the optimiser turns them
//! into joins; everything else is planned by the scheduler. The encoded query is kept, so that a job whose result was
//! lost with an executor can run again.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::config::BALLISTA_JOB_NAME;
use ballista_core::extension::SessionConfigHelperExt;
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::serde::protobuf::{ExecuteQueryParams, KeyValuePair, PartitionLocation};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion_proto::logical_plan::AsLogicalPlan;
use datafusion_proto::protobuf::LogicalPlanNode;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use quickchat_executor::DOUBLED_INPUT;

use super::Cluster;
use super::error::ClusterError;
use super::fetch::{Batches, FetchError, each_once, open};
use super::message;
use super::pace::Pace;
use super::progress::ProgressProbe;
use super::remote::SchedulerConnection;
use super::size;

/// How often a job runs again because its result was lost with an executor.
const RERUNS: usize = 2;
/// How many partitions of a result are fetched at a time.
const FETCHES: usize = 4;
/// How long the scheduler may be out of reach, or not know a job that it accepted, before that is an error. Covers
/// the moment between the acceptance of a job and its entry into the scheduler's list, and a hiccup of the network.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a caller may choose about a job.
#[derive(Debug, Clone, Default)]
pub struct SubmitOptions {
    /// Name shown in lists of jobs.
    pub name: String,
    /// How long the job may take, with the fetching of its result by [`Submitted::collect`]; then it is cancelled. `None`
    /// sets no limit.
    pub deadline: Option<Duration>,
    /// Session settings of this job alone, such as `datafusion.execution.target_partitions`.
    pub settings: Vec<(String, String)>,
}

impl SubmitOptions {
    /// Options with a name and defaults for the rest.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// A job on the cluster. Dropping it before its end cancels the job.
#[derive(Debug)]
pub struct Submitted {
    cluster: Cluster,
    name: String,
    deadline: Option<Duration>,
    schema: SchemaRef,
    query: ExecuteQueryParams,
    pace: Pace,
    job_id: Mutex<String>,
    /// Whether the job may still run, so that dropping this must cancel it.
    open: Mutex<bool>,
}

impl Submitted {
    pub(super) async fn start(
        cluster: &Cluster,
        plan: &LogicalPlan,
        options: SubmitOptions,
    ) -> Result<Self, ClusterError> {
        let SubmitOptions { name, deadline, settings } = options;
        let slots = cluster.parts.scheduler.fresh_slots().await?;
        let query = encode(cluster, plan, &name, slots, settings).await?;
        let pace = Pace::start();
        let job_id = execute(cluster, &name, query.clone()).await?;
        tracing::debug!(job = name, job_id, "submitted");
        Ok(Self {
            cluster: cluster.clone(),
            name,
            deadline,
            schema: Arc::clone(plan.schema().inner()),
            query,
            pace,
            job_id: Mutex::new(job_id),
            open: Mutex::new(true),
        })
    }

    /// The scheduler's id of the job. Changes if the job has to run again.
    #[must_use]
    pub fn job_id(&self) -> String {
        self.job_id.lock().clone()
    }

    /// The job's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Columns of the result.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// A probe for progress bars; it may be asked while [`Submitted::collect`] waits.
    #[must_use]
    pub fn progress(&self) -> ProgressProbe {
        ProgressProbe::new(self.cluster.clone(), self.job_id())
    }

    /// Waits for the end and returns the whole result. A result that was lost with an executor is computed again.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn collect(&self) -> Result<Vec<RecordBatch>, ClusterError> {
        let mut reruns = 0;
        loop {
            let lost = match self.result_places().await? {
                None => None,
                Some(places) => match self.in_time(self.fetch_all(places)).await? {
                    Ok(batches) => return Ok(batches),
                    Err(error) => Some(error),
                },
            };
            if reruns == RERUNS {
                let error = lost.unwrap_or_else(|| FetchError {
                    executor: "unknown".to_owned(),
                    source: "executors were lost again and again while the last stage ran".into(),
                });
                return Err(self.fetch_failed(error));
            }
            reruns += 1;
            let why = lost.map_or_else(|| "it has partitions twice".to_owned(), |error| error.source.to_string());
            tracing::warn!(job = self.name, job_id = self.job_id(), why, "the result was lost, running the job again");
            self.run_again().await?;
        }
    }

    /// Waits for the end and returns the result as a stream, in the order of its partitions. Other than
    /// [`Submitted::collect`] it cannot start over once rows have been given out, so a lost executor is an error.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn stream(&self) -> Result<BoxStream<'static, Result<RecordBatch, ClusterError>>, ClusterError> {
        let mut places = self.result_places().await?;
        for _ in 0..RERUNS {
            if places.is_some() {
                break;
            }
            self.run_again().await?;
            places = self.result_places().await?;
        }
        let name = self.name.clone();
        let batches = self.open_all(places.unwrap_or_default());
        Ok(batches.map_err(move |error| fetch_failed(&name, error)).boxed())
    }

    /// Cancels the job and waits until the scheduler says that it has ended. Tasks that run are aborted. A job that has
    /// ended already is left as it is.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`] when the scheduler does not answer.
    pub async fn cancel(&self) -> Result<(), ClusterError> {
        cancel_until_ended(&self.cluster.parts.scheduler, &self.job_id()).await?;
        *self.open.lock() = false;
        Ok(())
    }

    /// Waits for the end; where the partitions of the result are, or `None` when the job has to run again because the
    /// scheduler mixed up the attempts of a stage.
    async fn result_places(&self) -> Result<Option<Vec<PartitionLocation>>, ClusterError> {
        let ended = self.wait().await;
        // Also after a failure nothing is left to cancel, unless the scheduler could not be asked.
        let unknown = matches!(ended, Err(ClusterError::Unreachable { .. }));
        *self.open.lock() = unknown;
        match ended {
            Err(ClusterError::Failed { message, .. }) if message.contains(DOUBLED_INPUT) => Ok(None),
            ended => ended.map(each_once),
        }
    }

    async fn wait(&self) -> Result<Vec<PartitionLocation>, ClusterError> {
        let job_id = self.job_id();
        let mut silent_since: Option<(std::time::Instant, ClusterError)> = None;
        loop {
            if let Some(deadline) = self.deadline
                && self.pace.elapsed() >= deadline
            {
                self.cancel().await?;
                return Err(self.too_late(deadline));
            }
            let trouble = match self.cluster.parts.scheduler.status(&job_id).await {
                Ok(Some(status)) => match status.status {
                    Some(Status::Successful(job)) => return Ok(job.partition_location),
                    Some(Status::Failed(job)) => return Err(self.failed(job_id, &job.error)),
                    Some(Status::Queued(_) | Status::Running(_)) | None => None,
                },
                Ok(None) => Some(self.forgotten(&job_id)),
                Err(error) => Some(error),
            };
            match (trouble, silent_since.take()) {
                (None, _) => {}
                (Some(error), None) => silent_since = Some((std::time::Instant::now(), error)),
                (Some(error), Some((since, _))) if since.elapsed() >= PATIENCE => return Err(error),
                (Some(error), Some((since, _))) => silent_since = Some((since, error)),
            }
            self.pace.wait().await;
        }
    }

    /// Waits for what comes after the job's end, for as long as its deadline leaves.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, ClusterError> {
        let Some(deadline) = self.deadline else { return Ok(work.await) };
        let left = deadline.saturating_sub(self.pace.elapsed());
        tokio::time::timeout(left, work).await.map_err(|_| self.too_late(deadline))
    }

    fn too_late(&self, deadline: Duration) -> ClusterError {
        ClusterError::Deadline { job: self.name.clone(), job_id: self.job_id(), deadline }
    }

    async fn run_again(&self) -> Result<(), ClusterError> {
        let query = ExecuteQueryParams { operation_id: uuid::Uuid::now_v7().to_string(), ..self.query.clone() };
        let job_id = execute(&self.cluster, &self.name, query).await?;
        *self.job_id.lock() = job_id;
        *self.open.lock() = true;
        Ok(())
    }

    async fn fetch_all(&self, places: Vec<PartitionLocation>) -> Result<Vec<RecordBatch>, FetchError> {
        self.open_all(places).try_collect().await
    }

    /// The batches of all partitions, in the order of the partitions, some of them opened ahead.
    fn open_all(&self, places: Vec<PartitionLocation>) -> Batches {
        let scheduler = Arc::clone(&self.cluster.parts.scheduler);
        stream::iter(places)
            .map(move |place| {
                let scheduler = Arc::clone(&scheduler);
                async move { open(&scheduler, place).await }
            })
            .buffered(FETCHES)
            .try_flatten()
            .boxed()
    }

    fn failed(&self, job_id: String, text: &str) -> ClusterError {
        let job = self.name.clone();
        if text == "Cancelled" {
            return ClusterError::Cancelled { job, job_id };
        }
        tracing::debug!(job, job_id, text, "job failed");
        ClusterError::Failed { job, job_id, kind: message::kind(text), message: message::cause(text) }
    }

    fn forgotten(&self, job_id: &str) -> ClusterError {
        ClusterError::Forgotten { job: self.name.clone(), job_id: job_id.to_owned(), url: self.cluster.url().clone() }
    }

    fn fetch_failed(&self, error: FetchError) -> ClusterError {
        fetch_failed(&self.name, error)
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        if !*self.open.get_mut() {
            return;
        }
        let job_id = std::mem::take(self.job_id.get_mut());
        // On the cluster's runtime: the caller's may be ending, which may be the very reason for this drop. Only the
        // connection is kept, lest an embedded cluster is held alive by what is left of its last job.
        let scheduler = Arc::clone(&self.cluster.parts.scheduler);
        let cancelling = self.cluster.parts.runtime.spawn(async move {
            if let Err(error) = cancel_until_ended(&scheduler, &job_id).await {
                tracing::warn!(job_id, %error, "cannot cancel an abandoned job");
            }
        });
        self.cluster.parts.scheduler.remember(cancelling);
    }
}

/// Submits a query. If the caller goes away before the scheduler has answered, the job is cancelled.
async fn execute(cluster: &Cluster, name: &str, query: ExecuteQueryParams) -> Result<String, ClusterError> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let scheduler = Arc::clone(&cluster.parts.scheduler);
    let job = name.to_owned();
    let submitting = cluster.parts.runtime.spawn(async move {
        let Err(Ok(abandoned)) = tell.send(scheduler.execute(&job, query).await) else { return };
        if let Err(error) = cancel_until_ended(&scheduler, &abandoned).await {
            tracing::warn!(job_id = abandoned, %error, "cannot cancel an abandoned job");
        }
    });
    cluster.parts.scheduler.remember(submitting);
    told.await.map_err(|_| ClusterError::answer(name, "the cluster inside this process has been stopped"))?
}

/// The scheduler ignores a request to cancel a job that it is still planning, so it is repeated until the job has
/// ended.
async fn cancel_until_ended(scheduler: &SchedulerConnection, job_id: &str) -> Result<(), ClusterError> {
    let pace = Pace::start();
    loop {
        scheduler.cancel(job_id).await?;
        // Usually it has ended by the time of the first question.
        for _ in 0..4 {
            let status = scheduler.status(job_id).await?;
            let ended = match status {
                Some(status) => matches!(status.status, Some(Status::Successful(_) | Status::Failed(_))),
                None => pace.elapsed() >= PATIENCE,
            };
            if ended {
                return Ok(());
            }
            pace.wait().await;
        }
    }
}

async fn encode(
    cluster: &Cluster,
    plan: &LogicalPlan,
    name: &str,
    slots: usize,
    settings: Vec<(String, String)>,
) -> Result<ExecuteQueryParams, ClusterError> {
    let job = || name.to_owned();
    // Marks the query's start, which is what now() means.
    let state = cluster.parts.planning.state();
    let plan = state.optimize(plan).map_err(|source| ClusterError::Plan { job: job(), source })?;
    let is_small = size::is_small(&plan, &state).await.map_err(|source| ClusterError::Plan { job: job(), source })?;
    let codec = cluster.engine().logical_codec();
    let mut bytes = Vec::new();
    LogicalPlanNode::try_from_logical_plan(&plan, codec.as_ref())
        .and_then(|message| message.try_encode(&mut bytes))
        .map_err(|source| ClusterError::Encode { job: job(), source })?;

    let mut pairs = state.config().to_key_value_pairs();
    let mut set = |key: &str, value: String| {
        pairs.retain(|pair| pair.key != key);
        pairs.push(KeyValuePair { key: key.to_owned(), value: Some(value) });
    };
    set(BALLISTA_JOB_NAME, job());
    set("datafusion.execution.target_partitions", slots.to_string());
    for (key, value) in size::ONE_TASK.into_iter().filter(|_| is_small) {
        set(key, value.to_owned());
    }
    for (key, value) in settings {
        set(&key, value);
    }
    Ok(ExecuteQueryParams {
        query: Some(Query::LogicalPlan(bytes)),
        settings: pairs,
        session_id: cluster.parts.session_id.clone(),
        operation_id: uuid::Uuid::now_v7().to_string(),
    })
}

fn fetch_failed(job: &str, error: FetchError) -> ClusterError {
    ClusterError::Fetch { job: job.to_owned(), executor: error.executor, source: error.source }
}
