//! The tasks that this executor works on, and the end of those whose job has ended.
//!
//! Ballista tells an executor once to cancel a task, and the executor ignores it when the task has arrived but not
//! begun. Such a task would run to its end for nobody, holding memory and a core that the scheduler believes free. The
//! same happens when the message is lost, or when the scheduler is restarted and forgets the job. So the executor asks
//! after the jobs that it works for, and gives up the tasks of those that have ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::serde::protobuf::GetJobStatusParams;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing::{debug, info};

/// How often the jobs are asked after: one small question a job that is being worked for.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Entry {
    job_id: String,
    token: CancellationToken,
}

/// Tasks by a number of their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveTasks {
    entries: Arc<Mutex<(u64, HashMap<u64, Entry>)>>,
}

/// A task in the list, until dropped.
#[derive(Debug)]
pub(crate) struct LiveTask {
    tasks: LiveTasks,
    number: u64,
    token: CancellationToken,
}

impl LiveTasks {
    /// Lists a task.
    pub(crate) fn begin(&self, job_id: &str) -> LiveTask {
        let token = CancellationToken::new();
        let mut entries = self.entries.lock();
        entries.0 += 1;
        let number = entries.0;
        entries.1.insert(number, Entry { job_id: job_id.to_owned(), token: token.clone() });
        LiveTask { tasks: self.clone(), number, token }
    }

    fn jobs(&self) -> Vec<String> {
        let mut jobs: Vec<_> = self.entries.lock().1.values().map(|entry| entry.job_id.clone()).collect();
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }

    fn give_up(&self, job_id: &str) {
        self.entries.lock().1.values().filter(|entry| entry.job_id == job_id).for_each(|entry| entry.token.cancel());
    }
}

impl LiveTask {
    /// Cancelled when the task is to end.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for LiveTask {
    fn drop(&mut self) {
        self.tasks.entries.lock().1.remove(&self.number);
    }
}

/// Gives up, for ever and ever, tasks whose job has ended.
pub(crate) async fn watch(tasks: LiveTasks, mut scheduler: SchedulerGrpcClient<Channel>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        for job_id in tasks.jobs() {
            let params = GetJobStatusParams { job_id: job_id.clone() };
            let status = match scheduler.get_job_status(params).await {
                Ok(answer) => answer.into_inner().status.and_then(|job| job.status),
                Err(error) => {
                    // Heartbeats decide what a silent scheduler means.
                    debug!(%error, "cannot ask the scheduler after a job");
                    break;
                }
            };
            if !matches!(status, Some(Status::Queued(_) | Status::Running(_))) {
                info!(job_id, "the job has ended, giving up what is left of its tasks");
                tasks.give_up(&job_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tasks_of_the_ended_job_are_given_up() {
        let tasks = LiveTasks::default();
        let (first, second, other) = (tasks.begin("a"), tasks.begin("a"), tasks.begin("b"));
        assert_eq!(tasks.jobs(), ["a", "b"]);
        tasks.give_up("a");
        assert!(first.token().is_cancelled() && second.token().is_cancelled() && !other.token().is_cancelled());
        drop((first, second));
        assert_eq!(tasks.jobs(), ["b"]);
    }
}
