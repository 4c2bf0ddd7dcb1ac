//! Why an executor did not start, or why it stopped by itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ballista_core::error::BallistaError;
use datafusion::error::DataFusionError;

use crate::SchedulerUrl;

/// What failed, one variant an action.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// A listener could not be opened.
    #[error(
        "cannot listen on {address} for {service}; another process may hold the port: stop it or choose another port \
         with {option} (0 takes any free one)"
    )]
    Bind {
        /// What would have been served there.
        service: &'static str,
        /// Where.
        address: SocketAddr,
        /// The command line option that chooses the port.
        option: &'static str,
        /// Why not.
        source: Box<BallistaError>,
    },
    /// No scheduler answered in time.
    #[error(
        "cannot reach the scheduler at {url} within {waited:?}; is quickchat-scheduler running there, and is the \
         address right (--scheduler-url, SCHEDULER_URL)?"
    )]
    Unreachable {
        /// The scheduler.
        url: SchedulerUrl,
        /// How long it was tried.
        waited: Duration,
        /// The last attempt's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The scheduler was reached but did not accept this executor.
    #[error(
        "the scheduler at {url} did not accept this executor; it must be of the same version and able to reach this \
         machine (--external-host)"
    )]
    Register {
        /// The scheduler.
        url: SchedulerUrl,
        /// Its answer.
        source: Box<BallistaError>,
    },
    /// The work folder could not be made.
    #[error("cannot make a work folder in {}; choose a writable place with --work-dir", .path.display())]
    WorkDir {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The memory limit is no limit this machine can use.
    #[error("cannot bound the memory of tasks")]
    Memory(#[from] crate::MemoryLimitError),
    /// The functions, codecs or object stores could not be set up.
    #[error("cannot set up the runtime of tasks")]
    Runtime(#[source] Box<DataFusionError>),
}

impl ExecutorError {
    /// The process's exit code: 2 for what the caller configured, 4 for a scheduler out of reach, 1 for the rest.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bind { .. } | Self::WorkDir { .. } | Self::Memory(_) => 2,
            Self::Unreachable { .. } => 4,
            Self::Register { .. } | Self::Runtime(_) => 1,
        }
    }
}

/// Why a running executor stopped although nobody here asked it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The scheduler has not answered several heartbeats in a row.
    #[error("the scheduler no longer answers heartbeats")]
    SchedulerLost,
    /// The scheduler had given this executor up and told it to stop; its tasks run elsewhere.
    #[error("the scheduler told this executor to stop, because it had not heard of it for too long")]
    ToldToStop,
}
