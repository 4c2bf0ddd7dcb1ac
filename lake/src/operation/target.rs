//! The table that an operation writes to.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use datafusion::prelude::{DataFrame, Expr, cast, ident};
use deltalake::kernel::{Metadata, new_metadata};

use super::buckets::{BUCKET, Buckets};
use super::evolution;
use crate::snapshot::PinnedTable;
use crate::write::{Distribution, FileOutput, Output, Sink, WriteSpec};
use crate::{LakeError, Result, TableUrl};

/// The newest writer protocol whose rules the operations keep: what this crate's own tables ask for.
const WRITER_VERSION: i32 = 2;

/// A table as its owner wants it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name for people, `silver.messages`.
    pub name: String,
    /// Where it is.
    pub url: TableUrl,
    /// Its columns; what a column means stands in its field's metadata under [`COMMENT`](crate::COMMENT).
    pub schema: SchemaRef,
    /// Columns of [`Self::schema`] that it is partitioned by.
    pub partition_columns: Vec<String>,
    /// Columns whose values name a row.
    pub key: Vec<String>,
    /// Columns that say how a row came here; rows that differ in them alone are the same.
    pub metadata_columns: Vec<String>,
    /// Columns whose smallest and largest values stand in the log.
    pub statistics_columns: Vec<String>,
}

impl Target {
    /// The columns that make a row differ from another.
    pub fn content_columns(&self) -> Vec<String> {
        let names = self.schema.fields().iter().map(|field| field.name().clone());
        names.filter(|name| !self.metadata_columns.contains(name)).collect()
    }

    /// The metadata action that a commit on top of `base` needs: that of a new table, that of one whose contract has
    /// gained columns or changed descriptions, or none.
    pub(crate) fn metadata_after(&self, base: Option<&PinnedTable>) -> Result<Option<Metadata>> {
        match base {
            None => {
                let schema = evolution::described(&self.schema, &self.url)?;
                let metadata = new_metadata(&schema, &self.partition_columns, HashMap::<String, String>::new());
                metadata.map(Some).map_err(|error| LakeError::log("describe the columns", &self.url, error))
            }
            Some(base) => evolution::evolved(self, base),
        }
    }

    /// Refuses a table at our address that is not ours, or can no longer be made to fit.
    ///
    /// Every operation that writes does this; whoever reads the table before may want to know earlier.
    ///
    /// # Errors
    /// [`LakeError::ForeignTable`] and [`LakeError::ContractChanged`].
    pub fn check_is_ours(&self, pinned: &PinnedTable) -> Result<()> {
        let refuse = |difference: String| LakeError::ForeignTable { table: self.url.to_string(), difference };
        let writer = pinned.protocol.min_writer_version();
        if writer > WRITER_VERSION {
            return Err(refuse(format!("it asks for version {writer} of the writer protocol")));
        }
        if pinned.metadata.configuration().get("delta.appendOnly").is_some_and(|value| value == "true") {
            return Err(refuse("rows may only be added to it".to_owned()));
        }
        evolution::check_fits(self, pinned)
    }

    /// `rows` with exactly this table's columns, in order and of their types, and `more` columns behind them.
    ///
    /// # Errors
    /// [`LakeError::Query`] if the rows lack a column.
    pub fn conform(&self, rows: DataFrame, more: &[&str]) -> Result<DataFrame> {
        let given = rows.schema().clone();
        let mut columns: Vec<Expr> = Vec::with_capacity(self.schema.fields().len() + more.len());
        for field in self.schema.fields() {
            let column = given
                .field_with_unqualified_name(field.name())
                .map_err(|error| LakeError::query("match the query's columns with the contract", &self.url, error))?;
            columns.push(match column.data_type() == field.data_type() {
                true => ident(field.name()),
                false => cast(ident(field.name()), field.data_type().clone()).alias(field.name()),
            });
        }
        columns.extend(more.iter().map(|name| ident(*name)));
        rows.select(columns)
            .map_err(|error| LakeError::query("match the query's columns with the contract", &self.url, error))
    }

    /// A write into this table's folder.
    pub(crate) fn write_spec(&self, fingerprint: bool, buckets: &Buckets, file_bytes: u64) -> Result<WriteSpec> {
        let mut files = FileOutput::new(self.url.clone(), &self.schema)?;
        let mut spread_by = self.partition_columns.clone();
        files.file_bytes = file_bytes;
        if !buckets.is_empty() {
            spread_by.push(BUCKET.to_owned());
            // Buckets are of about the size of a file; one that is a little larger shall not become two files.
            files.file_bytes += file_bytes / 8;
        }
        files.partition_columns.clone_from(&self.partition_columns);
        files.statistics_columns.clone_from(&self.statistics_columns);
        if let [key] = self.key.as_slice() {
            files.unique_columns.push(key.clone());
        }
        if fingerprint {
            files.fingerprint_columns = self.content_columns();
        }
        Ok(WriteSpec {
            name: self.name.clone(),
            distribution: Distribution::ByColumns(spread_by),
            count_by: Vec::new(),
            route: None,
            outputs: vec![Output { route: 0, sink: Sink::Files(Box::new(files)) }],
        })
    }
}
