//! The contract of a table: its columns, key and partition, in a form that code and people read.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use crate::column::{Column, ColumnType};
use crate::table_name::TableName;

/// Columns at the end of every bronze table that say where a row came from, in this order. They
/// are not part of what a row says: a row that differs in nothing else is unchanged.
pub const METADATA_COLUMNS: [&str; 3] = ["ingested_at", "source_system", "run_id"];

/// `ingested_at` of a bronze table.
pub(crate) const INGESTED_AT: Column =
    Column::required(METADATA_COLUMNS[0], ColumnType::Timestamp, "The as_of instant of the run that wrote the row.");
/// `source_system` of a bronze table.
pub(crate) const SOURCE_SYSTEM: Column = Column::required(
    METADATA_COLUMNS[1],
    ColumnType::String,
    "The system that the row comes from by origin: mongodb, mysql or s3, also when read from an export.",
);
/// `run_id` of a bronze table.
pub(crate) const RUN_ID: Column =
    Column::required(METADATA_COLUMNS[2], ColumnType::String, "The run that wrote the row.");

/// What a table promises to its readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// The table.
    pub table: TableName,
    /// What a row is, and what to know before using the table.
    pub summary: &'static str,
    /// The columns in order.
    pub columns: &'static [Column],
}

impl Contract {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Names of the columns that together identify a row, in order. Never empty.
    pub fn key(&self) -> Vec<&'static str> {
        self.columns.iter().filter(|column| column.is_key()).map(|column| column.name).collect()
    }

    /// Name of the partition column, if the table is partitioned.
    pub fn partition(&self) -> Option<&'static str> {
        self.columns.iter().find(|column| column.is_partition()).map(|column| column.name)
    }

    /// Names of the columns that are not compared when rows are compared, see [`METADATA_COLUMNS`].
    pub fn metadata_columns(&self) -> Vec<&'static str> {
        METADATA_COLUMNS.into_iter().filter(|name| self.column(name).is_some()).collect()
    }

    /// Names of the columns by which rows lie close to each other in the table's files, in order.
    pub fn clustered(&self) -> Vec<&'static str> {
        self.columns.iter().filter(|column| column.clustered).map(|column| column.name).collect()
    }

    /// The schema of the table's rows: order, types and nullability.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(Column::arrow_field).collect::<Vec<_>>()))
    }
}
