//! What can go wrong with a source, told so that the reader knows what to do.
//!
//! A document that cannot be decoded is not an error: it becomes a reject row. Errors are about whole files and
//! folders, and about the store that holds them.

use std::{fmt, io};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use parquet::errors::ParquetError;

use crate::media::MediaError;
use crate::mongodb::MongoError;
use crate::mysql::MySqlError;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The configuration or the data given is wrong; trying again does not help.
    User,
    /// An outside system failed; trying again may help.
    External,
    /// A mistake of this program.
    Internal,
}

/// A source could not be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The export folder is not there.
    #[error(
        "the export folder {path} does not exist; set EXPORTS_PATH (or --exports) to the folder that holds \
         mongodb/ and mysql/"
    )]
    FolderMissing {
        /// The folder as configured.
        path: String,
    },
    /// The export path is a file.
    #[error(
        "the export path {path} is not a folder; set EXPORTS_PATH (or --exports) to the folder that holds mongodb/ and mysql/"
    )]
    NotAFolder {
        /// The path as configured.
        path: String,
    },
    /// The folder has no file of any collection.
    #[error(
        "the export folder {path} holds none of the collections ({expected}); set EXPORTS_PATH (or --exports) to \
         a folder with files such as mongodb/messages.json or mysql/users.csv"
    )]
    NoCollections {
        /// The folder as configured.
        path: String,
        /// Names of the collections, joined.
        expected: String,
    },
    /// The location cannot be understood.
    #[error(
        "the export location {location} cannot be used: {why}; set EXPORTS_PATH (or --exports) to a folder or a URL of an object store"
    )]
    Location {
        /// The location as configured.
        location: String,
        /// What is wrong with it.
        why: String,
    },
    /// The folder could not be listed.
    #[error("listing the export folder {path} failed; check EXPORTS_PATH (or --exports) and the rights to read it")]
    List {
        /// The folder as configured.
        path: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// More files than an ordinal can number.
    #[error("{collection} has {files} export files, more than {limit}; merge them into fewer")]
    TooManyFiles {
        /// The collection.
        collection: &'static str,
        /// How many there are.
        files: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A file could not be read.
    #[error("reading {file} failed")]
    Read {
        /// The file.
        file: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// A file ended before the size that its listing gave.
    #[error(
        "{file} is shorter than when it was listed ({got} bytes of {wanted}); run again when nothing writes to the export folder"
    )]
    Shrunk {
        /// The file.
        file: String,
        /// Bytes asked for.
        wanted: u64,
        /// Bytes received.
        got: u64,
    },
    /// A file changed or vanished between listing and reading.
    #[error("{file} was changed or removed while it was read; run again when nothing writes to the export folder")]
    Changed {
        /// The file.
        file: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// A gzip file is truncated or damaged.
    #[error("{file} is not a complete gzip file (truncated or damaged); export it again")]
    Gzip {
        /// The file.
        file: String,
        /// What the decompressor says.
        source: io::Error,
    },
    /// A CSV file's first line names none of the columns without which no row can be read.
    #[error("{file} has no header line with the column {column}; export it again with a header line")]
    Header {
        /// The file.
        file: String,
        /// The column that every row needs.
        column: &'static str,
    },
    /// A Parquet file cannot be read.
    #[error("{file} is not a readable Parquet file; export it again")]
    Parquet {
        /// The file.
        file: String,
        /// What the reader says.
        source: ParquetError,
    },
    /// A column of a Parquet file has a type that no value of the table can come from.
    #[error(
        "column {column} of {file} has the type {data_type}, which cannot be read as text, a number, a boolean or a time; export it as one of these"
    )]
    ParquetColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
    },
    /// The object store of a plan cannot be opened in this process.
    #[error("the object store {url} cannot be opened where the plan is carried out")]
    NoStore {
        /// The store's URL.
        url: String,
        /// Whose fault it is.
        fault: Fault,
        /// What is wrong, and what to do.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// MongoDB could not be read.
    #[error(transparent)]
    MongoDb(#[from] MongoError),
    /// Media could not be listed.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// MySQL could not be read.
    #[error(transparent)]
    MySql(#[from] MySqlError),
    /// A collection of objects was asked of a live system.
    #[error("{collection} has no live system: its objects are listed in a store")]
    NotLive {
        /// The collection.
        collection: &'static str,
    },
    /// A plan asks a folder for documents of a server, or the other way round.
    #[error("a part of the source plan does not belong to it; client, scheduler and executors must be of one version")]
    Misplaced,
    /// A plan or one of its split descriptors cannot be understood.
    #[error(
        "a part of the source plan cannot be understood ({what}); client, scheduler and executors must be of one version"
    )]
    Plan {
        /// What was being decoded.
        what: &'static str,
        /// Why it failed.
        source: serde_json::Error,
    },
    /// Arrow refused what the decoder built.
    #[error("building a batch of {collection} failed")]
    Batch {
        /// The collection.
        collection: &'static str,
        /// Arrow's error.
        source: ArrowError,
    },
}

impl SourceError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::List { source, .. } | Self::Read { source, .. } => {
                if transient(source) {
                    Fault::External
                } else {
                    Fault::User
                }
            }
            Self::Media(error) => error.fault(),
            Self::MongoDb(error) => error.fault(),
            Self::MySql(error) => error.fault(),
            Self::NoStore { fault, .. } => *fault,
            Self::NotLive { .. } | Self::Misplaced | Self::Plan { .. } | Self::Batch { .. } => Fault::Internal,
            _ => Fault::User,
        }
    }

    /// Whether the same attempt may succeed later without a change of configuration or data.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.fault() == Fault::External
    }

    /// The error of opening a store, classed as the registry of stores tells: one without any entry is none of ours.
    pub(crate) fn no_store(url: &ObjectStoreUrl, error: DataFusionError) -> Self {
        let (fault, source): (_, Box<dyn std::error::Error + Send + Sync>) = match error {
            DataFusionError::External(source) => (Fault::User, source),
            DataFusionError::IoError(source) => (Fault::External, Box::new(source)),
            other => (Fault::Internal, Box::new(other)),
        };
        Self::NoStore { url: url.as_str().to_owned(), fault, source }
    }

    /// The error of reading a file, classed by what the store says.
    pub(crate) fn read(file: &str, source: object_store::Error) -> Self {
        use object_store::Error as Store;
        let file = file.to_owned();
        match source {
            Store::NotFound { .. } | Store::Precondition { .. } => Self::Changed { file, source },
            source => Self::Read { file, source },
        }
    }
}

/// Faults that the store's own retries did not cure but a later attempt may; the rest is configuration.
fn transient(error: &object_store::Error) -> bool {
    use object_store::Error as Store;
    matches!(error, Store::Generic { .. } | Store::JoinError { .. })
}

impl From<SourceError> for DataFusionError {
    /// Ballista retries `IoError` and nothing else, so exactly the transient faults become one.
    fn from(error: SourceError) -> Self {
        let is_transient = error.is_transient();
        let told = Told(error);
        if is_transient { Self::IoError(io::Error::other(told)) } else { Self::External(Box::new(told)) }
    }
}

/// An error on its way through the cluster. Ballista passes the debug form of a task's error on as text, so that form
/// is made of words for people here.
struct Told(SourceError);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = std::error::Error::source(&self.0);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        write!(f, "{text:?}")
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
