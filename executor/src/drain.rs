//! Leaving the cluster without losing work that is nearly done.
//!
//! The order matters. First the scheduler hears that this executor is terminating, and binds no more tasks to it. Then
//! running tasks end and their results are reported. Only then does the executor say that it has stopped: from then on
//! the scheduler treats its shuffle data as lost and runs again what is still needed. Ballista's own process says so
//! first, whereupon the scheduler cancels the tasks that were to be finished.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ballista_core::serde::protobuf::executor_status::Status;
use ballista_core::serde::protobuf::{ExecutorStatus, ExecutorStoppedParams, HeartBeatParams};
use ballista_executor::executor_server::TERMINATING;
use tracing::{info, warn};

use crate::server::ExecutorHandle;

/// How long no task must run before the executor counts as drained. Covers tasks that the scheduler had bound before
/// it heard of the end, and the time in which the last results are reported.
const QUIET: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(20);

impl ExecutorHandle {
    /// Finishes running tasks, for at most `grace`, then stops. Returns how many tasks still ran when the time was up.
    ///
    /// Ballista keeps the mark "terminating" for the whole process, so this is for a process with one executor that
    /// ends afterwards.
    pub async fn drain(mut self, grace: Duration) -> usize {
        info!(running = self.running_tasks(), ?grace, "finishing running tasks");
        TERMINATING.store(true, Ordering::Release);
        self.announce_end().await;

        let started = Instant::now();
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < QUIET && started.elapsed() < grace.max(QUIET) {
            if self.running_tasks() > 0 {
                quiet_since = Instant::now();
            }
            tokio::time::sleep(POLL).await;
        }
        let unfinished = self.running_tasks();
        if unfinished > 0 {
            warn!(unfinished, ?grace, "tasks did not end in time; they run again on other executors");
        }
        self.say_goodbye().await;
        self.stop().await;
        unfinished
    }

    async fn announce_end(&mut self) {
        let heartbeat = HeartBeatParams {
            executor_id: self.id().to_owned(),
            metrics: Vec::new(),
            status: Some(ExecutorStatus { status: Some(Status::Terminating(String::new())) }),
            metadata: Some(self.executor.metadata.clone()),
        };
        if let Err(error) = self.scheduler.heart_beat_from_executor(heartbeat).await {
            warn!(%error, "cannot tell the scheduler that this executor is ending; it will notice by itself");
        }
    }

    async fn say_goodbye(&mut self) {
        let stopped =
            ExecutorStoppedParams { executor_id: self.id().to_owned(), reason: "the executor was stopped".to_owned() };
        if let Err(error) = self.scheduler.executor_stopped(stopped).await {
            warn!(%error, "cannot tell the scheduler that this executor has ended; it will notice by itself");
        }
    }
}
