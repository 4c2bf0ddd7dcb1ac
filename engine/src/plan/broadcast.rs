//! Joins with a small side.
//!
//! By default joins are sort-merge joins here, for which both sides are shuffled and sorted; that holds for any size,
//! since sorting spills. Where one side is small, as users are beside messages, every task can have all of it, and the
//! rows of the other side stay where they are. DataFusion would do that for hash joins only, and Ballista promotes only
//! hash joins to broadcasts, so this rule looks for such joins before anything was added for the sake of sorting.
//!
//! Ballista checks the size of a build side once more when it cuts the plan into stages, and turns a join that does not
//! convince it back into a shuffled one. By then the rest of the plan is made for the join's partitions, and a write
//! that was to be one file becomes several. Therefore [`all_stay`] asks the same question at the end of planning, and a
//! plan that would be changed is made anew without broadcasts.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Statistics};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::union::UnionExec;

use crate::settings::BROADCAST_BYTES;

/// The rule's name.
pub(super) const NAME: &str = "broadcast_small_sides";

/// A side is small up to this estimate: half of what Ballista accepts, since it estimates on its own.
const SMALL_BYTES: usize = BROADCAST_BYTES / 2;

/// What a value of text or a list is taken to need.
const TEXT_BYTES: usize = 32;

/// Turns sort-merge joins with a small side into hash joins that every task does with the whole of that side.
#[derive(Debug)]
pub(super) struct BroadcastSmallSides;

impl PhysicalOptimizerRule for BroadcastSmallSides {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if config.execution.target_partitions == 1 {
            return Ok(plan);
        }
        plan.transform_up(|node| {
            let broadcast = node.downcast_ref::<SortMergeJoinExec>().map(broadcast).transpose()?.flatten();
            Ok(match broadcast {
                Some(join) => Transformed::yes(join),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        NAME
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same join with its small side in every task, if it has one and the kind of join allows it.
fn broadcast(join: &SortMergeJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let hash_join = || {
        HashJoinExec::try_new(
            Arc::clone(join.left()),
            Arc::clone(join.right()),
            join.on().to_vec(),
            join.filter().clone(),
            &join.join_type(),
            None,
            PartitionMode::CollectLeft,
            join.null_equality(),
            false,
        )
    };
    if is_row_by_row(join.join_type()) && is_small(join.left())? {
        return Ok(Some(Arc::new(hash_join()?)));
    }
    let swaps = join.join_type().supports_swap() && is_row_by_row(join.join_type().swap());
    match swaps && is_small(join.right())? {
        true => hash_join()?.swap_inputs(PartitionMode::CollectLeft).map(Some),
        false => Ok(None),
    }
}

/// Whether each row of the result comes from one row of the right side, wherever that is. Other joins also yield rows
/// for what the left side has, which every task would.
fn is_row_by_row(kind: JoinType) -> bool {
    matches!(kind, JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark)
}

fn is_small(side: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let Some(rows) = most_rows(side)? else { return Ok(false) };
    Ok(rows.saturating_mul(row_bytes(&side.schema())) <= SMALL_BYTES)
}

/// How many rows a plan yields at most, by the logs of the tables that it reads; none if it may yield more rows than it
/// reads, or reads something else.
fn most_rows(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<usize>> {
    if plan.is::<DataSourceExec>() {
        return Ok(statistics(plan)?.num_rows.get_value().copied());
    }
    if !(plan.is::<FilterExec>() || plan.is::<ProjectionExec>() || plan.is::<AggregateExec>() || plan.is::<UnionExec>())
    {
        return Ok(None);
    }
    let mut rows: usize = 1;
    for input in plan.children() {
        let Some(more) = most_rows(input)? else { return Ok(None) };
        rows = rows.saturating_add(more);
    }
    Ok(Some(rows))
}

/// Whether Ballista will leave all broadcasts of a plan as they are.
pub(super) fn all_stay(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut stay = true;
    plan.apply(|node| {
        if let Some(join) = node.downcast_ref::<HashJoinExec>()
            && *join.partition_mode() == PartitionMode::CollectLeft
            && !join.null_aware
        {
            stay &= is_row_by_row(*join.join_type()) && convinces(join.left())?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(stay)
}

/// Ballista's own question to a build side.
fn convinces(side: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let known = statistics(side)?;
    let positive = |value: Option<&usize>| value.copied().filter(|value| *value > 0);
    let bytes = positive(known.total_byte_size.get_value()).or_else(|| {
        let rows = positive(known.num_rows.get_value())?;
        Some(rows.saturating_mul(row_bytes(&side.schema()).max(8)))
    });
    Ok(bytes.is_some_and(|bytes| bytes < BROADCAST_BYTES))
}

fn statistics(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<Statistics>> {
    StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::default())
}

/// As Ballista reckons: other types than plain numbers and dates count as texts.
fn row_bytes(schema: &Schema) -> usize {
    let width = |kind: &DataType| match kind {
        DataType::Boolean => 1,
        kind if kind.is_numeric() || matches!(kind, DataType::Date32 | DataType::Date64) => {
            kind.primitive_width().unwrap_or(TEXT_BYTES)
        }
        _ => TEXT_BYTES,
    };
    schema.fields().iter().map(|field| width(field.data_type())).sum()
}
