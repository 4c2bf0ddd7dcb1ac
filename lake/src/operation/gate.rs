//! A gate before the commits of a run, so that it can be stopped between two of them.
//!
//! A future that is dropped in the middle of a commit leaves it open whether the version was made: the store may have
//! got the request. Whoever gives up a run therefore [closes the gate](Lake::close) first, which lets commits that
//! have begun end and holds back the others, and then knows exactly what the run has changed.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

use super::{Lake, Target};
use crate::Result;
use crate::commit::{Commit, Outcome, commit};
use crate::snapshot::PinnedTable;

/// What all operations of a [`Lake`] and its variants go through to commit.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Shared by commits under way; whole in the hands of who closed the gate.
    passage: Arc<RwLock<()>>,
    committed: Mutex<Vec<(String, u64)>>,
}

/// A closed gate: until it is dropped, no commit of the lake's operations begins.
#[derive(Debug)]
pub struct Closed {
    committed: Vec<(String, u64)>,
    _passage: OwnedRwLockWriteGuard<()>,
}

impl Closed {
    /// Every version that the lake's operations have made: the table's name and the version, oldest first.
    pub fn committed(&self) -> &[(String, u64)] {
        &self.committed
    }
}

impl Lake {
    /// Waits for the commits that have begun, and keeps others from beginning. The operations themselves must be
    /// polled meanwhile, or their commits never end.
    pub async fn close(&self) -> Closed {
        let passage = Arc::clone(&self.gate.passage).write_owned().await;
        Closed { committed: self.gate.committed.lock().clone(), _passage: passage }
    }

    /// Commits when the gate is open.
    pub(crate) async fn commit(&self, target: &Target, base: Option<&PinnedTable>, change: Commit) -> Result<Outcome> {
        let _passage = self.gate.passage.read().await;
        let outcome = commit(&self.tables, &target.url, base, change).await?;
        if let Outcome::Committed(version) = outcome {
            self.gate.committed.lock().push((target.name.clone(), version));
        }
        Ok(outcome)
    }
}
