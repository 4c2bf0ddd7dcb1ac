//! Whether a query is so small that it should run as one task.
//!
//! Every exchange of rows between tasks costs files, requests and scheduling, some milliseconds each, and a query of the
//! catalog has up to forty of them. Below some size that is nearly all of its time. The logs of the tables say how much
//! a query will read, so the question costs nothing; what they cannot tell, such as the size of a source, is not small.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use quickchat_lake::scan::{DeltaScan, Volume};

/// More values than this, of all rows and columns that are read, are worth several tasks: about half a second of one.
const MOST_VALUES: u64 = 2 << 20;

/// The same for bytes of Parquet, which is what counts for long texts.
const MOST_BYTES: u64 = 16 << 20;

/// What opening a file is taken to cost, in bytes: reading its footer, and for a store a request or two, which one task
/// makes one after the other.
const LOCAL_FILE_BYTES: u64 = 8 << 10;
const REMOTE_FILE_BYTES: u64 = 256 << 10;

/// The settings under which a small query runs as one task: no shuffle, and no build side of a join in a stage of its
/// own.
pub(super) const ONE_TASK: [(&str, &str); 2] =
    [("datafusion.execution.target_partitions", "1"), ("ballista.optimizer.broadcast_join_threshold_bytes", "0")];

/// Whether an optimized plan reads so little that one task does it best.
pub(super) async fn is_small(plan: &LogicalPlan, state: &SessionState) -> Result<bool> {
    let mut scans = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            scans.push(scan.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let (mut values, mut bytes) = (0, 0);
    for scan in &scans {
        let Some(volume) = volume(scan, state).await? else { return Ok(false) };
        let columns = scan.projected_schema.fields().len() as u64;
        let all_columns = scan.source.schema().fields().len().max(1) as u64;
        values += volume.rows.unwrap_or(0) * columns;
        let opening = if volume.is_local { LOCAL_FILE_BYTES } else { REMOTE_FILE_BYTES };
        bytes += volume.bytes * columns / all_columns + volume.files * opening;
        if values > MOST_VALUES || bytes > MOST_BYTES {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How much a scan reads; none if it is not of a table of the lake.
async fn volume(scan: &TableScan, state: &SessionState) -> Result<Option<Volume>> {
    let provider = source_as_provider(&scan.source)?;
    let any: &dyn std::any::Any = provider.as_ref();
    match any.downcast_ref::<DeltaScan>() {
        Some(table) => table.volume(state, &scan.filters).await.map(Some),
        None => Ok(None),
    }
}
