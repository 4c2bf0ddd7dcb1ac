//! The command line of `quickchat-scheduler`.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use quickchat_engine::Engine;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

use crate::{Liveness, SchedulerConfig, start};

/// Ballista and DataFusion write a line for every task and plan; only their warnings are wanted.
const QUIET_LOG: &str = "info,ballista_core=warn,ballista_scheduler=warn,datafusion=warn,h2=warn,hyper=warn";

/// Plans queries into stages and hands their tasks to executors.
// The variables' names avoid `SCHEDULER_PORT` and the like: Kubernetes sets `<SERVICE>_PORT` to an
// url in every pod next to a service of that name.
#[derive(Debug, Clone, Parser)]
#[command(name = "quickchat-scheduler", version)]
pub struct Options {
    /// IP address to listen on. Anyone who can reach it can run plans: keep it private.
    #[arg(long, env = "SCHEDULER_BIND_HOST", default_value = "127.0.0.1")]
    pub bind_host: IpAddr,
    /// Port for clients and executors (gRPC); 0 takes any free one.
    #[arg(long, env = "SCHEDULER_BIND_PORT", default_value_t = 50050)]
    pub bind_port: u16,
    /// Port for REST, health and metrics (HTTP); 0 takes any free one.
    #[arg(long, env = "SCHEDULER_HTTP_BIND_PORT", default_value_t = 8080)]
    pub http_bind_port: u16,
    /// Host name under which executors reach this scheduler [default: the bound address, or this
    /// machine's host name when that is a wildcard].
    #[arg(long, env = "SCHEDULER_EXTERNAL_HOST")]
    pub external_host: Option<String>,
    /// Seconds of silence after which an executor counts as lost and its tasks run elsewhere.
    #[arg(long, env = "SCHEDULER_EXECUTOR_TIMEOUT_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(2..))]
    pub executor_timeout_seconds: u64,
    /// Seconds that running jobs wait for a new executor when all are lost, before they fail.
    #[arg(long, env = "SCHEDULER_NO_EXECUTORS_GRACE_SECONDS", default_value_t = 30)]
    pub no_executors_grace_seconds: u64,
}

impl Options {
    fn config(&self) -> SchedulerConfig {
        let timeout = Duration::from_secs(self.executor_timeout_seconds);
        let defaults = Liveness::default();
        SchedulerConfig {
            bind_host: self.bind_host,
            port: self.bind_port,
            http_port: Some(self.http_bind_port),
            external_host: self.external_host.clone(),
            liveness: Liveness {
                executor_timeout: timeout,
                check_interval: defaults.check_interval.min(timeout / 2),
                terminating_timeout: defaults.terminating_timeout.min(timeout),
                no_executors_grace: Duration::from_secs(self.no_executors_grace_seconds),
            },
            ..SchedulerConfig::default()
        }
    }
}

/// Runs a scheduler until SIGTERM or Ctrl-C. Logs go to standard error; `RUST_LOG` chooses which.
pub fn run(engine: &Engine, options: &Options) -> ExitCode {
    init_logs();
    // Plans are decoded and walked by recursion; a wide query needs more than the usual 2 MiB.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(16 << 20).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start the threads of the scheduler");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(serve(engine, options));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn serve(engine: &Engine, options: &Options) -> ExitCode {
    // Before the listeners: whoever reads that they are open may ask this process to stop.
    let mut stop = match StopSignals::listen() {
        Ok(stop) => stop,
        Err(error) => {
            error!(%error, "cannot listen for SIGTERM and interrupts");
            return ExitCode::FAILURE;
        }
    };
    let mut scheduler = match start(engine, options.config()).await {
        Ok(scheduler) => scheduler,
        Err(error) => {
            let code = error.exit_code();
            error!("{:#}", anyhow::Error::new(error));
            return ExitCode::from(code);
        }
    };
    tokio::select! {
        name = stop.received() => info!("received {name}, stopping"),
        ended = scheduler.wait() => {
            if let Err(error) = ended {
                let code = error.exit_code();
                error!("{:#}", anyhow::Error::new(error));
                return ExitCode::from(code);
            }
        }
    }
    scheduler.shutdown().await;
    ExitCode::SUCCESS
}

/// SIGTERM and SIGINT, which no longer end the process by themselves once this is made.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the first that comes.
    async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "an interrupt",
        }
    }
}

fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET_LOG));
    // A second initialisation only happens when a test runs this in its own process; the first wins.
    let already = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    if already.is_err() {
        tracing::debug!("logging was set up before");
    }
}
