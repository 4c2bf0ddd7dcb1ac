//! Where plans run: a cluster inside this process, or one of scheduler and executor processes.
//!
//! Both are the same Ballista scheduler and executors, reached over the same gRPC; "embedded" only means that their
//! sockets are on the loopback interface of this process. So there is one code path, and what works embedded works
//! remotely. Of a remote cluster a client reaches the scheduler's gRPC port and nothing else: plans, progress and results
//! all go that way. Rejected: DataFusion alone for the embedded case (two engines to keep in step, and stages that only ever
//! fail on the cluster), and Ballista's standalone helper (pull mode, 100 to 900 ms for a small query).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use quickchat_client::cluster::{Cluster, EmbeddedOptions};
//!
//! let cluster = Cluster::embedded(EmbeddedOptions::default()).await?;
//! let plan = cluster.session()?.sql("select 1 + 1 as two").await?.into_unoptimized_plan();
//! let job = cluster.submit(&plan, "two").await?;
//! let batches = job.collect().await?;
//! assert_eq!(batches[0].num_rows(), 1);
//! # Ok(())
//! # }
//! ```

mod embedded;
mod error;
mod fetch;
mod message;
mod pace;
mod progress;
mod remote;
mod size;
mod submit;

use std::sync::Arc;
use std::time::Duration;

use ballista_core::config::BALLISTA_SHUFFLE_COMPRESSION_CODEC;
use ballista_core::extension::SessionStateExt;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use quickchat_engine::{Engine, session_config};
use quickchat_executor::SchedulerUrl;

pub use embedded::EmbeddedOptions;
pub use error::{ClusterError, ErrorClass, FailureKind};
pub use progress::{Progress, ProgressProbe};
pub use remote::ExecutorInfo;
pub use submit::{SubmitOptions, Submitted};

use embedded::EmbeddedCluster;
use remote::SchedulerConnection;

/// How long [`Cluster::connect`] tries.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// A cluster that runs plans. Cheap to clone; an embedded cluster ends with its last clone, or with
/// [`Cluster::stop`].
#[derive(Debug, Clone)]
pub struct Cluster {
    parts: Arc<Parts>,
}

struct Parts {
    engine: Engine,
    /// One id for all jobs of this client.
    session_id: String,
    scheduler: Arc<SchedulerConnection>,
    /// Optimises plans before they travel. Kept, because making one costs as much as a small job.
    planning: SessionContext,
    /// Where connections live, so that they survive the runtime of whoever happened to use them first.
    runtime: tokio::runtime::Handle,
    embedded: Option<EmbeddedCluster>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("scheduler", &self.scheduler).field("embedded", &self.embedded).finish()
    }
}

impl Cluster {
    /// Starts a scheduler and an executor inside this process, on free loopback ports.
    ///
    /// # Errors
    /// [`ClusterError::Start`] when a port or the work folder cannot be had.
    pub async fn embedded(options: EmbeddedOptions) -> Result<Self, ClusterError> {
        Self::embedded_with(Engine::default(), options).await
    }

    /// The same with an engine of the caller's.
    ///
    /// # Errors
    /// As [`Cluster::embedded`].
    pub async fn embedded_with(engine: Engine, options: EmbeddedOptions) -> Result<Self, ClusterError> {
        let embedded = EmbeddedCluster::start(&engine, options).await?;
        let runtime = embedded.runtime();
        let url = embedded.url().clone();
        Self::new(engine, url, runtime, Some(embedded)).await
    }

    /// Connects to the scheduler of a running cluster. The connection lives on the runtime of the caller.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`] within a few seconds when nobody answers there.
    pub async fn connect(url: &SchedulerUrl) -> Result<Self, ClusterError> {
        Self::connect_with(Engine::default(), url).await
    }

    /// The same with an engine of the caller's.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub async fn connect_with(engine: Engine, url: &SchedulerUrl) -> Result<Self, ClusterError> {
        Self::new(engine, url.clone(), tokio::runtime::Handle::current(), None).await
    }

    async fn new(
        engine: Engine,
        url: SchedulerUrl,
        runtime: tokio::runtime::Handle,
        embedded: Option<EmbeddedCluster>,
    ) -> Result<Self, ClusterError> {
        let scheduler = Arc::new(SchedulerConnection::open(&url, CONNECT_TIMEOUT, &runtime).await?);
        let planning = SessionContext::new_with_state(session_state(&engine, &scheduler, embedded.is_some())?);
        let parts =
            Parts { planning, engine, session_id: uuid::Uuid::now_v7().to_string(), scheduler, runtime, embedded };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The scheduler's address.
    #[must_use]
    pub fn url(&self) -> &SchedulerUrl {
        self.parts.scheduler.url()
    }

    /// The engine that this client builds plans with.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.parts.engine
    }

    /// A session for building logical plans, with the functions and codecs of the cluster. Queries that are collected
    /// from it directly run on the cluster too, only without job name, progress and cancellation.
    ///
    /// # Errors
    /// [`ClusterError::Session`] when the engine's functions or object stores cannot be set up.
    pub fn session(&self) -> Result<SessionContext, ClusterError> {
        Ok(SessionContext::new_with_state(session_state(
            &self.parts.engine,
            &self.parts.scheduler,
            self.parts.embedded.is_some(),
        )?))
    }

    /// Hands a plan to the scheduler as a job of the given name.
    ///
    /// # Errors
    /// See [`ClusterError`]; planning errors that the client can see come at once, those of the scheduler when the
    /// result is asked for.
    pub async fn submit(&self, plan: &LogicalPlan, name: &str) -> Result<Submitted, ClusterError> {
        self.submit_with(plan, SubmitOptions::named(name)).await
    }

    /// The same with a deadline or settings of the job.
    ///
    /// # Errors
    /// As [`Cluster::submit`].
    pub async fn submit_with(&self, plan: &LogicalPlan, options: SubmitOptions) -> Result<Submitted, ClusterError> {
        Submitted::start(self, plan, options).await
    }

    /// The executors that the scheduler knows.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`] when the scheduler does not answer.
    pub async fn executors(&self) -> Result<Vec<ExecutorInfo>, ClusterError> {
        self.parts.scheduler.executors().await
    }

    /// Asks the scheduler to cancel a job by its id, whoever submitted it.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`] when the scheduler does not answer.
    pub async fn cancel(&self, job_id: &str) -> Result<(), ClusterError> {
        self.parts.scheduler.cancel(job_id).await
    }

    /// Answers a `GET` of the scheduler's REST API, such as `/api/jobs`, as JSON text.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`] when the scheduler does not answer, [`ClusterError::Answer`] when it refuses.
    pub async fn api(&self, path: &str) -> Result<String, ClusterError> {
        let bytes = self.parts.scheduler.get(path).await?;
        String::from_utf8(bytes.to_vec()).map_err(|error| ClusterError::answer(path, error))
    }

    /// Waits until the jobs that were dropped before their end are cancelled, or the scheduler is out of reach. A
    /// process that ends without this may leave jobs behind on a remote cluster.
    pub async fn settle(&self) {
        self.parts.scheduler.settle().await;
    }

    /// Stops an embedded cluster and removes its work folder; a remote one is left alone. Jobs that run are dropped.
    pub async fn stop(self) {
        if let Some(embedded) = &self.parts.embedded {
            embedded.stop().await;
        }
    }
}

fn session_state(
    engine: &Engine,
    scheduler: &SchedulerConnection,
    is_embedded: bool,
) -> Result<SessionState, ClusterError> {
    let build = || {
        let mut config = remote::with_codecs(session_config(scheduler.slots()), engine);
        if is_embedded {
            // Shuffled rows stay on this machine: compressing them costs more than writing them.
            config = config.set_str(BALLISTA_SHUFFLE_COMPRESSION_CODEC, "none");
        }
        let mut state = engine.session_state(config)?.upgrade_for_ballista(scheduler.url().endpoint())?;
        // The upgrade has replaced the functions by Ballista's own lists.
        engine.register_functions(&mut state)?;
        Ok(state)
    };
    build().map_err(ClusterError::Session)
}
