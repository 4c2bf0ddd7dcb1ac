//! A cluster of real processes. They are this very test binary, started again with a role in the environment, so that
//! they have the tests' functions and are always up to date.
//!
//! The scheduler is as patient with its executors as it is by default: a machine that stops one of them for some seconds
//! must not lose it. So it takes that long until a killed one is missed.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::Parser;
use quickchat_client::cluster::{Cluster, Submitted};
use quickchat_executor::SchedulerUrl;

use super::functions::engine;
use super::queries::{connect, wait_until};
use crate::process::{Running, clean};
use crate::remote::free_port;

/// The environment variable that makes this binary a part of a cluster.
const ROLE: &str = "QUICKCHAT_TEST_ROLE";

/// Not a test: a scheduler or executor process, when the environment says so.
#[test]
#[ignore = "the body of child processes"]
fn child_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    let code = match words[0] {
        "scheduler" => quickchat_scheduler::cli::run(&engine(), &quickchat_scheduler::cli::Options::parse_from(words)),
        "executor" => quickchat_executor::cli::run(&engine(), &quickchat_executor::cli::Options::parse_from(words)),
        other => panic!("unknown role {other}"),
    };
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 1 });
}

fn start(role: &str) -> Running {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "cluster::processes::child_process", "--ignored", "--nocapture", "--test-threads=1"];
    Running::start(clean(&program, &arguments).env(ROLE, role))
}

/// One scheduler and some executors of one slot each, all of them processes.
pub struct Processes {
    pub cluster: Cluster,
    /// Each by its id.
    executors: HashMap<String, Running>,
    scheduler: Running,
    _work: tempfile::TempDir,
}

impl Processes {
    /// Starts the processes and waits until all executors are registered.
    pub async fn start(executors: usize) -> Self {
        let work = tempfile::tempdir().unwrap();
        let url = SchedulerUrl::new("127.0.0.1", free_port());
        let mut scheduler =
            start(&format!("scheduler --bind-port {} --http-bind-port 0 --no-executors-grace-seconds 2", url.port()));
        // By Flight port.
        let mut started: HashMap<u16, Running> = (0..executors)
            .map(|_| {
                let port = free_port();
                let process = start(&format!(
                    "executor --scheduler-url {url} --slots 1 --flight-bind-port {port} --memory 256MiB --work-dir {}",
                    work.path().display()
                ));
                (port, process)
            })
            .collect();
        let cluster = connect(&url, || scheduler.expect_running()).await;
        wait_until("all executors", async || {
            started.values_mut().for_each(Running::expect_running);
            cluster.executors().await.unwrap().len() == executors
        })
        .await;
        // A connection counts the slots when it is made, and not again so soon.
        let cluster = connect(&url, || scheduler.expect_running()).await;
        let known = cluster.executors().await.unwrap();
        let executors = known.into_iter().map(|one| (one.id, started.remove(&one.port).unwrap())).collect();
        Self { cluster, executors, scheduler, _work: work }
    }

    /// The ids of the executors that the scheduler knows.
    pub async fn known(&self) -> Vec<String> {
        self.cluster.executors().await.unwrap().into_iter().map(|one| one.id).collect()
    }

    /// The id of an executor that runs a task of the job at this moment.
    pub async fn busy(&self, job: &Submitted) -> String {
        let progress = job.progress().poll().await.unwrap().expect("the job has ended");
        let running: Vec<_> = progress.stages.iter().flat_map(|stage| &stage.running).collect();
        running.first().expect("no task is running").executor_id.clone()
    }

    /// The process of an executor.
    pub fn pid(&self, id: &str) -> u32 {
        self.executors[id].id()
    }

    /// The process of an executor, which is no longer ended with the others.
    pub fn take(&mut self, id: &str) -> Running {
        self.executors.remove(id).unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self, id: &str) {
        assert!(self.take(id).kill(), "the executor had ended before");
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in self.executors.values().chain([&self.scheduler]) {
                println!("--- process {} said\n{}", process.id(), process.said());
            }
        }
    }
}
