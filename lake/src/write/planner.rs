//! From the logical to the physical write, on the scheduler.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::exec::{SORT, WriteExec, spread_and_order};
use super::node::WriteNode;
use super::output::Distribution;
use crate::inputs::exactly;

/// Inputs below this size are written by one task.
const ONE_TASK_BYTES: usize = 8 << 20;

/// Plans [`WriteNode`]s.
#[derive(Debug, Default)]
pub struct WritePlanner;

#[async_trait]
impl ExtensionPlanner for WritePlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _planning_ctx: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(write) = node.as_any().downcast_ref::<WriteNode>() else { return Ok(None) };
        let [input] = exactly("a write", physical_inputs)?;
        let input = match &write.spec().distribution {
            Distribution::InPlace => input,
            spread @ (Distribution::ByColumns(_) | Distribution::Clustered { .. }) => {
                let (keys, order) = spread_and_order(spread, &input.schema())?;
                distribute(input, keys, order, session.config().target_partitions())?
            }
        };
        let writers = Arc::new(WriteExec::try_new(input, Arc::clone(write.spec()))?);
        Ok(Some(Arc::new(CoalescePartitionsExec::new(writers))))
    }
}

/// Puts all rows with equal keys into one partition, sorted by `order`.
///
/// The writer requires both, so DataFusion's optimizer would add the nodes too; but it knows nothing of small inputs.
fn distribute(
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    order: Vec<Arc<dyn PhysicalExpr>>,
    tasks: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let one_task = keys.is_empty() || is_small(&input)?;
    let spread: Arc<dyn ExecutionPlan> = match (one_task, input.output_partitioning().partition_count()) {
        (true, 1) => input,
        (true, _) => Arc::new(CoalescePartitionsExec::new(input)),
        (false, _) => Arc::new(RepartitionExec::try_new(input, Partitioning::Hash(keys, tasks))?),
    };
    let ordering = order.into_iter().map(|expr| PhysicalSortExpr { expr, options: SORT });
    Ok(match LexOrdering::new(ordering) {
        Some(ordering) => Arc::new(SortExec::new(ordering, spread).with_preserve_partitioning(true)),
        None => spread,
    })
}

fn is_small(input: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let bytes = StatisticsContext::new().compute(input.as_ref(), &StatisticsArgs::default())?.total_byte_size;
    Ok(bytes.get_value().is_some_and(|bytes| *bytes < ONE_TASK_BYTES))
}
