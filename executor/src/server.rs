//! Starting and stopping an executor.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::error::BallistaError;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::GetJobStatusParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::utils::{
    GrpcClientConfig, GrpcServerConfig, create_grpc_client_endpoint, create_grpc_server, create_grpc_server_incoming,
};
use ballista_executor::executor::Executor;
use ballista_executor::executor_process::{ExecutorProcessConfig, structure_executor_metadata};
use ballista_executor::executor_server;
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::{ExecutorMetricCollectionPolicy, LoggingMetricsCollector};
use ballista_executor::shutdown::ShutdownNotifier;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use quickchat_engine::{Engine, session_config};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tracing::{info, warn};

use crate::config::ExecutorConfig;
use crate::connection_pool::ConnectionPool;
use crate::error::{ExecutorError, Stopped};
use crate::live_tasks::{LiveTasks, watch};
use crate::task_engine::TaskEngine;
use crate::task_runtime::TaskRuntimes;
use crate::work_dir::{WorkDir, sweep};

/// How long a stopping executor waits for its services to end.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// How often another free port is tried when one was taken between finding and binding it.
const PORT_ATTEMPTS: usize = 5;

/// A running executor. Dropping the handle leaves it running until its runtime ends;
/// [`ExecutorHandle::drain`] and [`ExecutorHandle::stop`] end it.
pub struct ExecutorHandle {
    pub(crate) executor: Arc<Executor>,
    pub(crate) scheduler: SchedulerGrpcClient<Channel>,
    shutdown: ShutdownNotifier,
    told_to_stop: mpsc::Receiver<bool>,
    /// Loops that end with the executor.
    chores: Vec<JoinHandle<()>>,
    work_dir: WorkDir,
    flight_addr: SocketAddr,
}

impl std::fmt::Debug for ExecutorHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecutorHandle").field("id", &self.id()).field("flight_addr", &self.flight_addr).finish()
    }
}

impl ExecutorHandle {
    /// The executor's id, new with every start.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.executor.metadata.id
    }

    /// Address that serves results and shuffle data.
    #[must_use]
    pub fn flight_addr(&self) -> SocketAddr {
        self.flight_addr
    }

    /// Tasks that run now.
    #[must_use]
    pub fn running_tasks(&self) -> usize {
        self.executor.active_task_count()
    }

    /// The executor's own folder, removed when it stops.
    #[must_use]
    pub fn work_dir(&self) -> &std::path::Path {
        self.work_dir.path()
    }

    /// Waits until the executor ends by itself and says why.
    pub async fn stopped(&mut self) -> Stopped {
        let mut services = self.shutdown.subscribe_for_shutdown();
        tokio::select! {
            Some(_) = self.told_to_stop.recv() => Stopped::ToldToStop,
            () = services.recv() => Stopped::SchedulerLost,
        }
    }

    /// Stops at once: running tasks are dropped and run again elsewhere, the work folder is removed.
    pub async fn stop(self) {
        let ShutdownNotifier { notify_shutdown, mut shutdown_complete_rx, shutdown_complete_tx } = self.shutdown;
        // Fails only when every service has already ended.
        let _already_ended = notify_shutdown.send(());
        drop((notify_shutdown, shutdown_complete_tx));
        self.chores.iter().for_each(JoinHandle::abort);
        if tokio::time::timeout(STOP_PATIENCE, shutdown_complete_rx.recv()).await.is_err() {
            warn!("services of the executor still run after {STOP_PATIENCE:?}");
        }
        drop(self.work_dir);
    }
}

/// Starts an executor on the current runtime and returns when the scheduler has accepted it.
///
/// # Errors
/// See [`ExecutorError`].
pub async fn start(engine: &Engine, config: ExecutorConfig) -> Result<ExecutorHandle, ExecutorError> {
    let slots = config.slots.max(1);
    let bytes_per_slot = config.memory.bytes_per_slot(slots)?;
    let work_dir = WorkDir::create(config.work_dir.as_deref())?;
    let (flight, flight_addr) = bind_flight(&config)?;
    let session = session_config(slots);
    let scheduler = connect(&config, &GrpcClientConfig::from(&session.ballista_config())).await?;
    let parts = TaskParts::new(engine, &work_dir, bytes_per_slot, slots)?;

    let shutdown = ShutdownNotifier::new();
    let (tell_to_stop, told_to_stop) = mpsc::channel(1);
    let message_bytes = session.ballista_grpc_client_max_message_size();
    let executor =
        register(engine, &config, flight_addr, message_bytes, &parts, &scheduler, &shutdown, tell_to_stop).await?;
    serve_flight(flight, &work_dir, message_bytes, &shutdown);
    let chores = vec![
        tokio::spawn(sweep(work_dir.shuffle().to_owned(), config.job_data_ttl, config.sweep_interval)),
        tokio::spawn(watch(parts.live.clone(), scheduler.clone())),
    ];
    info!(id = %executor.metadata.id, flight = %flight_addr, scheduler = %config.scheduler, slots, "executor is ready");
    Ok(ExecutorHandle { executor, scheduler, shutdown, told_to_stop, chores, work_dir, flight_addr })
}

/// What every task of this executor shares.
struct TaskParts {
    shuffle: String,
    functions: Arc<BallistaFunctionRegistry>,
    runtimes: Arc<TaskRuntimes>,
    live: LiveTasks,
    slots: usize,
}

impl TaskParts {
    fn new(engine: &Engine, work_dir: &WorkDir, bytes_per_slot: usize, slots: usize) -> Result<Self, ExecutorError> {
        let base = engine.runtime_env(None).map_err(runtime_failed)?;
        let base = RuntimeEnvBuilder::from_runtime_env(&base)
            .with_temp_file_path(work_dir.spill())
            .build_arc()
            .map_err(runtime_failed)?;
        // The scheduler plans with this very state's functions, so both sides know the same names.
        let state = engine.session_state(session_config(slots)).map_err(runtime_failed)?;
        Ok(Self {
            shuffle: work_dir.shuffle().to_string_lossy().into_owned(),
            functions: Arc::new(BallistaFunctionRegistry::from(&state)),
            runtimes: Arc::new(TaskRuntimes::new(base, bytes_per_slot)),
            live: LiveTasks::default(),
            slots,
        })
    }

    fn executor(&self, process: &Arc<ExecutorProcessConfig>) -> Executor {
        let metadata = structure_executor_metadata(process, u32::try_from(self.slots).unwrap_or(u32::MAX));
        let runtimes = Arc::clone(&self.runtimes);
        let session = session_config(self.slots);
        Executor::new(
            metadata,
            &self.shuffle,
            Arc::new(move |_| runtimes.for_task(1)),
            Arc::new(move || session.clone()),
            Arc::clone(&self.functions),
            Arc::new(LoggingMetricsCollector::default()),
            self.slots,
            Arc::new(TaskEngine::new(ConnectionPool::default(), self.live.clone())),
        )
        .with_session_runtime_cache(Some(Arc::clone(&self.runtimes) as _))
    }
}

fn bind_flight(config: &ExecutorConfig) -> Result<(TcpIncoming, SocketAddr), ExecutorError> {
    let address = SocketAddr::new(config.bind_host, config.flight_port);
    let failed = |source| ExecutorError::Bind {
        service: "shuffle data",
        address,
        option: "--flight-bind-port",
        source: Box::new(source),
    };
    let incoming = create_grpc_server_incoming(address, &GrpcServerConfig::default()).map_err(failed)?;
    let bound = incoming.local_addr().map_err(|error| failed(error.into()))?;
    Ok((incoming, bound))
}

/// Connects to the scheduler, again and again until it answers or the time is up: in a fresh deployment executors are
/// often up before it.
async fn connect(
    config: &ExecutorConfig,
    client: &GrpcClientConfig,
) -> Result<SchedulerGrpcClient<Channel>, ExecutorError> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        let left = config.connect_timeout.saturating_sub(started.elapsed()).max(Duration::from_millis(100));
        let error = match connect_once(config, client, left).await {
            Ok(scheduler) => return Ok(scheduler),
            Err(error) => error,
        };
        if started.elapsed() + pause >= config.connect_timeout {
            let (url, waited) = (config.scheduler.clone(), config.connect_timeout);
            return Err(ExecutorError::Unreachable { url, waited, source: error });
        }
        if pause >= Duration::from_secs(1) {
            info!(scheduler = %config.scheduler, %error, "waiting for the scheduler");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Connects, and asks for the state of a job that is not there. A connection alone proves nothing: what may stand
/// between (a proxy, a service's address) takes connections for a scheduler that is not up yet.
async fn connect_once(
    config: &ExecutorConfig,
    client: &GrpcClientConfig,
    limit: Duration,
) -> Result<SchedulerGrpcClient<Channel>, Box<dyn std::error::Error + Send + Sync>> {
    let endpoint = create_grpc_client_endpoint(config.scheduler.endpoint(), Some(client))?;
    let channel = endpoint.connect_timeout(limit).connect().await?;
    let mut scheduler = SchedulerGrpcClient::new(channel)
        .max_decoding_message_size(client.max_message_size)
        .max_encoding_message_size(client.max_message_size);
    tokio::time::timeout(limit, scheduler.get_job_status(GetJobStatusParams::default())).await??;
    Ok(scheduler)
}

/// Opens the task server and registers with the scheduler. Ballista binds the port itself, so for "any free port" one
/// is looked up first; should another process take it in between, the next is tried.
#[expect(clippy::too_many_arguments, reason = "the parts of one start, made one after the other by the only caller")]
async fn register(
    engine: &Engine,
    config: &ExecutorConfig,
    flight_addr: SocketAddr,
    message_bytes: usize,
    parts: &TaskParts,
    scheduler: &SchedulerGrpcClient<Channel>,
    shutdown: &ShutdownNotifier,
    tell_to_stop: mpsc::Sender<bool>,
) -> Result<Arc<Executor>, ExecutorError> {
    let mut attempt = 1;
    loop {
        let port = if config.grpc_port == 0 { free_port(config.bind_host)? } else { config.grpc_port };
        let process = Arc::new(process_config(config, flight_addr.port(), port, message_bytes));
        let executor = Arc::new(parts.executor(&process));
        let codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode> =
            BallistaCodec::new(engine.logical_codec(), engine.physical_codec());
        let started = executor_server::startup(
            scheduler.clone(),
            process,
            Arc::clone(&executor),
            codec,
            tell_to_stop.clone(),
            shutdown,
            ExecutorHealth::new(),
        )
        .await;
        match started {
            Ok(_server) => return Ok(executor),
            // Everything else that can go wrong before the registration is a matter of the port.
            Err(source @ BallistaError::GrpcError(_)) => {
                return Err(ExecutorError::Register { url: config.scheduler.clone(), source: Box::new(source) });
            }
            Err(source) if config.grpc_port != 0 || attempt == PORT_ATTEMPTS => {
                let address = SocketAddr::new(config.bind_host, port);
                return Err(ExecutorError::Bind {
                    service: "tasks",
                    address,
                    option: "--grpc-bind-port",
                    source: Box::new(source),
                });
            }
            Err(_) => attempt += 1,
        }
    }
}

fn runtime_failed(error: DataFusionError) -> ExecutorError {
    ExecutorError::Runtime(Box::new(error))
}

fn free_port(host: IpAddr) -> Result<u16, ExecutorError> {
    let address = SocketAddr::new(host, 0);
    std::net::TcpListener::bind(address).and_then(|listener| listener.local_addr()).map(|bound| bound.port()).map_err(
        |error| ExecutorError::Bind {
            service: "tasks",
            address,
            option: "--grpc-bind-port",
            source: Box::new(BallistaError::IoError(error)),
        },
    )
}

fn process_config(config: &ExecutorConfig, flight: u16, grpc: u16, message_bytes: usize) -> ExecutorProcessConfig {
    // Ballista builds the address to bind from text, in which an IPv6 address wants brackets.
    let bind_host = match config.bind_host {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let message_bytes = u32::try_from(message_bytes).unwrap_or(u32::MAX);
    ExecutorProcessConfig {
        bind_host,
        external_host: config.external_host.clone(),
        port: flight,
        grpc_port: grpc,
        scheduler_host: config.scheduler.host().to_owned(),
        scheduler_port: config.scheduler.port(),
        vcores: config.slots,
        grpc_max_decoding_message_size: message_bytes,
        grpc_max_encoding_message_size: message_bytes,
        executor_heartbeat_interval_seconds: config.heartbeat.as_secs().max(1),
        metric_collection_policy: ExecutorMetricCollectionPolicy::ProcessOnly,
        ..ExecutorProcessConfig::default()
    }
}

fn serve_flight(incoming: TcpIncoming, work_dir: &WorkDir, message_bytes: usize, shutdown: &ShutdownNotifier) {
    let service =
        FlightServiceServer::new(BallistaFlightService::new(work_dir.shuffle().to_string_lossy().into_owned()))
            .max_decoding_message_size(message_bytes)
            .max_encoding_message_size(message_bytes);
    let mut stop = shutdown.subscribe_for_shutdown();
    let done = shutdown.shutdown_complete_tx.clone();
    tokio::spawn(async move {
        let server = create_grpc_server(&GrpcServerConfig::default())
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, stop.recv());
        if let Err(error) = server.await {
            warn!(%error, "the server of shuffle data ended with an error");
        }
        drop(done);
    });
}
