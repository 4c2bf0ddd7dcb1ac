//! Record: a version that changes no row and only says something.
//!
//! A job whose inputs changed in ways that do not concern its rows has to remember that it has seen them, or it would
//! look at the same changes for ever. The note stands in a commit of its own, so that note and rows can never be of
//! different times.

use deltalake::protocol::{DeltaOperation, SaveMode};

use super::{CommitNote, Lake, Target, Written};
use crate::commit::{Commit, Outcome, ReadSet};
use crate::{LakeError, Result};

impl Lake {
    /// Commits a note about a table that exists, and gives the version.
    pub async fn record(&self, target: &Target, note: &CommitNote<'_>) -> Result<u64> {
        let base = self.tables().latest(&target.url).await?;
        let base = base.ok_or_else(|| LakeError::NoTable { table: target.url.to_string() })?;
        target.check_is_ours(&base)?;
        let change = Commit {
            adds: Vec::new(),
            removes: Vec::new(),
            metadata: None,
            operation: DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None },
            transaction: note.transaction.clone(),
            info: (note.info)(&Written::default()),
            reads: ReadSet::Nothing,
        };
        match self.commit(target, Some(&base), change).await? {
            Outcome::Committed(version) => Ok(version),
            Outcome::Outdated { reason } => Err(LakeError::Conflict { table: target.url.to_string(), reason }),
        }
    }
}
