//! A remote cluster for tests: the real scheduler and executor programs on free ports.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quickchat_client::cluster::Cluster;
use quickchat_executor::SchedulerUrl;
use serde_json::Value;

use crate::process::{Running, program, scratch, signal, until};

/// How long processes may take to find each other.
const START: Duration = Duration::from_secs(60);

/// A scheduler and executors of one slot each, ended when this is dropped. They are as patient with each other as they
/// are by default: a machine that stops one of them for some seconds must not lose it.
pub struct Remote {
    pub url: String,
    executors: Vec<Running>,
    _scheduler: Running,
    runtime: tokio::runtime::Runtime,
    cluster: Cluster,
}

/// A task that ran on an executor at the moment when that was killed.
#[derive(Debug)]
pub struct Hit {
    /// The cluster job's name, which is that of the table that it computes.
    pub job: String,
}

impl Remote {
    /// Starts the processes and waits until all executors are registered.
    pub fn start(name: &str, executors: usize) -> Self {
        Self::start_with(name, executors, &[])
    }

    /// The same, with some more variables in the environment of each process.
    pub fn start_with(name: &str, executors: usize, environment: &[(&str, String)]) -> Self {
        let url = SchedulerUrl::new("127.0.0.1", free_port());
        let work = scratch(name);
        let mut scheduler = start_scheduler(&url, environment);
        let executors: Vec<Running> =
            (0..executors).map(|index| start_executor(&url, &work, index, environment)).collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut connected = None;
        until("the scheduler", START, || {
            scheduler.expect_running();
            connected = runtime.block_on(Cluster::connect(&url)).ok();
            connected.is_some()
        });
        let mut remote =
            Self { url: url.to_string(), executors, _scheduler: scheduler, runtime, cluster: connected.unwrap() };
        until("all executors", START, || {
            remote.executors.iter_mut().for_each(Running::expect_running);
            remote.known().len() == remote.executors.len()
        });
        remote
    }

    /// Ids and Flight ports of the executors that the scheduler knows.
    fn known(&self) -> Vec<(String, u16)> {
        let known = self.runtime.block_on(self.cluster.executors()).unwrap();
        known.into_iter().map(|executor| (executor.id, executor.port)).collect()
    }

    /// The scheduler's REST answer.
    pub fn api(&self, path: &str) -> Value {
        serde_json::from_str(&self.runtime.block_on(self.cluster.api(path)).unwrap()).unwrap()
    }

    /// Id and name of the jobs that run.
    pub fn running_jobs(&self) -> Vec<(String, String)> {
        let jobs = self.api("/api/jobs");
        let running = jobs.as_array().unwrap().iter().filter(|job| job["status"] == "Running");
        running
            .map(|job| [&job["job_id"], &job["job_name"]].map(|text| text.as_str().unwrap().to_owned()).into())
            .collect()
    }

    /// State of each job that the scheduler remembers.
    pub fn states(&self) -> Vec<String> {
        let jobs = self.api("/api/jobs");
        jobs.as_array().unwrap().iter().map(|job| job["status"].as_str().unwrap().to_owned()).collect()
    }

    /// Stage, task and executor of the tasks of a job that run.
    pub fn running_tasks(&self, job_id: &str) -> Vec<(u64, u64, String)> {
        // A job that has just ended is unknown.
        let Ok(answer) = self.runtime.block_on(self.cluster.api(&format!("/api/progress/{job_id}"))) else {
            return Vec::new();
        };
        let progress: Value = serde_json::from_str(&answer).unwrap();
        let mut tasks = Vec::new();
        for stage in progress["stages"].as_array().unwrap() {
            for task in stage["running"].as_array().unwrap() {
                let number = |value: &Value| value.as_u64().unwrap();
                let executor = task["executor_id"].as_str().unwrap().to_owned();
                tasks.push((number(&stage["stage_id"]), number(&task["task_id"]), executor));
            }
        }
        tasks
    }

    /// Kills (SIGKILL) an executor while it runs a task of one of the jobs that `chosen` names.
    ///
    /// A task may end between the look at the scheduler and the signal. So the executor is first stopped: a task that
    /// the scheduler takes for running a while later can neither end nor be reported any more, and the kill hits it.
    pub fn kill_a_busy_executor(&mut self, chosen: impl Fn(&str) -> bool) -> Hit {
        let executors = self.known();
        let mut hit = None;
        until("a running task", Duration::from_secs(200), || {
            hit = self.running_jobs().into_iter().filter(|(_, name)| chosen(name)).find_map(|(id, name)| {
                let task = self.running_tasks(&id).into_iter().next()?;
                let (_, port) = executors.iter().find(|(executor, _)| *executor == task.2)?;
                let process = listener(&self.executors, *port);
                signal(process, "STOP");
                std::thread::sleep(Duration::from_millis(300));
                if self.running_tasks(&id).contains(&task) {
                    signal(process, "KILL");
                    return Some(Hit { job: name });
                }
                signal(process, "CONT");
                None
            });
            hit.is_some()
        });
        hit.unwrap()
    }

    /// How many executors live.
    pub fn living(&mut self) -> usize {
        self.executors.iter_mut().filter_map(|executor| executor.is_running().then_some(())).count()
    }
}

/// The process that was given a Flight port.
fn listener(executors: &[Running], port: u16) -> u32 {
    let wanted = format!("--flight-bind-port={port}");
    let of = |id: u32| std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let found = executors.iter().map(Running::id).find(|id| of(*id).split('\0').any(|argument| argument == wanted));
    found.unwrap_or_else(|| panic!("no executor has port {port}"))
}

fn start_scheduler(url: &SchedulerUrl, environment: &[(&str, String)]) -> Running {
    let port = format!("--bind-port={}", url.port());
    let arguments = [port.as_str(), "--http-bind-port=0"];
    Running::start(program("quickchat-scheduler", &arguments).envs(environment.iter().cloned()))
}

fn start_executor(url: &SchedulerUrl, work: &Path, index: usize, environment: &[(&str, String)]) -> Running {
    let work = work.join(index.to_string());
    std::fs::create_dir(&work).unwrap();
    let arguments = [
        format!("--scheduler-url={url}"),
        "--slots=1".to_owned(),
        format!("--flight-bind-port={}", free_port()),
        "--memory=256MiB".to_owned(),
        format!("--work-dir={}", work.display()),
    ];
    Running::start(program("quickchat-executor", &arguments).envs(environment.iter().cloned()))
}

/// A port that nothing listens on, and that nobody else is given.
///
/// Below the range from which systems take ports for outgoing connections: a port of that range may be taken between
/// being found free and being used, by any connection of any test, even by one to itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let candidate = 20_000 + (std::process::id() * 101 + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = u16::try_from(candidate).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
