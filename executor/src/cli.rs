//! The command line of `quickchat-executor`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use quickchat_engine::Engine;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

use crate::{ExecutorConfig, MemoryLimit, SchedulerUrl, Stopped, start};

/// Ballista and DataFusion write a line for every task and plan; only their warnings are wanted.
const QUIET_LOG: &str = "info,ballista_core=warn,ballista_executor=warn,datafusion=warn,h2=warn,hyper=warn";

/// Exit code for a scheduler that is out of reach.
const UNREACHABLE: u8 = 4;

/// Runs tasks for a scheduler.
// The variables' names avoid `EXECUTOR_PORT` and the like: Kubernetes sets `<SERVICE>_PORT` to an url in every pod
// next to a service of that name.
#[derive(Debug, Clone, Parser)]
#[command(name = "quickchat-executor", version)]
pub struct Options {
    /// The scheduler, as df://host:port.
    #[arg(long, env = "SCHEDULER_URL", default_value = "df://127.0.0.1:50050")]
    pub scheduler_url: SchedulerUrl,
    /// How many tasks' partitions run at a time [default: the number of cores].
    #[arg(long, env = "EXECUTOR_SLOTS", value_parser = clap::value_parser!(u16).range(1..))]
    pub slots: Option<u16>,
    /// IP address to listen on. Anyone who can reach it can run tasks and read shuffle data: keep it private.
    #[arg(long, env = "EXECUTOR_BIND_HOST", default_value = "127.0.0.1")]
    pub bind_host: IpAddr,
    /// Port for results and shuffle data (Arrow Flight); 0 takes any free one.
    #[arg(long, env = "EXECUTOR_FLIGHT_BIND_PORT", default_value_t = 50051)]
    pub flight_bind_port: u16,
    /// Port for tasks from the scheduler (gRPC); 0 takes any free one.
    #[arg(long, env = "EXECUTOR_GRPC_BIND_PORT", default_value_t = 0)]
    pub grpc_bind_port: u16,
    /// Host name under which others reach this executor [default: the address from which it reaches the scheduler].
    #[arg(long, env = "EXECUTOR_EXTERNAL_HOST")]
    pub external_host: Option<String>,
    /// Folder for shuffle data and spilled operators; a folder of its own is made in it and removed at the end
    /// [default: the system's temporary folder].
    #[arg(long, env = "EXECUTOR_WORK_DIR")]
    pub work_dir: Option<PathBuf>,
    /// Memory that all tasks together may hold before they spill: bytes with a unit, or a share of the machine.
    #[arg(long, env = "EXECUTOR_MEMORY", default_value = "65%")]
    pub memory: MemoryLimit,
    /// Seconds to wait for the scheduler at the start.
    #[arg(long, env = "EXECUTOR_CONNECT_TIMEOUT_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub connect_timeout_seconds: u64,
    /// Seconds between heartbeats; at most a third of the scheduler's patience.
    #[arg(long, env = "EXECUTOR_HEARTBEAT_SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub heartbeat_seconds: u64,
    /// Seconds that running tasks get to finish after SIGTERM.
    #[arg(long, env = "EXECUTOR_GRACE_SECONDS", default_value_t = 60)]
    pub grace_seconds: u64,
    /// Hours after which shuffle data of a forgotten job is removed.
    #[arg(long, env = "EXECUTOR_JOB_DATA_HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..))]
    pub job_data_hours: u64,
}

impl Options {
    fn config(&self) -> ExecutorConfig {
        let defaults = ExecutorConfig::new(self.scheduler_url.clone());
        ExecutorConfig {
            slots: self.slots.map_or(defaults.slots, usize::from),
            bind_host: self.bind_host,
            flight_port: self.flight_bind_port,
            grpc_port: self.grpc_bind_port,
            external_host: self.external_host.clone(),
            work_dir: self.work_dir.clone(),
            memory: self.memory,
            connect_timeout: Duration::from_secs(self.connect_timeout_seconds),
            heartbeat: Duration::from_secs(self.heartbeat_seconds),
            job_data_ttl: Duration::from_secs(self.job_data_hours * 3600),
            ..defaults
        }
    }
}

/// Runs an executor until SIGTERM or Ctrl-C, which let running tasks finish. Logs go to standard error; `RUST_LOG`
/// chooses which.
pub fn run(engine: &Engine, options: &Options) -> ExitCode {
    init_logs();
    // Plans are decoded and walked by recursion; a wide query needs more than the usual 2 MiB.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(16 << 20).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start the threads of the executor");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(work(engine, options));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn work(engine: &Engine, options: &Options) -> ExitCode {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            error!(%error, "cannot listen for SIGTERM");
            return ExitCode::FAILURE;
        }
    };
    let starting = start(engine, options.config());
    let mut executor = tokio::select! {
        started = starting => match started {
            Ok(executor) => executor,
            Err(error) => {
                let code = error.exit_code();
                error!("{:#}", anyhow::Error::new(error));
                return ExitCode::from(code);
            }
        },
        _ = terminate.recv() => return ExitCode::SUCCESS,
    };
    tokio::select! {
        _ = terminate.recv() => info!("received SIGTERM"),
        _ = tokio::signal::ctrl_c() => info!("received an interrupt"),
        why = executor.stopped() => {
            error!("{why}; restart the executor when the scheduler at {} is well", options.scheduler_url);
            executor.stop().await;
            return ExitCode::from(if why == Stopped::SchedulerLost { UNREACHABLE } else { 1 });
        }
    }
    executor.drain(Duration::from_secs(options.grace_seconds)).await;
    ExitCode::SUCCESS
}

fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET_LOG));
    // A second initialisation only happens when a test runs this in its own process; the first wins.
    let already = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    if already.is_err() {
        tracing::debug!("logging was set up before");
    }
}
