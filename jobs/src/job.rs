//! A job: how one table is computed from others.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use crate::check::Check;
use crate::contract::{Contract, METADATA_COLUMNS};
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
    /// The query gives whole partitions: those that occur in it are replaced, all others stay.
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

/// What is written down about a job; [`crate::Catalog`] turns it into a [`Job`].
#[derive(Debug, Clone)]
pub struct JobDefinition {
    /// Target table and its columns.
    pub contract: Contract,
    /// How rows are written.
    pub write_mode: WriteMode,
    /// How often the job runs.
    pub schedule: Schedule,
    /// What must hold for the rows besides what the contract implies.
    pub checks: &'static [Check],
    /// One SELECT that gives the contract's columns in order.
    pub sql: &'static str,
}

/// A job of the catalog, with what its SQL reads.
#[derive(Debug, Clone)]
pub struct Job {
    definition: JobDefinition,
    reads: Vec<TableName>,
}

impl Job {
    pub(crate) fn new(definition: JobDefinition, reads: Vec<TableName>) -> Self {
        Self { definition, reads }
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

    /// How often the job runs.
    pub fn schedule(&self) -> Schedule {
        self.definition.schedule
    }

    /// What must hold for the rows besides what the contract implies, see [`Check::all`].
    pub fn checks(&self) -> &'static [Check] {
        self.definition.checks
    }

    /// The query, with the placeholders of [`crate::RunParameters`].
    pub fn sql(&self) -> &'static str {
        self.definition.sql
    }

    /// The tables and sources that the query reads, by name.
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
