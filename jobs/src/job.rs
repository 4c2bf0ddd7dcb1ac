//! A job: how one table is computed from others.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use sha2::{Digest, Sha256};

use crate::check::Check;
use crate::contract::{Contract, METADATA_COLUMNS};
use crate::incremental::Incremental;
use crate::parameters::RunParameters;
use crate::query::Query;
use crate::table_name::TableName;

/// How the rows of a job's query become the rows of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Rows are matched by the contract's key. A row whose `newest` column is greater than the stored
    /// one's replaces it, and so does one that is equal in it and differs in anything but the metadata
    /// columns. Null is less than any value. Stored rows without a match stay.
    Upsert {
        /// The column that decides which version of a row is newer.
        newest: &'static str,
    },
    /// The query gives the whole table. Partitions whose rows did not change are left alone.
    ReplaceTable,
    /// The query gives whole partitions: that of the run's date and those that occur in it are replaced, all others
    /// stay.
    ReplacePartitions,
}

/// How often a job is meant to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schedule {
    /// Every hour.
    Hourly,
    /// Once a day, after midnight UTC.
    Daily,
    /// Once a week, after the end of Sunday UTC.
    Weekly,
}

impl Schedule {
    /// All schedules, most frequent first.
    pub const ALL: [Self; 3] = [Self::Hourly, Self::Daily, Self::Weekly];

    /// The name that selectors use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// To be counted up when a function of [`crate::functions`], or the decoding of a source, gives other values than
/// before: tables are then computed anew. Queries and columns are watched without it.
const FUNCTIONS_REVISION: u32 = 1;

/// What is written down about a job; [`crate::Catalog`] turns it into a [`Job`].
#[derive(Debug, Clone)]
pub struct JobDefinition {
    /// Target table and its columns.
    pub contract: Contract,
    /// How rows are written.
    pub write_mode: WriteMode,
    /// How the rows depend on the inputs.
    pub incremental: Incremental,
    /// How often the job runs.
    pub schedule: Schedule,
    /// What must hold for the rows besides what the contract implies.
    pub checks: &'static [Check],
    /// What gives the contract's columns in order.
    pub query: Query,
}

/// A job of the catalog, with what its query reads.
#[derive(Debug, Clone)]
pub struct Job {
    definition: JobDefinition,
    reads: Vec<TableName>,
    reads_itself: bool,
    text: String,
}

impl Job {
    pub(crate) fn new(definition: JobDefinition, reads: Vec<TableName>, reads_itself: bool) -> Self {
        Self { definition, reads, reads_itself, text: String::new() }
    }

    /// The same with what it computes as text, see [`crate::Catalog::definition`].
    pub(crate) fn with_text(mut self, text: String) -> Self {
        self.text = text;
        self
    }

    /// The table that the job writes; jobs are named after it.
    pub fn name(&self) -> &TableName {
        &self.definition.contract.table
    }

    /// Target table and its columns.
    pub fn contract(&self) -> &Contract {
        &self.definition.contract
    }

    /// How rows are written.
    pub fn write_mode(&self) -> WriteMode {
        self.definition.write_mode
    }

    /// How the rows depend on the inputs.
    pub fn incremental(&self) -> &Incremental {
        &self.definition.incremental
    }

    /// How often the job runs.
    pub fn schedule(&self) -> Schedule {
        self.definition.schedule
    }

    /// What must hold for the rows besides what the contract implies, see [`Check::all`].
    pub fn checks(&self) -> &'static [Check] {
        self.definition.checks
    }

    /// The query, with the placeholders of [`RunParameters`].
    pub fn query(&self) -> Query {
        self.definition.query
    }

    /// The query's text, if it is SQL.
    pub fn sql(&self) -> Option<&'static str> {
        match self.definition.query {
            Query::Sql(sql) => Some(sql),
            Query::Frames { .. } => None,
        }
    }

    /// The plan of a run over the tables that `context` knows by the names of [`Job::reads`].
    ///
    /// # Errors
    /// When the query does not fit these tables.
    pub async fn plan(&self, context: &SessionContext, run: &RunParameters) -> Result<LogicalPlan> {
        run.bind(self.definition.query.plan(context, &self.reads).await?)
    }

    /// Whether the query looks at the run's instant.
    pub fn uses_as_of(&self) -> bool {
        self.has_placeholder("as_of")
    }

    /// Whether the query looks at the run's date.
    pub fn uses_as_of_date(&self) -> bool {
        self.has_placeholder("as_of_date")
    }

    fn has_placeholder(&self, name: &str) -> bool {
        let is_part_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        self.text.split('$').skip(1).any(|rest| rest.split(|letter| !is_part_of_name(letter)).next() == Some(name))
    }

    /// Identifies what the job computes: equal for equal queries, columns and functions. Rows that were computed under
    /// another one have to be computed anew.
    pub fn fingerprint(&self) -> String {
        let contract = self.contract();
        let mut hash = Sha256::new();
        for part in [
            self.text.clone(),
            format!("{:?}", contract.arrow_schema()),
            format!("{:?} {:?} {:?}", contract.key(), contract.partition(), self.write_mode()),
            FUNCTIONS_REVISION.to_string(),
        ] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Whether the query also reads the job's own table, as the run before left it.
    pub fn reads_itself(&self) -> bool {
        self.reads_itself
    }

    /// The tables and sources that the query reads, by name; the job's own table is not among them.
    pub fn reads(&self) -> &[TableName] {
        &self.reads
    }

    /// The source that a bronze job reads, if it reads one.
    pub fn source(&self) -> Option<&TableName> {
        self.reads.iter().find(|table| table.is_source())
    }

    /// The columns that a bronze job expects of its source: those of its contract, without the
    /// metadata and without the partition column, which the query derives. `None` for a job that
    /// reads no source.
    pub fn source_schema(&self) -> Option<SchemaRef> {
        self.source()?;
        let fields: Vec<_> = self
            .contract()
            .columns
            .iter()
            .filter(|column| !column.is_partition() && !METADATA_COLUMNS.contains(&column.name))
            .map(|column| column.arrow_field())
            .collect();
        Some(Arc::new(Schema::new(fields)))
    }
}
