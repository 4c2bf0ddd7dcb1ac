//! The physical node: one writer per task.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{SortOptions, filter_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef, UInt8Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexRequirement, OrderingRequirements, Partitioning, PhysicalExpr,
    PhysicalSortRequirement,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, TryStreamExt};

use super::counts::{GroupCounter, Groups};
use super::files::FileSink;
use super::output::{Distribution as Spread, Output, Sink, WriteSpec};
use super::receipt::{self, Receipt};
use crate::inputs::exactly;

/// The order of rows within a task.
pub(super) const SORT: SortOptions = SortOptions { descending: false, nulls_first: true };

/// Writes each input partition into data files; yields the receipts of that partition.
#[derive(Debug)]
pub struct WriteExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<WriteSpec>,
    /// The columns that rows are spread by.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The columns that rows are sorted by: those, and perhaps more behind them.
    order: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WriteExec {
    /// A writer above `input`, with as many partitions as `input` has.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, spec: Arc<WriteSpec>) -> Result<Self> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(receipt::schema())),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let (keys, order) = spread_and_order(&spec.distribution, &input.schema())?;
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, spec, keys, order, properties: Arc::new(properties), metrics })
    }

    /// What is written where.
    pub fn spec(&self) -> &Arc<WriteSpec> {
        &self.spec
    }
}

type Columns = Vec<Arc<dyn PhysicalExpr>>;

/// The columns that rows are spread by and those that they are sorted by, as expressions over the input.
pub(super) fn spread_and_order(distribution: &Spread, input: &SchemaRef) -> Result<(Columns, Columns)> {
    let column = |name: &String| Ok(Arc::new(Column::new_with_schema(name, input)?) as _);
    let spread = distribution.spread().iter().map(column).collect::<Result<_>>()?;
    Ok((spread, distribution.order().map(column).collect::<Result<_>>()?))
}

impl DisplayAs for WriteExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteExec: {}", self.spec.name)
    }
}

impl ExecutionPlan for WriteExec {
    fn name(&self) -> &str {
        "WriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![match self.keys.as_slice() {
            [] if self.spec.distribution == Spread::InPlace => Distribution::UnspecifiedDistribution,
            [] => Distribution::SinglePartition,
            keys => Distribution::KeyPartitioned(keys.to_vec()),
        }]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let ascending = |expr: &Arc<dyn PhysicalExpr>| PhysicalSortRequirement::new(Arc::clone(expr), Some(SORT));
        vec![LexRequirement::new(self.order.iter().map(ascending)).map(OrderingRequirements::new)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // The planner chose the number of writers; the optimizer must not add more.
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = exactly("a write", children)?;
        Ok(Arc::new(Self::try_new(input, Arc::clone(&self.spec))?))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let progress = Progress {
            rows: MetricBuilder::new(&self.metrics).counter("rows_written", partition),
            bytes: MetricBuilder::new(&self.metrics).counter("bytes_written", partition),
        };
        let spec = Arc::clone(&self.spec);
        let receipts = futures::stream::once(async move {
            let task = WriteTask::open(&spec, &input.schema(), &context, progress)?;
            let (receipts, groups) = task.run(input).await?;
            Ok(receipt::encode(&receipts, &groups)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(receipt::schema()), receipts.boxed())))
    }
}

/// Counters that Ballista reports while a task runs.
pub(super) struct Progress {
    rows: Count,
    bytes: Count,
}

/// One task's writers.
struct WriteTask {
    route: Option<usize>,
    writers: Vec<(u8, Writer)>,
    groups: Option<GroupCounter>,
    progress: Progress,
}

enum Writer {
    Files(Box<FileSink>),
    Tally { column: usize, sum: i64 },
}

impl WriteTask {
    fn open(spec: &WriteSpec, input: &SchemaRef, context: &TaskContext, progress: Progress) -> Result<Self> {
        let route = spec.route.as_ref().map(|name| input.index_of(name)).transpose()?;
        let open = |output: &Output| -> Result<(u8, Writer)> {
            let writer = match &output.sink {
                Sink::Files(files) => Writer::Files(Box::new(FileSink::open(files, input, context)?)),
                Sink::Tally(column) => Writer::Tally { column: input.index_of(column)?, sum: 0 },
            };
            Ok((output.route, writer))
        };
        let groups = GroupCounter::over(&spec.count_by, input)?;
        Ok(Self { route, writers: spec.outputs.iter().map(open).collect::<Result<_>>()?, groups, progress })
    }

    async fn run(mut self, mut input: SendableRecordBatchStream) -> Result<(Vec<Receipt>, Groups)> {
        while let Some(batch) = input.try_next().await? {
            self.progress.rows.add(batch.num_rows());
            if let Some(groups) = &mut self.groups {
                groups.count(&batch)?;
            }
            match self.route {
                None => self.write(0, &batch).await?,
                Some(column) => self.route(&batch, column).await?,
            }
        }
        let mut receipts = Vec::new();
        for (route, writer) in self.writers {
            match writer {
                Writer::Files(sink) => {
                    for (add, count) in sink.close().await? {
                        self.progress.bytes.add(usize::try_from(add.size).unwrap_or(0));
                        receipts.push(Receipt { route, add: Some(add), count });
                    }
                }
                Writer::Tally { sum, .. } => receipts.push(Receipt { route, add: None, count: sum }),
            }
        }
        Ok((receipts, self.groups.map(GroupCounter::finish).transpose()?.unwrap_or_default()))
    }

    async fn route(&mut self, batch: &RecordBatch, column: usize) -> Result<()> {
        let routes = batch.column(column).as_primitive::<UInt8Type>().clone();
        if let Some(stray) = routes.iter().find(|own| !self.writers.iter().any(|(route, _)| *own == Some(*route))) {
            // A row that is written nowhere would be lost without a trace.
            return Err(DataFusionError::Internal(format!(
                "a row for output {stray:?}, which the write does not have"
            )));
        }
        for index in 0..self.writers.len() {
            let route = self.writers[index].0;
            let chosen: BooleanArray = routes.iter().map(|own| Some(own == Some(route))).collect();
            match chosen.true_count() {
                0 => {}
                all if all == batch.num_rows() => self.write(index, batch).await?,
                _ => self.write(index, &filter_record_batch(batch, &chosen)?).await?,
            }
        }
        Ok(())
    }

    async fn write(&mut self, index: usize, batch: &RecordBatch) -> Result<()> {
        match &mut self.writers[index].1 {
            Writer::Files(sink) => sink.write(batch).await,
            Writer::Tally { column, sum } => {
                let values = batch.column(*column).as_primitive::<Int64Type>();
                *sum += arrow::compute::sum(values).unwrap_or(0);
                Ok(())
            }
        }
    }
}
