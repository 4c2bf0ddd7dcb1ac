//! What a write node writes, and where: the part of it that travels.

use arrow::datatypes::{Schema, SchemaRef};
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use serde::{Deserialize, Serialize};

use crate::schema::bare;
use crate::{LakeError, Result, TableUrl};

/// Aim for the size of a data file, the unit of pruning and of later scans' tasks.
pub const FILE_BYTES: u64 = 128 << 20;

/// All that a write node knows besides its input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteSpec {
    /// Name for progress displays and error messages, such as `silver.messages`.
    pub name: String,
    /// How rows are spread over writers.
    pub distribution: Distribution,
    /// The `UInt8` column whose value names the output that a row goes to. Absent: all rows go to the first output.
    pub route: Option<String>,
    /// The outputs.
    pub outputs: Vec<Output>,
    /// Columns of the input by whose values, taken as text, all rows are counted; see [`Receipts::groups`]. They should
    /// have few.
    ///
    /// [`Receipts::groups`]: super::Receipts::groups
    pub count_by: Vec<String>,
}

/// How rows are spread over writers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// One writer per task of the input, without a shuffle.
    InPlace,
    /// All rows with equal values of the given columns go to one writer, sorted by them. No columns: one writer.
    ByColumns(Vec<String>),
    /// The same, with the rows of one writer sorted further.
    Clustered {
        /// Rows with equal values of these columns go to one writer.
        spread: Vec<String>,
        /// Among these, the order of rows.
        order: Vec<String>,
    },
}

impl Distribution {
    /// The columns whose equal values go to one writer.
    pub(super) fn spread(&self) -> &[String] {
        match self {
            Self::InPlace => &[],
            Self::ByColumns(spread) | Self::Clustered { spread, .. } => spread,
        }
    }

    /// The columns that a writer's rows are sorted by.
    pub(super) fn order(&self) -> impl Iterator<Item = &String> {
        let more: &[String] = match self {
            Self::InPlace | Self::ByColumns(_) => &[],
            Self::Clustered { order, .. } => order,
        };
        self.spread().iter().chain(more)
    }
}

/// Rows with one value of the route column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The route column's value.
    pub route: u8,
    /// What becomes of the rows.
    pub sink: Sink,
}

/// What becomes of an output's rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Sink {
    /// They are written into data files.
    Files(Box<FileOutput>),
    /// The values of an `Int64` column are added up.
    Tally(String),
}

/// Data files in one folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileOutput {
    /// The folder of the table.
    pub folder: TableUrl,
    /// Columns of the table, in Delta's terms; the input's columns of these names are written, cast if need be.
    schema: StructType,
    /// Columns that are part of the path, not of the file.
    pub partition_columns: Vec<String>,
    /// Columns whose smallest and largest values go into the log. Never free text: the log is read by many.
    pub statistics_columns: Vec<String>,
    /// Columns with few repeated values, for which a dictionary only costs time.
    pub unique_columns: Vec<String>,
    /// Whether the files live only until the end of an operation, so that speed counts more than size.
    pub temporary: bool,
    /// Columns that [`fingerprints`](super::fingerprint) cover; none: no fingerprint is made.
    pub fingerprint_columns: Vec<String>,
    /// Columns of the input, by which it is sorted, that begin a new file with each new value.
    pub split_columns: Vec<String>,
    /// Aim for the size of a file; a writer that reaches it starts another one.
    pub file_bytes: u64,
}

impl FileOutput {
    /// Files with the columns of `schema`.
    pub fn new(folder: TableUrl, schema: &Schema) -> Result<Self> {
        let table = folder.to_string();
        let schema: StructType = bare(schema)
            .as_ref()
            .try_into_kernel()
            .map_err(|error: arrow::error::ArrowError| LakeError::query("describe the columns", table, error.into()))?;
        Ok(Self {
            folder,
            schema,
            partition_columns: Vec::new(),
            statistics_columns: Vec::new(),
            unique_columns: Vec::new(),
            temporary: false,
            fingerprint_columns: Vec::new(),
            split_columns: Vec::new(),
            file_bytes: FILE_BYTES,
        })
    }

    /// The columns in Arrow's terms.
    pub fn arrow_schema(&self) -> Result<SchemaRef> {
        let schema: Schema = (&self.schema).try_into_arrow().map_err(|error: arrow::error::ArrowError| {
            LakeError::query("describe the columns", &self.folder, error.into())
        })?;
        Ok(schema.into())
    }

    /// The columns in Delta's terms.
    pub fn delta_schema(&self) -> &StructType {
        &self.schema
    }
}
