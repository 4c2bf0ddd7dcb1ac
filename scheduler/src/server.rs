//! Starting and stopping a scheduler.
//!
//! The listener is bound before the scheduler is made, because the scheduler tells executors the
//! port to report to, and port 0 is only known once bound.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use ballista_core::extension::SessionConfigExt;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::cluster::memory::InMemoryJobState;
use ballista_scheduler::config::{SchedulerConfig as BallistaConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use quickchat_engine::{Engine, session_config};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{SchedulerConfig, whole_seconds};
use crate::error::SchedulerError;
use crate::routes;
use crate::slots::DerivedSlots;

/// Ballista's server with the plan encodings that this project uses.
pub(crate) type Server = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// How long a stopping scheduler waits for open requests. Longer than any unary call; streams of
/// executors that never end are cut.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// A running scheduler. Dropping the handle does not stop it; [`SchedulerHandle::shutdown`] does.
#[derive(Debug)]
pub struct SchedulerHandle {
    addr: SocketAddr,
    http_addr: Option<SocketAddr>,
    stop: CancellationToken,
    servers: Vec<(&'static str, JoinHandle<std::io::Result<()>>)>,
}

impl SchedulerHandle {
    /// Address of the gRPC listener, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Address of the HTTP listener, if there is one.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    /// The url that clients and executors are given.
    #[must_use]
    pub fn url(&self) -> String {
        format!("df://{}", self.addr)
    }

    /// Waits until a server ends by itself, which is an error.
    ///
    /// # Errors
    /// [`SchedulerError::Serve`] with the server that ended.
    pub async fn wait(&mut self) -> Result<(), SchedulerError> {
        loop {
            for (service, server) in &mut self.servers {
                if server.is_finished() {
                    let source = match server.await {
                        Ok(Ok(())) => std::io::Error::other("its listener was closed"),
                        Ok(Err(error)) => error,
                        Err(error) => std::io::Error::other(error),
                    };
                    return Err(SchedulerError::Serve { service, source });
                }
            }
            // Servers end once in a blue moon; a poll is simpler than joining borrowed handles.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Stops accepting, lets open requests end, and returns. Jobs that run are lost: the state of
    /// the scheduler is in memory.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for (service, server) in self.servers {
            let abort = server.abort_handle();
            match tokio::time::timeout(STOP_PATIENCE, server).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => warn!(service, %error, "server ended with an error"),
                Ok(Err(error)) => warn!(service, %error, "server task failed"),
                Err(_) => {
                    info!(service, "connections still open after {STOP_PATIENCE:?}, cutting them");
                    abort.abort();
                }
            }
        }
    }
}

/// Starts a scheduler on the current runtime and returns when its listeners accept connections.
///
/// # Errors
/// [`SchedulerError::Bind`] when a port is taken, [`SchedulerError::Start`] when Ballista refuses.
pub async fn start(engine: &Engine, config: SchedulerConfig) -> Result<SchedulerHandle, SchedulerError> {
    let (listener, addr) = bind("gRPC", "--bind-port", config.bind_host, config.port).await?;
    let http = match config.http_port {
        Some(port) => Some(bind("HTTP", "--http-bind-port", config.bind_host, port).await?),
        None => None,
    };
    let http_addr = http.as_ref().map(|(_, addr)| *addr);

    let ballista = Arc::new(ballista_config(engine, &config, addr, http_addr));
    ballista.validate().map_err(SchedulerError::Start)?;
    let cluster = cluster_state(engine, &ballista);
    let server: Server = create_scheduler(cluster, Arc::clone(&ballista)).await.map_err(SchedulerError::Start)?;
    let server = Arc::new(server);

    let stop = CancellationToken::new();
    let max_message_bytes = ballista.grpc_server_max_decoding_message_size as usize;
    let mut servers = vec![("gRPC", serve(listener, routes::grpc(&server, max_message_bytes), stop.clone()))];
    if let Some((listener, _)) = http {
        servers.push(("HTTP", serve(listener, routes::http(&server), stop.clone())));
    }
    info!(%addr, http = ?http_addr, callback = %ballista.scheduler_endpoint(), "scheduler is listening");
    Ok(SchedulerHandle { addr, http_addr, stop, servers })
}

/// Executors and jobs, in memory. Ballista would also share file statistics between sessions, which only serves tables
/// that are listed from a folder; ours come from a log that has the statistics.
fn cluster_state(engine: &Engine, ballista: &BallistaConfig) -> BallistaCluster {
    let engine = engine.clone();
    let jobs = InMemoryJobState::new(
        ballista.scheduler_id.clone(),
        Arc::new(move |config| engine.session_state(config)),
        Arc::new(default_session),
    );
    BallistaCluster::new(Arc::new(DerivedSlots::default()), Arc::new(jobs))
}

/// For jobs that do not name a number of partitions; all clients of ours do.
fn default_session() -> SessionConfig {
    session_config(std::thread::available_parallelism().map_or(1, usize::from))
}

async fn bind(
    service: &'static str,
    option: &'static str,
    host: IpAddr,
    port: u16,
) -> Result<(TcpListener, SocketAddr), SchedulerError> {
    let address = SocketAddr::new(host, port);
    let failed = |source| SchedulerError::Bind { service, address, option, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) -> JoinHandle<std::io::Result<()>> {
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            warn!(%error, "cannot set TCP_NODELAY on an accepted connection; answers may be 40 ms late");
        }
    });
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await })
}

fn ballista_config(
    engine: &Engine,
    config: &SchedulerConfig,
    addr: SocketAddr,
    http_addr: Option<SocketAddr>,
) -> BallistaConfig {
    let message_bytes = default_session().ballista_grpc_client_max_message_size();
    // Ballista keeps the server's limit in 32 bits, the client's in 64.
    let message_bytes = u32::try_from(message_bytes).unwrap_or(u32::MAX);
    BallistaConfig {
        external_host: external_host(config, addr),
        bind_host: addr.ip().to_string(),
        bind_port: addr.port(),
        // Spread over executors: one executor's death then costs the least.
        task_distribution: TaskDistributionPolicy::RoundRobin,
        finished_job_data_clean_up_interval_seconds: whole_seconds(config.keep_results),
        finished_job_state_clean_up_interval_seconds: whole_seconds(config.keep_jobs),
        executor_timeout_seconds: whole_seconds(config.liveness.executor_timeout),
        expire_dead_executor_interval_seconds: whole_seconds(config.liveness.check_interval).max(1),
        executor_termination_grace_period: whole_seconds(config.liveness.terminating_timeout),
        no_executors_grace_period_seconds: whole_seconds(config.liveness.no_executors_grace),
        grpc_server_max_decoding_message_size: message_bytes,
        grpc_server_max_encoding_message_size: message_bytes,
        grpc_client_max_message_size: message_bytes,
        // The limits of the scheduler's own connections to executors are read from this.
        override_config_producer: Some(Arc::new(default_session)),
        // Tells Ballista's own clients to ask the scheduler for results, too.
        enable_embedded_flight_proxy: true,
        override_logical_codec: Some(engine.logical_codec()),
        override_physical_codec: Some(engine.physical_codec()),
        cors_allowed_origins: routes::own_origin(http_addr.unwrap_or(addr)),
        web_tui_route: routes::HIDDEN_REDIRECT.to_owned(),
        ..BallistaConfig::default()
    }
}

/// The name that executors dial back. A wildcard address means nothing to another machine, so the
/// host's own name is taken, which container networks resolve.
fn external_host(config: &SchedulerConfig, addr: SocketAddr) -> String {
    if let Some(host) = &config.external_host {
        return host.clone();
    }
    let ip = addr.ip();
    if ip.is_unspecified()
        && let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname")
    {
        return name.trim().to_owned();
    }
    match ip {
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    }
}
