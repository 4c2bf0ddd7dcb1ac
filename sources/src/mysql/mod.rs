//! Tables of MySQL and MariaDB.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::live::{Connections, LiveRequest};
use crate::read::LiveSite;
use crate::{Collection, SourceError, SplitPolicy};

/// The server that this process's environment names.
#[derive(Default)]
pub(crate) struct MySqlServer {}

impl MySqlServer {
    pub(crate) async fn health(
        &self,
        _names: impl Fn(Collection) -> crate::live::LiveNames,
    ) -> Result<crate::health::Health, SourceError> {
        Err(SourceError::Misplaced)
    }
}

/// A part of a table: what one descriptor row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowRange {
    /// Rank of the range among the table's ranges.
    pub(crate) rank: u32,
}

/// The ranges of a table: at least one.
pub(crate) async fn plan(
    _connections: &Connections,
    _collection: Collection,
    _request: &LiveRequest,
    _policy: &SplitPolicy,
) -> Result<Vec<RowRange>, SourceError> {
    Ok(vec![RowRange { rank: 0 }])
}

/// Reads the rows of one range.
pub(crate) struct RowReader {}

impl RowReader {
    pub(crate) fn new(_site: Arc<LiveSite>, _range: RowRange) -> Self {
        Self {}
    }

    /// The next batch; the last one ends with the range's tally.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        Ok(None)
    }
}
