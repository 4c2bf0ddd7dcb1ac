//! Why a job or its cluster failed, and whose fault that is.

use std::time::Duration;

use datafusion::error::DataFusionError;
use quickchat_executor::{ExecutorError, SchedulerUrl};
use quickchat_scheduler::SchedulerError;

/// Whose fault a failure is. The command line turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The query, the data or the configuration: the caller can mend it.
    User,
    /// The cluster or a system that it reads or writes.
    External,
    /// A defect of this program.
    Internal,
}

/// What failed, one variant an action.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The embedded cluster did not start.
    #[error("cannot start the cluster inside this process")]
    Start(#[source] StartError),
    /// Nobody answers at the scheduler's address.
    #[error(
        "cannot reach the scheduler at {url}; is quickchat-scheduler running there, and is the address right \
         (--scheduler, SCHEDULER_URL)?"
    )]
    Unreachable {
        /// The address.
        url: SchedulerUrl,
        /// What went wrong last.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The scheduler was reached and refused or answered nonsense.
    #[error("the scheduler answered {path} in a way that this client does not understand; are both of one version?")]
    Answer {
        /// What was asked.
        path: String,
        /// What was wrong with the answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The session for building plans could not be made.
    #[error("cannot set up the session that plans are built in")]
    Session(#[source] DataFusionError),
    /// The plan is wrong.
    #[error("cannot plan job `{job}`")]
    Plan {
        /// The job's name.
        job: String,
        /// What is wrong.
        #[source]
        source: DataFusionError,
    },
    /// The plan cannot travel to the scheduler.
    #[error("cannot encode the plan of job `{job}` for the scheduler")]
    Encode {
        /// The job's name.
        job: String,
        /// What cannot be encoded.
        #[source]
        source: DataFusionError,
    },
    /// The scheduler could not read the plan.
    #[error("the scheduler cannot read the plan of job `{job}`; are client and scheduler of one version? {message}")]
    Rejected {
        /// The job's name.
        job: String,
        /// The scheduler's words.
        message: String,
    },
    /// The job failed on the cluster.
    #[error("job `{job}` ({job_id}) failed: {message}")]
    Failed {
        /// The job's name.
        job: String,
        /// The job's id.
        job_id: String,
        /// What kind of failure it was.
        kind: FailureKind,
        /// The cluster's words, without its wrapping.
        message: String,
    },
    /// The job was cancelled.
    #[error("job `{job}` ({job_id}) was cancelled")]
    Cancelled {
        /// The job's name.
        job: String,
        /// The job's id.
        job_id: String,
    },
    /// The job took longer than it may.
    #[error("job `{job}` ({job_id}) was cancelled because it ran longer than its deadline of {deadline:?}")]
    Deadline {
        /// The job's name.
        job: String,
        /// The job's id.
        job_id: String,
        /// The limit.
        deadline: Duration,
    },
    /// The scheduler does not know the job any more: it was restarted, and its state is in memory.
    #[error("the scheduler at {url} no longer knows job `{job}` ({job_id}); it was probably restarted: run it again")]
    Forgotten {
        /// The job's name.
        job: String,
        /// The job's id.
        job_id: String,
        /// The scheduler.
        url: SchedulerUrl,
    },
    /// The result lies on an executor that is gone, or that the scheduler cannot reach.
    #[error("the scheduler cannot hand on the result of job `{job}`, which lies on executor {executor}")]
    Fetch {
        /// The job's name.
        job: String,
        /// The executor's address.
        executor: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why an embedded cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No threads.
    #[error("cannot start its threads")]
    Threads(#[source] std::io::Error),
    /// The scheduler.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// The executor.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

/// Kinds of failures of a job, told from the cluster's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The query cannot be planned: unknown table or column, types that do not fit.
    Plan,
    /// The query met data that it cannot process, such as a division by zero or a bad cast.
    Data,
    /// Memory or disk ran out.
    Resources,
    /// A source, an object store or the network failed, also after retries.
    Io,
    /// No executor was left.
    ExecutorsLost,
    /// Anything else.
    Internal,
}

impl FailureKind {
    /// Whose fault it is.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        match self {
            Self::Plan | Self::Data | Self::Resources => ErrorClass::User,
            Self::Io | Self::ExecutorsLost => ErrorClass::External,
            Self::Internal => ErrorClass::Internal,
        }
    }
}

impl ClusterError {
    pub(super) fn answer(path: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Answer { path: path.to_owned(), source: source.into() }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Start(_) | Self::Plan { .. } | Self::Cancelled { .. } | Self::Deadline { .. } => ErrorClass::User,
            Self::Unreachable { .. } | Self::Forgotten { .. } | Self::Fetch { .. } => ErrorClass::External,
            Self::Failed { kind, .. } => kind.class(),
            Self::Answer { .. } | Self::Session(_) | Self::Encode { .. } | Self::Rejected { .. } => {
                ErrorClass::Internal
            }
        }
    }

    /// Whether the same job may succeed when it is submitted again without a change.
    #[must_use]
    pub fn retry_can_help(&self) -> bool {
        self.class() == ErrorClass::External
    }

    /// The exit code of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self, self.class()) {
            (Self::Start(_), _) => 2,
            (_, ErrorClass::External) => 4,
            _ => 1,
        }
    }
}
