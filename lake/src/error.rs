//! What can go wrong with a table, whose fault it is, and whether trying again can help.

use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;

use crate::stores::tells_of_refusal;

/// Result of an operation on the lake.
pub type Result<T, E = LakeError> = std::result::Result<T, E>;

/// Who has to act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The caller asked for something that cannot be done: change the request.
    User,
    /// An outside system (object store, cluster, another writer) failed: a retry may help.
    External,
    /// A fault of this program.
    Internal,
}

/// An action on the lake that failed.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The address of a lake or table is not one that can be opened.
    #[error("cannot use {location:?}: {reason}; give a folder, file:// or s3:// address")]
    Location {
        /// The text that was given.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The object store behind a location cannot be set up from this process's environment.
    #[error("cannot open the object store {store} by the environment of this process: {why}")]
    Store {
        /// Scheme and authority.
        store: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The store does not create an object if and only if there is none, so commits to it could be lost.
    #[error(
        "the object store {store} {found}; two writers would lose each other's versions, so nothing is written. Use a store that honours the condition `If-None-Match: *`, or have what stands before it pass the condition on"
    )]
    Unconditional {
        /// Scheme and authority.
        store: String,
        /// What the store does instead.
        found: &'static str,
    },
    /// Reading or writing an object failed.
    #[error("cannot {action} {path}: {source}")]
    Object {
        /// What was being done, as a verb.
        action: &'static str,
        /// The object or folder.
        path: String,
        /// The store's own error.
        source: object_store::Error,
    },
    /// The Delta log of a table cannot be read or understood.
    #[error("cannot {action} of table {table}: {source}")]
    Log {
        /// What was being done.
        action: &'static str,
        /// Address of the table.
        table: String,
        /// delta-rs' own error.
        source: Box<DeltaTableError>,
    },
    /// The table does not exist.
    #[error("there is no Delta table at {table}; run the job that writes it first")]
    NoTable {
        /// Address of the table.
        table: String,
    },
    /// The asked version of a table is not there (any more).
    #[error("table {table} has no version {wanted} (any more); its newest is {newest}")]
    NoVersion {
        /// Address of the table.
        table: String,
        /// The version asked for.
        wanted: String,
        /// The newest version there is.
        newest: u64,
    },
    /// A version is in the log, but vacuum has deleted files that it needs.
    #[error(
        "version {version} of table {table} cannot be read any more: {missing} of its files were deleted by vacuum, for example {file}; choose a later version"
    )]
    Vacuumed {
        /// Address of the table.
        table: String,
        /// The version.
        version: u64,
        /// How many files are gone.
        missing: usize,
        /// One of them.
        file: String,
    },
    /// Vacuum was asked to keep too little.
    #[error(
        "vacuum cannot keep less than {least_days} days, and {days} were asked for: a younger file may be one that a running job has written and not committed yet, or that a reader still needs; ask for {least_days} days or more"
    )]
    Retention {
        /// The days asked for.
        days: i64,
        /// The fewest that are allowed.
        least_days: i64,
    },
    /// The table uses a feature of the Delta protocol that this crate would misread.
    #[error("table {table} uses {feature}, which this program does not read; {remedy}")]
    Unsupported {
        /// Address of the table.
        table: String,
        /// The feature.
        feature: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A folder that should hold one of our tables holds something else.
    #[error(
        "{table} holds a table that this program did not make ({difference}); nothing was written. Choose another lake, or move that table away"
    )]
    ForeignTable {
        /// Address of the table.
        table: String,
        /// How it differs from what is expected.
        difference: String,
    },
    /// One of our tables no longer has the form that its contract asks for, and cannot be changed in place.
    #[error(
        "table {table} does not fit its contract any more ({difference}); nothing was written. In place, only new columns that may be null and descriptions can change: undo that change of the contract, or move the table's folder away and run its job again with --full-refresh"
    )]
    ContractChanged {
        /// Address of the table.
        table: String,
        /// How the contract differs from the table.
        difference: String,
    },
    /// Another writer changed the table in a way that this commit cannot be reconciled with.
    #[error("another writer changed table {table} while this commit was prepared: {reason}; run the job again")]
    Conflict {
        /// Address of the table.
        table: String,
        /// What the other writer did.
        reason: String,
    },
    /// A query that the operation needs failed on the cluster or during planning.
    #[error("cannot {action} for table {table}: {source}")]
    Query {
        /// What was being computed.
        action: &'static str,
        /// Address of the table.
        table: String,
        /// The engine's error.
        source: Box<DataFusionError>,
    },
    /// A query failed in the runner that was given to an operation; its error is passed on unchanged.
    #[error(transparent)]
    Runner(Box<dyn std::error::Error + Send + Sync>),
    /// A reviewer refused what was about to be committed; its error is passed on unchanged.
    #[error(transparent)]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    /// Rows returned by the cluster are not what this version of the program writes.
    #[error("the cluster answered with {what}; are client, scheduler and executors of one version?")]
    Answer {
        /// What was unexpected.
        what: String,
    },
    /// The upsert's counts do not add up; nothing was committed.
    #[error("counts of table {table} do not add up ({detail}); nothing was committed")]
    Counts {
        /// Address of the table.
        table: String,
        /// The numbers.
        detail: String,
    },
}

impl LakeError {
    /// Who has to act.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Location { .. }
            | Self::Store { .. }
            | Self::Unconditional { .. }
            | Self::NoTable { .. }
            | Self::NoVersion { .. }
            | Self::Vacuumed { .. }
            | Self::Retention { .. }
            | Self::Unsupported { .. }
            | Self::ForeignTable { .. }
            | Self::ContractChanged { .. } => ErrorClass::User,
            Self::Object { .. } | Self::Conflict { .. } => ErrorClass::External,
            Self::Log { source, .. } => outside_fault(source.as_ref()).unwrap_or(ErrorClass::User),
            Self::Query { source, .. } => outside_fault(source.as_ref()).unwrap_or(ErrorClass::Internal),
            Self::Runner(source) => outside_fault(source.as_ref()).unwrap_or(ErrorClass::Internal),
            Self::Refused(source) => outside_fault(source.as_ref()).unwrap_or(ErrorClass::User),
            Self::Answer { .. } | Self::Counts { .. } => ErrorClass::Internal,
        }
    }

    pub(crate) fn log(action: &'static str, table: impl ToString, source: impl Into<DeltaTableError>) -> Self {
        Self::Log { action, table: table.to_string(), source: Box::new(source.into()) }
    }

    pub(crate) fn object(action: &'static str, path: impl ToString, source: object_store::Error) -> Self {
        Self::Object { action, path: path.to_string(), source }
    }

    pub(crate) fn query(action: &'static str, table: impl ToString, source: DataFusionError) -> Self {
        Self::Query { action, table: table.to_string(), source: Box::new(source) }
    }
}

/// The class of the first error in a chain of causes that tells whose fault it is.
///
/// Engines wrap what a store or this crate said in errors of their own, several layers deep, so the outermost one says
/// little.
fn outside_fault(error: &(dyn std::error::Error + 'static)) -> Option<ErrorClass> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(own) = error.downcast_ref::<LakeError>() {
            return Some(own.class());
        }
        let kernel = error.downcast_ref::<delta_kernel::Error>().and_then(store_fault);
        if let Some(store) = error.downcast_ref::<object_store::Error>().or(kernel) {
            // What is not there was named by somebody; everything else is the store's.
            return (!matches!(store, object_store::Error::NotFound { .. })).then_some(ErrorClass::External);
        }
        // The cause of an I/O error that wraps another one is the wrapped one's cause: that one itself would be missed.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// The store's failure in an error of delta-rs' kernel, which does not give it as its cause.
fn store_fault(error: &delta_kernel::Error) -> Option<&object_store::Error> {
    match error {
        delta_kernel::Error::Backtraced { source, .. } => store_fault(source),
        delta_kernel::Error::ObjectStore(store) => Some(store),
        _ => None,
    }
}

impl From<LakeError> for DataFusionError {
    /// Faults of outside systems become `IoError`, the only kind that Ballista tries again; not so what a store refuses,
    /// and will refuse again.
    fn from(error: LakeError) -> Self {
        let again = error.class() == ErrorClass::External && !tells_of_refusal(&error);
        let told = Told(error);
        match again {
            true => Self::IoError(std::io::Error::other(told)),
            false => Self::External(Box::new(told)),
        }
    }
}

/// An error on its way through the cluster. Ballista passes the debug form of a task's error on as text, so that form
/// is made of words for people here.
struct Told(LakeError);

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = std::error::Error::source(&self.0);
        while let Some(error) = cause {
            let message = error.to_string();
            if !text.contains(&message) {
                text.push_str(": ");
                text.push_str(&message);
            }
            // The cause of an I/O error that wraps another one is the wrapped one's cause: that one itself would be missed.
            cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        write!(f, "{text:?}")
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
