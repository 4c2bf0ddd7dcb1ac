//! From a logical plan to the physical plan that Ballista cuts into stages.
//!
//! DataFusion's planner, extended by the nodes of the lake, with two corrections for what it does not know of Ballista:
//!
//! * [`broadcast`]: joins with a small side keep the rows of the other side where they are,
//! * [`one_task`]: a query that runs as one task has no stage for the build side of a join.

mod broadcast;
mod one_task;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use quickchat_lake::merge::MergePlanner;
use quickchat_lake::write::WritePlanner;

use broadcast::BroadcastSmallSides;

/// Plans queries over the lake.
#[derive(Debug)]
pub(crate) struct LakeQueryPlanner;

/// DataFusion's rules, behind those of this project.
pub(crate) fn optimizer_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    // First, since later rules add the shuffles and sorts that this one spares.
    let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(BroadcastSmallSides)];
    rules.extend(PhysicalOptimizer::default().rules);
    rules
}

#[async_trait]
impl QueryPlanner for LakeQueryPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planned = planner(MergePlanner::default()).create_physical_plan(plan, state).await?;
        if state.config().target_partitions() == 1 {
            return one_task::join_in_place(planned);
        }
        if broadcast::all_stay(&planned)? {
            return Ok(planned);
        }
        let any: &dyn std::any::Any = state.as_any();
        let Some(state) = any.downcast_ref::<SessionState>() else { return Ok(planned) };
        let mut rules = optimizer_rules();
        rules.retain(|rule| rule.name() != broadcast::NAME);
        let without =
            SessionStateBuilder::new_from_existing(state.clone()).with_physical_optimizer_rules(rules).build();
        planner(MergePlanner::without_broadcasts()).create_physical_plan(plan, &without).await
    }
}

fn planner(merge: MergePlanner) -> DefaultPhysicalPlanner {
    DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(WritePlanner), Arc::new(merge)])
}
