//! Collections of MongoDB.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::live::{Connections, LiveRequest};
use crate::read::LiveSite;
use crate::{Collection, SourceError, SplitPolicy};

/// The server that this process's environment names.
#[derive(Default)]
pub(crate) struct MongoServer {}

/// A part of a collection: what one descriptor row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DocumentRange {
    /// Rank of the range among the collection's ranges.
    pub(crate) rank: u32,
}

/// The ranges of a collection: at least one.
pub(crate) async fn plan(
    _connections: &Connections,
    _collection: Collection,
    _request: &LiveRequest,
    _policy: &SplitPolicy,
) -> Result<Vec<DocumentRange>, SourceError> {
    Ok(vec![DocumentRange { rank: 0 }])
}

/// Reads the documents of one range.
pub(crate) struct CollectionReader {}

impl CollectionReader {
    pub(crate) fn new(_site: Arc<LiveSite>, _range: DocumentRange) -> Self {
        Self {}
    }

    /// The next batch; the last one ends with the range's tally.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        Ok(None)
    }
}
