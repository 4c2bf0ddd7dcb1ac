//! The connection to a scheduler.
//!
//! One HTTP/2 connection carries everything: Ballista's gRPC calls, the results of jobs and, for progress and lists, the
//! REST answers, which the scheduler serves on the same port. `DistributedQueryExec` would open a connection for each query, hide
//! the job's id until the job has ended, and neither cancel nor tell planning errors from lost networks.

use std::time::{Duration, Instant};

use arrow_flight::flight_service_client::FlightServiceClient;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::execute_query_failure_result::Failure;
use ballista_core::serde::protobuf::execute_query_result::Result as QueryResult;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{CancelJobParams, ExecuteQueryParams, GetJobStatusParams, JobStatus};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use ballista_core::version;
use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;
use quickchat_engine::{Engine, session_config};
use quickchat_executor::SchedulerUrl;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tonic::client::GrpcService;
use tonic::transport::Channel;

use super::error::ClusterError;

/// Bound on a REST answer: the stages of a huge job with their plans.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// How much of one answer may be under way and not yet taken.
const STREAM_WINDOW: u32 = 1 << 20;
/// The window of the whole connection is without a bound, or a few results that nobody reads just now would fill it and
/// hold up every other answer; each stream has a bound of its own.
const CONNECTION_WINDOW: u32 = i32::MAX as u32;
/// How often a scheduler from which an answer is awaited is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// For how long a count of the cluster's slots is good enough to plan with.
const SLOTS_ARE_FRESH: Duration = Duration::from_secs(2);

/// An executor as the scheduler sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct ExecutorInfo {
    /// Its id.
    pub id: String,
    /// The host that others reach it at.
    pub host: String,
    /// The port of results and shuffle data.
    pub port: u16,
    /// Its last heartbeat, milliseconds since 1970, if it has sent one.
    pub last_seen: Option<u64>,
    /// What it offers.
    pub specification: ExecutorSlots,
}

/// What an executor offers.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ExecutorSlots {
    /// Slots.
    pub vcores: u32,
}

/// The codecs of the engine, in the place where Ballista looks for them.
pub(super) fn with_codecs(config: SessionConfig, engine: &Engine) -> SessionConfig {
    config
        .with_ballista_logical_extension_codec(engine.logical_codec())
        .with_ballista_physical_extension_codec(engine.physical_codec())
}

/// A connection to a scheduler. Reconnects by itself when the scheduler comes back.
#[derive(Debug)]
pub(super) struct SchedulerConnection {
    url: SchedulerUrl,
    channel: Channel,
    max_message_bytes: usize,
    /// Slots of all executors, and when they were counted.
    slots: Mutex<(usize, Instant)>,
    /// Work that goes on though nobody waits for it: the cancelling of abandoned jobs.
    loose_ends: Mutex<Vec<JoinHandle<()>>>,
}

impl SchedulerConnection {
    /// Connects, trying again until the time is up: a scheduler that is just starting is worth a moment.
    pub(super) async fn open(url: &SchedulerUrl, patience: Duration, runtime: &Handle) -> Result<Self, ClusterError> {
        let started = Instant::now();
        loop {
            let left = patience.saturating_sub(started.elapsed()).max(Duration::from_millis(100));
            match Self::open_once(url, left, runtime).await {
                Err(ClusterError::Unreachable { .. }) if started.elapsed() < patience => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                ended => return ended,
            }
        }
    }

    /// Connects, and asks for the executors. A connection alone proves nothing: what may stand between (a proxy, a
    /// service's address) takes connections for a scheduler that is not up yet.
    async fn open_once(url: &SchedulerUrl, limit: Duration, runtime: &Handle) -> Result<Self, ClusterError> {
        let session = session_config(1);
        let client = GrpcClientConfig::from(&session.ballista_config());
        let endpoint = create_grpc_client_endpoint(url.endpoint(), Some(&client))
            .map_err(|error| unreachable(url, error))?
            .connect_timeout(limit)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        // Connected on the cluster's runtime, because the connection dies with the runtime that opened it.
        let connecting = runtime.spawn(async move { endpoint.connect().await });
        let connected = connecting.await.map_err(|error| unreachable(url, error))?;
        let connection = Self {
            url: url.clone(),
            channel: connected.map_err(|error| unreachable(url, error))?,
            max_message_bytes: session.ballista_grpc_client_max_message_size(),
            slots: Mutex::new((1, Instant::now())),
            loose_ends: Mutex::default(),
        };
        connection.count_slots().await?;
        Ok(connection)
    }

    pub(super) fn url(&self) -> &SchedulerUrl {
        &self.url
    }

    /// Keeps work for [`Self::settle`] to wait for.
    pub(super) fn remember(&self, work: JoinHandle<()>) {
        let mut loose_ends = self.loose_ends.lock();
        loose_ends.retain(|end| !end.is_finished());
        loose_ends.push(work);
    }

    /// Waits for all work that is remembered.
    pub(super) async fn settle(&self) {
        let loose_ends = std::mem::take(&mut *self.loose_ends.lock());
        for end in loose_ends {
            if let Err(error) = end.await {
                tracing::warn!(%error, "the cancelling of an abandoned job ended badly");
            }
        }
    }

    /// Slots of all executors when last counted, at least one.
    pub(super) fn slots(&self) -> usize {
        self.slots.lock().0
    }

    /// Slots of all executors, counted again if the last count is not fresh. A shuffle gets as many partitions.
    pub(super) async fn fresh_slots(&self) -> Result<usize, ClusterError> {
        let (slots, counted) = *self.slots.lock();
        if counted.elapsed() < SLOTS_ARE_FRESH { Ok(slots) } else { self.count_slots().await }
    }

    async fn count_slots(&self) -> Result<usize, ClusterError> {
        let slots: usize = self.executors().await?.iter().map(|one| one.specification.vcores as usize).sum();
        let slots = slots.max(1);
        *self.slots.lock() = (slots, Instant::now());
        Ok(slots)
    }

    pub(super) async fn executors(&self) -> Result<Vec<ExecutorInfo>, ClusterError> {
        const PATH: &str = "/api/executors";
        serde_json::from_slice(&self.get(PATH).await?).map_err(|error| ClusterError::answer(PATH, error))
    }

    /// `GET` over the gRPC connection. Absent things are an error too.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, ClusterError> {
        match self.try_get(path).await? {
            Some(bytes) => Ok(bytes),
            None => Err(ClusterError::answer(path, "not found")),
        }
    }

    /// `GET` over the gRPC connection; `None` when the scheduler knows no such thing.
    pub(super) async fn try_get(&self, path: &str) -> Result<Option<Bytes>, ClusterError> {
        let request =
            Request::get(path).body(tonic::body::Body::empty()).map_err(|error| ClusterError::answer(path, error))?;
        let mut channel = self.channel.clone();
        std::future::poll_fn(|context| GrpcService::poll_ready(&mut channel, context))
            .await
            .map_err(|error| unreachable(&self.url, error))?;
        let response = GrpcService::call(&mut channel, request).await.map_err(|error| unreachable(&self.url, error))?;
        let status = response.status();
        let body = axum::body::to_bytes(Body::new(response.into_body()), MAX_ANSWER_BYTES)
            .await
            .map_err(|error| unreachable(&self.url, error))?;
        match status {
            StatusCode::OK => Ok(Some(body)),
            StatusCode::NOT_FOUND => Ok(None),
            // What stands between tells so that it cannot reach the scheduler.
            other @ (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {
                Err(unreachable(&self.url, format!("{path} was answered with {other}")))
            }
            other => Err(ClusterError::answer(path, format!("{other}: {}", String::from_utf8_lossy(&body)))),
        }
    }

    /// Submits a query and returns the job's id.
    pub(super) async fn execute(&self, job: &str, query: ExecuteQueryParams) -> Result<String, ClusterError> {
        let mut request = tonic::Request::new(query);
        version::insert_version_header(request.metadata_mut());
        let answer = self.client().execute_query(request).await.map_err(|status| self.refused(job, status))?;
        let scheduler_version = version::version_from_metadata(answer.metadata()).map(str::to_owned);
        let rejected = |message: String| ClusterError::Rejected { job: job.to_owned(), message };
        version::check_compatibility(Some(ballista_core::BALLISTA_VERSION), scheduler_version.as_deref())
            .map_err(rejected)?;
        match answer.into_inner().result {
            Some(QueryResult::Success(success)) => Ok(success.job_id),
            Some(QueryResult::Failure(failure)) => Err(rejected(match failure.failure {
                Some(
                    Failure::PlanParsingFailure(text)
                    | Failure::SqlParsingFailure(text)
                    | Failure::SessionNotFound(text),
                ) => text,
                None => "it gave no reason".to_owned(),
            })),
            None => Err(rejected("it gave an empty answer".to_owned())),
        }
    }

    /// The state of a job; `None` when the scheduler does not know it.
    pub(super) async fn status(&self, job_id: &str) -> Result<Option<JobStatus>, ClusterError> {
        let params = GetJobStatusParams { job_id: job_id.to_owned() };
        let answer = self.client().get_job_status(params).await.map_err(|status| unreachable(&self.url, status))?;
        Ok(answer.into_inner().status)
    }

    /// Asks for the end of a job.
    pub(super) async fn cancel(&self, job_id: &str) -> Result<(), ClusterError> {
        let params = CancelJobParams { job_id: job_id.to_owned() };
        self.client().cancel_job(params).await.map_err(|status| unreachable(&self.url, status))?;
        Ok(())
    }

    /// Where the results of finished jobs are had.
    pub(super) fn results(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel.clone())
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes)
    }

    fn client(&self) -> SchedulerGrpcClient<Channel> {
        SchedulerGrpcClient::new(self.channel.clone())
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes)
    }

    fn refused(&self, job: &str, status: tonic::Status) -> ClusterError {
        match status.code() {
            tonic::Code::InvalidArgument | tonic::Code::FailedPrecondition | tonic::Code::Internal => {
                ClusterError::Rejected { job: job.to_owned(), message: status.message().to_owned() }
            }
            tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => ClusterError::Rejected {
                job: job.to_owned(),
                message: format!("the plan does not fit into one message: {}", status.message()),
            },
            _ => unreachable(&self.url, status),
        }
    }
}

fn unreachable(url: &SchedulerUrl, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClusterError {
    ClusterError::Unreachable { url: url.clone(), source: source.into() }
}
