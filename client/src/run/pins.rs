//! The versions of the lake's tables that a run reads.
//!
//! All jobs of a run read the same version of a table, the one that was the newest when the run first looked, or when it
//! first looked after it had changed the table itself. So tables that are computed from the same others agree, whatever is committed from
//! elsewhere meanwhile; that is for the next run. Only where another run has already computed a table from later versions
//! this one takes these too, rather than compute it back. To look for each job anew was rejected: two of a run's tables might
//! then come from different versions of a third, and of the requests to the store that a run with nothing to do makes,
//! such looks were a third.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quickchat_lake::snapshot::{PinnedTable, Tables};
use quickchat_lake::{LakeError, TableUrl};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<HashMap<TableUrl, Arc<PinnedTable>>>);

impl Pins {
    /// The version that the run reads; none if there is no such table.
    pub(super) async fn read(&self, tables: &Tables, url: &TableUrl) -> Result<Option<Arc<PinnedTable>>, LakeError> {
        let known = self.0.lock().get(url).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let newest = tables.latest(url).await?;
        // Another job may have looked meanwhile; then what it saw is what the run reads.
        Ok(newest.map(|newest| Arc::clone(self.0.lock().entry(url.clone()).or_insert(newest))))
    }

    /// The newest version, which the run reads from now on. For the job that is about to write the table.
    pub(super) async fn look(&self, tables: &Tables, url: &TableUrl) -> Result<Option<Arc<PinnedTable>>, LakeError> {
        let newest = tables.latest(url).await?;
        let mut pins = self.0.lock();
        match &newest {
            Some(newest) => pins.insert(url.clone(), Arc::clone(newest)),
            None => pins.remove(url),
        };
        Ok(newest)
    }

    /// The run has changed a table, or may have.
    pub(super) fn forget(&self, url: &TableUrl) {
        self.0.lock().remove(url);
    }
}
