//! The executor process: Ballista's executor with this project's codecs, functions, object stores and limits.
//!
//! Ballista's `start_executor_process` is not used, for what it does to the process around it: it takes over SIGTERM
//! and Ctrl-C (an embedded executor must not), it reports its end to the scheduler before its tasks have ended, it may
//! drop the last task's result when it stops, and it cannot tell which ports it got. So the same parts are put together
//! here: Ballista's task server, heartbeats and Flight service, with
//!
//! - ports that may be 0,
//! - a work folder that is removed at the end, and leftovers of killed executors removed at the start,
//! - tasks that end when they are cancelled, and whose output nobody can mistake for another attempt's,
//! - one object-store registry for all tasks, and a bounded memory pool for each,
//! - a drain that first lets running tasks end and report, and only then says goodbye.

pub mod cli;
mod config;
mod connection_pool;
mod doubled_input;
mod drain;
mod error;
mod live_tasks;
mod memory;
mod scheduler_url;
mod server;
mod stop_check;
mod task_engine;
mod task_pool;
mod task_runtime;
mod work_dir;

pub use config::ExecutorConfig;
pub use doubled_input::DOUBLED_INPUT;
pub use error::{ExecutorError, Stopped};
pub use memory::{MemoryLimit, MemoryLimitError};
pub use scheduler_url::{SchedulerUrl, SchedulerUrlError};
pub use server::{ExecutorHandle, start};
