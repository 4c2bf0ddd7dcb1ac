//! Joins in queries that run as one task.
//!
//! With one partition DataFusion plans every hash join so that it collects its build side first. Ballista takes that for
//! a broadcast and gives the build side a stage of its own, which is what a query of one task is to be spared. A
//! partitioned join of one partition on either side is the same join, and Ballista leaves it alone.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Makes joins of one partition with one partition partitioned joins.
pub(super) fn join_in_place(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
        let is_one = |side: &Arc<dyn ExecutionPlan>| side.output_partitioning().partition_count() == 1;
        // A null-aware join must know whether any of its rows has a null, which only a collecting one does.
        let collects = *join.partition_mode() == PartitionMode::CollectLeft && !join.null_aware;
        if !collects || !is_one(join.left()) || !is_one(join.right()) {
            return Ok(Transformed::no(node));
        }
        let in_place = join.builder().with_partition_mode(PartitionMode::Partitioned).build()?;
        Ok(Transformed::yes(Arc::new(in_place)))
    })
    .data()
}
