//! Stage: the result of a query, kept in temporary files to be read several times.
//!
//! Ballista runs a query from its sources to its end; what two queries have in common is computed twice unless it is
//! written down. Rows are written by the tasks that compute them, without a shuffle.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use deltalake::kernel::Add;

use super::{Lake, Target, remove_early};
use crate::scan::DeltaScan;
use crate::snapshot::Tables;
use crate::write::{Distribution, FileOutput, Output, Sink, WriteSpec};
use crate::{Result, TableUrl};

/// Rows of a query in temporary files.
#[derive(Debug)]
pub struct Staged {
    folder: TableUrl,
    files: Vec<Add>,
    schema: SchemaRef,
    /// How many rows.
    pub rows: u64,
}

impl Lake {
    /// Runs a query that yields rows of `target`, and keeps them in `folder`.
    pub async fn stage(&self, target: &Target, query: LogicalPlan, folder: TableUrl) -> Result<Staged> {
        let rows = target.conform(self.frame(query), &[])?;
        let mut output = FileOutput::new(folder.clone(), &target.schema)?;
        output.temporary = true;
        let schema = output.arrow_schema()?;
        let spec = WriteSpec {
            name: target.name.clone(),
            distribution: Distribution::InPlace,
            count_by: Vec::new(),
            route: None,
            outputs: vec![Output { route: 0, sink: Sink::Files(Box::new(output)) }],
        };
        match self.write(rows, spec).await {
            Ok(receipts) => {
                let rows = u64::try_from(receipts.count(0)).unwrap_or(0);
                Ok(Staged { folder, files: receipts.files(0), schema, rows })
            }
            Err(error) => {
                remove_early(self.tables(), &folder).await;
                Err(error)
            }
        }
    }
}

impl Staged {
    /// The rows.
    pub fn scan(&self, tables: &Tables) -> DeltaScan {
        DeltaScan::files(tables, self.folder.clone(), self.files.clone(), Arc::clone(&self.schema))
    }

    /// Deletes the files; what cannot be deleted is for whoever removes the folder that they are in.
    pub async fn remove(self, tables: &Tables) {
        remove_early(tables, &self.folder).await;
    }
}
