//! From the logical to the physical nodes, on the scheduler.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::listed::{Keep, Listed, Match};
use super::newest::{Newest, NewestExec};
use crate::inputs::exactly;

/// Plans [`Listed`] and [`Newest`].
#[derive(Debug)]
pub struct MergePlanner {
    broadcasts: bool,
}

impl Default for MergePlanner {
    fn default() -> Self {
        Self { broadcasts: true }
    }
}

impl MergePlanner {
    /// A planner that has rows and list travel to each other, for when a list cannot be sent to every task.
    pub fn without_broadcasts() -> Self {
        Self { broadcasts: false }
    }

    fn mode(&self) -> PartitionMode {
        if self.broadcasts { PartitionMode::CollectLeft } else { PartitionMode::Partitioned }
    }
}

#[async_trait]
impl ExtensionPlanner for MergePlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _planning_ctx: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(listed) = node.as_any().downcast_ref::<Listed>() {
            let [rows, list] = exactly("Listed", physical_inputs)?;
            return join(listed.how(), &rows, &list, self.mode()).map(Some);
        }
        if let Some(newest) = node.as_any().downcast_ref::<Newest>() {
            let [input] = exactly("Newest", physical_inputs)?;
            // What it requires of its input, the optimizer adds.
            return Ok(Some(Arc::new(NewestExec::try_new(input, newest.order().clone())?)));
        }
        Ok(None)
    }
}

/// The list is the side that is held in memory; the rows pass by it.
fn join(
    how: &Match,
    rows: &Arc<dyn ExecutionPlan>,
    list: &Arc<dyn ExecutionPlan>,
    mode: PartitionMode,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut on = Vec::with_capacity(how.on.len());
    for (ours, theirs) in &how.on {
        on.push((
            Arc::new(Column::new_with_schema(theirs, &list.schema())?) as _,
            Arc::new(Column::new_with_schema(ours, &rows.schema())?) as _,
        ));
    }
    let kind = match how.keep {
        Keep::Listed => JoinType::RightSemi,
        Keep::Others => JoinType::RightAnti,
    };
    Ok(Arc::new(HashJoinExec::try_new(
        Arc::clone(list),
        Arc::clone(rows),
        on,
        None,
        &kind,
        None,
        mode,
        NullEquality::NullEqualsNothing,
        false,
    )?))
}
