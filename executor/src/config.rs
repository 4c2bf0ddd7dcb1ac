//! What an operator may choose about an executor, already validated.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::{MemoryLimit, SchedulerUrl};

/// Where an executor listens, whom it works for and what it may use.
#[derive(Debug, Clone)]
pub struct ExecutorConfig {
    /// The scheduler that hands out tasks.
    pub scheduler: SchedulerUrl,
    /// How many tasks' partitions run at a time.
    pub slots: usize,
    /// Address that both listeners bind.
    pub bind_host: IpAddr,
    /// Port that serves results and shuffle data (Arrow Flight); 0 takes any free one.
    pub flight_port: u16,
    /// Port that takes tasks from the scheduler (gRPC); 0 takes any free one.
    pub grpc_port: u16,
    /// Host name under which scheduler, clients and other executors reach this one. `None`: the scheduler takes the
    /// address from which this executor connects.
    pub external_host: Option<String>,
    /// Folder in which the executor makes its own work folder; `None` takes the system's temporary folder.
    pub work_dir: Option<PathBuf>,
    /// Bound on what all tasks together may hold in memory before they spill to the work folder.
    pub memory: MemoryLimit,
    /// How long to try to reach the scheduler at the start.
    pub connect_timeout: Duration,
    /// Time between heartbeats, in whole seconds, at least one.
    pub heartbeat: Duration,
    /// Age at which a job's shuffle data is removed although nobody asked for it: the last resort when a scheduler
    /// has forgotten the job. Longer than any job runs.
    pub job_data_ttl: Duration,
    /// How often such data is looked for.
    pub sweep_interval: Duration,
}

impl ExecutorConfig {
    /// An executor for the given scheduler with defaults for everything else: loopback, any free ports, as many slots
    /// as cores.
    #[must_use]
    pub fn new(scheduler: SchedulerUrl) -> Self {
        Self {
            scheduler,
            slots: std::thread::available_parallelism().map_or(1, usize::from),
            bind_host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            flight_port: 0,
            grpc_port: 0,
            external_host: None,
            work_dir: None,
            memory: MemoryLimit::default(),
            connect_timeout: Duration::from_secs(30),
            // A fifth of the scheduler's patience, so that four may get lost.
            heartbeat: Duration::from_secs(3),
            job_data_ttl: Duration::from_secs(24 * 3600),
            sweep_interval: Duration::from_secs(300),
        }
    }
}
