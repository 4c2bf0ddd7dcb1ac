//! What can go wrong in a run, and what a command answers to it.

use datafusion::error::DataFusionError;
use quickchat_lake::LakeError;
use quickchat_sources::SourceError;
use serde::Serialize;

use crate::checks::{FailedCheck, describe_all};
use crate::cluster::{self, ClusterError};

/// Who has to act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The caller: change the request, the data or the configuration.
    User,
    /// An outside system; trying again may help.
    External,
    /// This program's makers.
    Internal,
    /// Whoever answers for the data: a quality check failed, and the table is as it was.
    Quality,
}

impl ErrorClass {
    /// The exit code of a command that failed while a job ran.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::User | Self::Internal => 1,
            Self::Quality => 3,
            Self::External => 4,
        }
    }
}

/// A run or job that failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cluster did not do what was asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The lake did not.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The source did not.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Deletions were to be detected in an export.
    #[error(
        "cannot detect deletions for {job}: an export may be a part of the source and an inventory an old one, so what they lack need not be gone; leave --detect-deletes out, or read the live systems"
    )]
    PartialSource {
        /// The job.
        job: String,
    },
    /// A source that should have something is empty.
    #[error(
        "cannot detect deletions for {job}: its source has nothing at all, while the table has rows; nothing was marked. Are address, database and name of the source right, and may this user read it?"
    )]
    NothingAtSource {
        /// The job.
        job: String,
    },
    /// No source is configured for a job that reads one.
    #[error(
        "job {job} reads {source_name}, but no source is configured for it; give the export folder with --exports or EXPORTS_PATH, or the folder of media with --media or MEDIA_PATH"
    )]
    NoSource {
        /// The job.
        job: String,
        /// The source's name in its query.
        source_name: String,
    },
    /// A table that a job reads is not in the lake.
    #[error(
        "job {job} reads {table}, which is not in the lake {lake}; run {table} first, or this job with a + before its name"
    )]
    MissingInput {
        /// The job.
        job: String,
        /// The table.
        table: String,
        /// The lake.
        lake: String,
    },
    /// A job's query cannot be planned over its inputs.
    #[error("the query of job {job} cannot be planned: {source}")]
    Plan {
        /// The job.
        job: String,
        /// The engine's error.
        source: Box<DataFusionError>,
    },
    /// A job's definition does not fit together.
    #[error("the definition of job {job} does not fit its way of writing; correct its .sql or .rs file")]
    Definition {
        /// The job.
        job: String,
    },
    /// The instant cannot be written as a date.
    #[error("as-of {micros} microseconds is no date between the years 1 and 9999")]
    AsOf {
        /// Microseconds since 1970.
        micros: i64,
    },
    /// Rows that were about to be committed fail checks.
    #[error(
        "checks of {job} failed, so its table stays as it was: {}; see the failing rows in the report",
        describe_all(failed.iter())
    )]
    Quality {
        /// The job.
        job: String,
        /// The checks of severity error that failed.
        failed: Vec<FailedCheck>,
    },
    /// The checks of a table cannot be asked.
    #[error("the checks of {table} cannot be asked: {source}")]
    Checks {
        /// The table.
        table: String,
        /// The engine's error.
        source: Box<DataFusionError>,
    },
    /// A document is unaccounted for.
    #[error(
        "job {job} read {read} documents but accounts for {accounted}; its commit must not be trusted, please report this"
    )]
    Counts {
        /// The job.
        job: String,
        /// Documents read.
        read: u64,
        /// Written, unchanged and quarantined together.
        accounted: u64,
    },
}

impl RunError {
    /// Who has to act.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Cluster(error) => cluster_class(error),
            Self::Lake(LakeError::Refused(error)) => {
                error.downcast_ref::<Self>().map_or(ErrorClass::Internal, Self::class)
            }
            Self::Lake(LakeError::Runner(error)) if quickchat_lake::write::refuses_nulls(error.as_ref()) => {
                ErrorClass::Quality
            }
            Self::Lake(LakeError::Runner(error)) => {
                error.downcast_ref::<ClusterError>().map_or(ErrorClass::Internal, cluster_class)
            }
            Self::Lake(error) => match error.class() {
                quickchat_lake::ErrorClass::User => ErrorClass::User,
                quickchat_lake::ErrorClass::External => ErrorClass::External,
                quickchat_lake::ErrorClass::Internal => ErrorClass::Internal,
            },
            Self::Source(error) => match error.fault() {
                quickchat_sources::Fault::User => ErrorClass::User,
                quickchat_sources::Fault::External => ErrorClass::External,
                quickchat_sources::Fault::Internal => ErrorClass::Internal,
            },
            Self::NoSource { .. }
            | Self::PartialSource { .. }
            | Self::NothingAtSource { .. }
            | Self::MissingInput { .. }
            | Self::AsOf { .. } => ErrorClass::User,
            Self::Quality { .. } => ErrorClass::Quality,
            Self::Plan { .. } | Self::Definition { .. } | Self::Counts { .. } | Self::Checks { .. } => {
                ErrorClass::Internal
            }
        }
    }

    /// The message with the messages of all causes, each once.
    pub fn with_causes(&self) -> String {
        with_causes(self)
    }
}

fn cluster_class(error: &ClusterError) -> ErrorClass {
    match error.class() {
        cluster::ErrorClass::User => ErrorClass::User,
        cluster::ErrorClass::External => ErrorClass::External,
        cluster::ErrorClass::Internal => ErrorClass::Internal,
    }
}

/// An error's message, followed by those of its causes that it does not repeat.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = inner.source();
    }
    text
}
