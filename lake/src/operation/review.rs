//! A look at what is about to be committed.
//!
//! Between the write of an operation and its commit, the new files are there and nobody sees them. A [`Review`] may read
//! them then, and the table as it would be, and refuse: the files are deleted, the table stays as it is, and the
//! operation fails with [`LakeError::Refused`]. What is looked for is the reviewer's business.
//!
//! When another writer came first and the operation compares or computes again, it is reviewed again: what would be
//! committed is another thing then.
//!
//! Rejected: checking the query before it is written. It would run twice, and a look at the written files reads just
//! the columns that matter, of just the rows that are new.

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use deltalake::kernel::{Add, Remove};

use super::{Lake, Target};
use crate::scan::{DeltaScan, FileStatistics};
use crate::snapshot::{PinnedTable, Tables};
use crate::{LakeError, Result, TableUrl};

/// Looks at every change of a table before it is committed.
#[async_trait]
pub trait Review: Send + Sync {
    /// An error refuses the change; it is passed on in [`LakeError::Refused`].
    async fn review(
        &self,
        proposal: &Proposal<'_>,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// A change of a table that is written but not committed.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    tables: &'a Tables,
    target: &'a Target,
    base: Option<&'a PinnedTable>,
    adds: &'a [Add],
    removes: &'a [Remove],
    is_merge: bool,
}

impl<'a> Proposal<'a> {
    pub(super) fn new(
        tables: &'a Tables,
        target: &'a Target,
        base: Option<&'a PinnedTable>,
        adds: &'a [Add],
        removes: &'a [Remove],
    ) -> Self {
        Self { tables, target, base, adds, removes, is_merge: false }
    }

    /// The same as the result of a merge by key.
    pub(super) fn merged(self) -> Self {
        Self { is_merge: true, ..self }
    }

    /// The table.
    pub fn target(&self) -> &'a Target {
        self.target
    }

    /// The version that the change is made on; none if the table is new.
    pub fn base(&self) -> Option<&'a PinnedTable> {
        self.base
    }

    /// Whether the change comes from a merge by key, which gives each key one row if each had one before.
    pub fn is_merge(&self) -> bool {
        self.is_merge
    }

    /// The rows of the new files. Some of them may be rows of replaced files that have stayed the same.
    pub fn added(&self) -> DeltaScan {
        DeltaScan::written(self.tables, self.url(), self.adds.to_vec(), self.schema(), self.partition_columns())
    }

    /// The rows of the table as it would be.
    pub fn result(&self) -> DeltaScan {
        let Some(base) = self.base else { return self.added() };
        let removed = self.removes.iter().map(|remove| remove.path.clone()).collect();
        DeltaScan::changed(self.tables, base, removed, self.adds.to_vec(), self.schema())
    }

    /// Whether there is any new file.
    pub fn adds_rows(&self) -> bool {
        !self.adds.is_empty()
    }

    /// Rows of the table before the change; none if it is new or the log does not know.
    pub fn rows_before(&self) -> Option<u64> {
        self.base?.rows()
    }

    /// Rows of the table as it would be; none if the log does not know.
    pub fn rows_after(&self) -> Option<u64> {
        let removed: std::collections::HashSet<&str> = self.removes.iter().map(|remove| remove.path.as_str()).collect();
        let stored = self.base.into_iter().flat_map(PinnedTable::adds);
        let staying = stored.filter(|file| !removed.contains(file.path.as_str()));
        staying.chain(self.adds).map(|file| FileStatistics::rows(file).map(|rows| rows as u64)).sum()
    }

    fn url(&self) -> TableUrl {
        self.target.url.clone()
    }

    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.target.schema)
    }

    fn partition_columns(&self) -> Vec<String> {
        self.target.partition_columns.clone()
    }
}

impl Lake {
    /// Asks the reviewer, if there is one.
    pub(super) async fn review(&self, proposal: &Proposal<'_>) -> Result<()> {
        match &self.reviewer {
            Some(reviewer) => reviewer.review(proposal).await.map_err(LakeError::Refused),
            None => Ok(()),
        }
    }
}
