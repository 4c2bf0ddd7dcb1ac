//! A plan node that ends its streams when the task has been given up.
//!
//! Cancelling a task drops Ballista's future of it, but the shuffle writers run in tasks of their own that nobody
//! aborts: a "cancelled" query works on to its end, unseen. So, in each stage plan that arrives, this node is put on
//! top, above every leaf and above every node that reads a single leaf (a scan that takes its splits from one). It
//! passes batches through, and when the token is cancelled its next poll is an error, which ends the writer.
//!
//! It exists on executors only, between decoding a plan and running it, so it has no encoding. It reports no metrics,
//! because the scheduler assigns metrics to nodes by their order in the plan that it sent.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ballista_core::error::BallistaError;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, RecordBatchStream,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Puts the checks into a stage plan, whose root is a shuffle writer.
pub(crate) fn insert(plan: Arc<dyn ExecutionPlan>, token: &CancellationToken) -> Result<Arc<dyn ExecutionPlan>> {
    // Ballista looks for statistics by walking down from the writer, and stops at nodes that it does not know.
    let bare_top = holds_statistics(&plan);
    let checked = plan.transform_up(|node| {
        let children = node.children();
        let is_root = node.name().contains("ShuffleWriter");
        let reads_a_leaf = matches!(children.as_slice(), [only] if only.downcast_ref::<StopCheckExec>()
            .is_some_and(|check| check.input.children().is_empty()));
        if !is_root && (children.is_empty() || reads_a_leaf) {
            Ok(Transformed::yes(Arc::new(StopCheckExec::new(node, token.clone())) as Arc<dyn ExecutionPlan>))
        } else {
            Ok(Transformed::no(node))
        }
    })?;
    let root = checked.data;
    let children: Vec<_> = root.children().into_iter().map(Arc::clone).collect();
    match children.as_slice() {
        [top] if !bare_top && top.downcast_ref::<StopCheckExec>().is_none() => {
            let top = Arc::new(StopCheckExec::new(Arc::clone(top), token.clone()));
            root.replace_children(vec![top], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
        }
        _ => Ok(root),
    }
}

/// Whether the stage measures its rows for the adaptive planner's range shuffle, which relies on the shape of the plan
/// and on Ballista's names of output files. Off by default.
pub(crate) fn holds_statistics(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.name() == "RuntimeStatsExec" || plan.children().into_iter().any(holds_statistics)
}

/// See the module.
#[derive(Debug)]
struct StopCheckExec {
    input: Arc<dyn ExecutionPlan>,
    token: CancellationToken,
}

impl StopCheckExec {
    fn new(input: Arc<dyn ExecutionPlan>, token: CancellationToken) -> Self {
        Self { input, token }
    }
}

impl DisplayAs for StopCheckExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StopCheckExec")
    }
}

impl ExecutionPlan for StopCheckExec {
    fn name(&self) -> &'static str {
        "StopCheckExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("StopCheckExec has exactly one child".to_owned()))?;
        Ok(Arc::new(Self::new(input, self.token.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(StopCheckStream {
            input: Some(input),
            schema: self.input.schema(),
            stopped: Box::pin(self.token.clone().cancelled_owned()),
            token: self.token.clone(),
        }))
    }
}

struct StopCheckStream {
    /// `None` once ended: what it held is freed at once.
    input: Option<SendableRecordBatchStream>,
    schema: SchemaRef,
    token: CancellationToken,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stream for StopCheckStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(input) = &mut this.input else { return Poll::Ready(None) };
        if this.token.is_cancelled() {
            this.input = None;
            return Poll::Ready(Some(Err(BallistaError::Cancelled.into_datafusion())));
        }
        match input.as_mut().poll_next(context) {
            Poll::Ready(None) => {
                this.input = None;
                Poll::Ready(None)
            }
            Poll::Ready(batch) => Poll::Ready(batch),
            // The input waits for something; the end of the task must wake this up too.
            Poll::Pending => match this.stopped.as_mut().poll(context) {
                Poll::Ready(()) => {
                    this.input = None;
                    Poll::Ready(Some(Err(BallistaError::Cancelled.into_datafusion())))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl RecordBatchStream for StopCheckStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ballista_core::execution_plans::ShuffleWriterExec;
    use datafusion::arrow::datatypes::Schema;
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use datafusion::physical_plan::union::UnionExec;
    use futures::{StreamExt, stream};

    use super::*;

    fn names(plan: &dyn ExecutionPlan) -> String {
        let children: Vec<_> = plan.children().into_iter().map(|child| names(child.as_ref())).collect();
        format!("{}({})", plan.name().trim_end_matches("Exec"), children.join(" "))
    }

    #[test]
    fn checks_stand_on_top_and_above_leaves_and_their_readers() {
        let leaf = || Arc::new(EmptyExec::new(Arc::new(Schema::empty()))) as Arc<dyn ExecutionPlan>;
        let scan = Arc::new(CoalescePartitionsExec::new(leaf()));
        let both = UnionExec::try_new(vec![scan, leaf()]).unwrap();
        let plan = ShuffleWriterExec::try_new("job".to_owned().into(), 1, both, String::new()).unwrap();
        let checked = insert(Arc::new(plan), &CancellationToken::new()).unwrap();
        assert_eq!(
            names(checked.as_ref()),
            "ShuffleWriter(StopCheck(Union(StopCheck(CoalescePartitions(StopCheck(Empty()))) StopCheck(Empty()))))"
        );
    }

    #[tokio::test]
    async fn a_waiting_stream_is_woken_and_ends_with_an_error() {
        let schema = Arc::new(Schema::empty());
        let token = CancellationToken::new();
        let mut stream = StopCheckStream {
            input: Some(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::pending()))),
            schema,
            stopped: Box::pin(token.clone().cancelled_owned()),
            token: token.clone(),
        };
        let reading = tokio::spawn(async move { (stream.next().await, stream.next().await.is_none()) });
        tokio::time::sleep(Duration::from_millis(10)).await;
        token.cancel();
        let (first, ended) = tokio::time::timeout(Duration::from_secs(5), reading).await.unwrap().unwrap();
        assert!(first.unwrap().unwrap_err().to_string().contains("cancelled"));
        assert!(ended);
    }
}
