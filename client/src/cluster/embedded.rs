//! Scheduler and executor inside this process.
//!
//! They get threads of their own: plans are decoded by deep recursion, which wants bigger stacks than a caller's
//! runtime has, Ballista leaves tasks behind that only end with their runtime, and a caller that blocks its own
//! runtime must not silence the heartbeats. Signals are left to the caller.

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use quickchat_engine::Engine;
use quickchat_executor::{ExecutorConfig, ExecutorHandle, MemoryLimit, SchedulerUrl};
use quickchat_scheduler::{Liveness, SchedulerConfig, SchedulerHandle};
use tokio::runtime::{Handle, Runtime};

use super::error::{ClusterError, StartError};

/// Stack of the cluster's threads; see the module's text.
const STACK_BYTES: usize = 16 << 20;

/// What a caller may choose about an embedded cluster.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// How many tasks' partitions run at a time; also the number of partitions of a shuffle.
    pub slots: usize,
    /// What all tasks together may hold in memory before they spill.
    pub memory: MemoryLimit,
    /// Where the work folder is made; `None` takes the system's temporary folder.
    pub work_dir: Option<PathBuf>,
}

/// Memory of a slot when nothing is configured. With less the largest sorts spill more often than they need to; with
/// more a run takes memory that it hardly gains from (measured with two million messages).
const SLOT_BYTES: u64 = 384 << 20;

impl EmbeddedOptions {
    /// The bound on memory for so many slots when nothing is configured.
    #[must_use]
    pub fn default_memory(slots: usize) -> MemoryLimit {
        MemoryLimit::Bytes(SLOT_BYTES.saturating_mul(slots as u64))
    }
}

impl Default for EmbeddedOptions {
    /// As many slots as cores.
    fn default() -> Self {
        let slots = std::thread::available_parallelism().map_or(1, usize::from);
        Self { slots, memory: Self::default_memory(slots), work_dir: None }
    }
}

/// A running embedded cluster; ends when dropped.
#[derive(Debug)]
pub(super) struct EmbeddedCluster {
    url: SchedulerUrl,
    handle: Handle,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    runtime: Runtime,
    scheduler: SchedulerHandle,
    executor: ExecutorHandle,
}

impl EmbeddedCluster {
    pub(super) async fn start(engine: &Engine, options: EmbeddedOptions) -> Result<Self, ClusterError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("quickchat-cluster")
            .worker_threads(options.slots.clamp(2, 4))
            .thread_stack_size(STACK_BYTES)
            .build()
            .map_err(|error| ClusterError::Start(StartError::Threads(error)))?;
        let engine = engine.clone();
        let starting = runtime.spawn(async move { start_parts(&engine, options).await });
        match starting.await {
            Ok(Ok((scheduler, executor))) => Ok(Self {
                url: SchedulerUrl::from(scheduler.addr()),
                handle: runtime.handle().clone(),
                running: Mutex::new(Some(Running { runtime, scheduler, executor })),
            }),
            Ok(Err(error)) => {
                runtime.shutdown_background();
                Err(ClusterError::Start(error))
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(ClusterError::Start(StartError::Threads(std::io::Error::other(error))))
            }
        }
    }

    pub(super) fn url(&self) -> &SchedulerUrl {
        &self.url
    }

    pub(super) fn runtime(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops both parts and removes the work folder. Does nothing the second time.
    pub(super) async fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(Running { runtime, scheduler, executor }) = running {
            let stopping = runtime.spawn(async move {
                executor.stop().await;
                scheduler.shutdown().await;
            });
            if let Err(error) = stopping.await {
                tracing::warn!(%error, "the embedded cluster did not stop cleanly");
            }
            runtime.shutdown_background();
        }
    }
}

impl Drop for EmbeddedCluster {
    /// Whoever drops it may be in an async context, where waiting is not allowed: a thread of its own waits instead.
    /// Work folders are removed before the drop returns, because the process may end right after.
    fn drop(&mut self) {
        let Some(Running { runtime, scheduler, executor }) = self.running.get_mut().take() else { return };
        let stopper = std::thread::spawn(move || {
            runtime.block_on(async move {
                executor.stop().await;
                drop(scheduler);
            });
            runtime.shutdown_timeout(Duration::from_millis(200));
        });
        if stopper.join().is_err() {
            tracing::warn!("the embedded cluster did not stop cleanly");
        }
    }
}

async fn start_parts(
    engine: &Engine,
    options: EmbeddedOptions,
) -> Result<(SchedulerHandle, ExecutorHandle), StartError> {
    let config =
        SchedulerConfig { port: 0, http_port: None, liveness: Liveness::same_process(), ..SchedulerConfig::default() };
    let scheduler = quickchat_scheduler::start(engine, config).await?;
    let config = ExecutorConfig {
        slots: options.slots.max(1),
        memory: options.memory,
        work_dir: options.work_dir,
        // The scheduler is in this process: only a machine that stands still makes it late.
        connect_timeout: Duration::from_secs(60),
        ..ExecutorConfig::new(SchedulerUrl::from(scheduler.addr()))
    };
    let executor = quickchat_executor::start(engine, config).await?;
    Ok((scheduler, executor))
}
