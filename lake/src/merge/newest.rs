//! The newest row of each key.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexRequirement, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
    PhysicalSortRequirement,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::inputs::exactly;

/// What makes a row newer than another one: the part of [`Newest`] and [`NewestExec`] that travels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) keys: Vec<String>,
    /// The greater is newer; the first column that differs decides, and null is older than everything.
    pub(crate) newest: Vec<String>,
    /// Name of the column that says whether a row is not the newest of its key.
    pub(crate) mark: String,
}

impl Order {
    fn schema(&self, input: &Schema) -> SchemaRef {
        let mut fields = input.fields().to_vec();
        fields.push(Arc::new(Field::new(&self.mark, DataType::Boolean, false)));
        Arc::new(Schema::new(fields))
    }

    /// The columns by which rows must be sorted: key by key, the newest first.
    pub(super) fn sort(&self, input: &Schema) -> Result<Vec<PhysicalSortExpr>> {
        let ascending = SortOptions { descending: false, nulls_first: true };
        let newest_first = SortOptions { descending: true, nulls_first: false };
        let keys = self.keys.iter().map(|name| (name, ascending));
        let by = |(name, options): (&String, SortOptions)| {
            Ok(PhysicalSortExpr { expr: Arc::new(Column::new_with_schema(name, input)?), options })
        };
        keys.chain(self.newest.iter().map(|name| (name, newest_first))).map(by).collect()
    }

    /// The columns of which equal values must meet.
    pub(super) fn spread(&self, input: &Schema) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        let column = |name: &String| Ok(Arc::new(Column::new_with_schema(name, input)?) as _);
        self.keys.iter().map(column).collect()
    }
}

/// Adds a column to rows that says whether there is a newer one of the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Newest {
    input: LogicalPlan,
    order: Order,
    schema: DFSchemaRef,
}

impl Newest {
    /// Among the rows of `input` with equal `keys` the one is the newest that is greatest in the columns `newest`, which
    /// together must differ within a key. All others have true in the new column `mark`.
    pub fn try_new(input: LogicalPlan, keys: Vec<String>, newest: Vec<String>, mark: &str) -> Result<Self> {
        Self::from_order(input, Order { keys, newest, mark: mark.to_owned() })
    }

    pub(crate) fn from_order(input: LogicalPlan, order: Order) -> Result<Self> {
        let schema = Arc::new(DFSchema::try_from(order.schema(input.schema().as_arrow()).as_ref().clone())?);
        Ok(Self { input, order, schema })
    }

    /// The node as a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    pub(crate) fn order(&self) -> &Order {
        &self.order
    }
}

impl PartialOrd for Newest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for Newest {
    fn name(&self) -> &str {
        "Newest"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Newest: of {:?} by {:?}", self.order.keys, self.order.newest)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let [input] = exactly("Newest", inputs)?;
        Self::from_order(input, self.order.clone())
    }
}

/// Marks rows that follow another one of the same key, in an input that is sorted by key and has the newest first.
#[derive(Debug)]
pub struct NewestExec {
    input: Arc<dyn ExecutionPlan>,
    order: Order,
    schema: SchemaRef,
    spread: Vec<Arc<dyn PhysicalExpr>>,
    sort: Vec<PhysicalSortExpr>,
    properties: Arc<PlanProperties>,
}

impl NewestExec {
    pub(crate) fn try_new(input: Arc<dyn ExecutionPlan>, order: Order) -> Result<Self> {
        let schema = order.schema(&input.schema());
        let (spread, sort) = (order.spread(&input.schema())?, order.sort(&input.schema())?);
        // The new column is the last one, so what is known of the others by their places stays true.
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), [sort.clone()]),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { input, order, schema, spread, sort, properties: Arc::new(properties) })
    }

    pub(crate) fn order(&self) -> &Order {
        &self.order
    }
}

impl DisplayAs for NewestExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewestExec: of [{}] by [{}]", self.order.keys.join(", "), self.order.newest.join(", "))
    }
}

impl ExecutionPlan for NewestExec {
    fn name(&self) -> &str {
        "NewestExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::KeyPartitioned(self.spread.clone())]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let sorted = self.sort.iter().cloned().map(PhysicalSortRequirement::from);
        vec![LexRequirement::new(sorted).map(OrderingRequirements::new)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = exactly("NewestExec", children)?;
        Ok(Arc::new(Self::try_new(input, self.order.clone())?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let mut marker = Marker::new(&self.order.keys, Arc::clone(&self.schema), &input.schema())?;
        let marked = input.and_then(move |batch| std::future::ready(marker.mark(&batch)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), marked)))
    }
}

/// Compares each row's key with that of the row before it.
struct Marker {
    keys: Vec<usize>,
    converter: RowConverter,
    last: Option<OwnedRow>,
    schema: SchemaRef,
}

impl Marker {
    fn new(keys: &[String], schema: SchemaRef, input: &SchemaRef) -> Result<Self> {
        let keys = keys.iter().map(|name| input.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let fields = keys.iter().map(|index| SortField::new(input.field(*index).data_type().clone())).collect();
        Ok(Self { keys, converter: RowConverter::new(fields)?, last: None, schema })
    }

    fn mark(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        let keys = self.converter.convert_columns(&keys)?;
        let follows = |row: usize| match row.checked_sub(1) {
            Some(before) => keys.row(before) == keys.row(row),
            None => self.last.as_ref().is_some_and(|last| last.row() == keys.row(row)),
        };
        let marks: BooleanArray = (0..batch.num_rows()).map(|row| Some(follows(row))).collect();
        if let Some(last) = batch.num_rows().checked_sub(1) {
            self.last = Some(keys.row(last).owned());
        }
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(marks));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray};

    use super::*;

    #[test]
    fn rows_after_one_of_the_same_key_are_marked_across_batches() {
        let input = Arc::new(Schema::new(vec![
            Field::new("key", DataType::Utf8, true),
            Field::new("part", DataType::Int64, false),
        ]));
        let order = Order { keys: vec!["key".to_owned(), "part".to_owned()], newest: vec![], mark: "old".to_owned() };
        let mut marker = Marker::new(&order.keys, order.schema(&input), &input).unwrap();
        let mut marks = |keys: Vec<Option<&str>>, parts: Vec<i64>| -> Vec<bool> {
            let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(keys)), Arc::new(Int64Array::from(parts))];
            let batch = RecordBatch::try_new(Arc::clone(&input), columns).unwrap();
            let marked = marker.mark(&batch).unwrap();
            marked.column(2).as_boolean().iter().flatten().collect()
        };
        assert_eq!(marks(vec![None, None, Some("a")], vec![1, 1, 1]), [false, true, false]);
        assert_eq!(marks(vec![Some("a"), Some("a"), Some("b")], vec![1, 2, 2]), [true, false, false]);
        assert_eq!(marks(vec![], vec![]), [] as [bool; 0]);
        assert_eq!(marks(vec![Some("b"), Some("b")], vec![2, 2]), [true, true]);
    }
}
