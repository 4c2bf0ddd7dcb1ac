//! A lake in memory: tables of given rows, and jobs run on them in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use quickchat_jobs::{Catalog, Job, RunParameters, TableName, functions};

/// How the same rows are laid out and read; no result may depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Partitions of every table, and of every exchange.
    pub(crate) partitions: usize,
    /// Whether rows come in the opposite order.
    pub(crate) is_reversed: bool,
    /// Whether aggregates pass rows on to their last step without grouping them before.
    pub(crate) skips_partial_aggregation: bool,
}

/// One partition, rows as given.
pub(crate) const PLAIN: Layout = Layout { partitions: 1, is_reversed: false, skips_partial_aggregation: false };

/// Rows of tables by name; a table that is not in it is empty.
pub(crate) type Tables = BTreeMap<TableName, RecordBatch>;

/// The schema under which a job reads a table.
pub(crate) fn schema_of(catalog: &Catalog, reader: &Job, table: &TableName) -> SchemaRef {
    if table.is_source() {
        return reader.source_schema().unwrap();
    }
    catalog.job(&table.to_string()).unwrap_or_else(|| panic!("no job writes {table}")).contract().arrow_schema()
}

/// A session with our functions and the tables that `job` reads.
pub(crate) fn session(catalog: &Catalog, job: &Job, tables: &Tables, layout: Layout) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(layout.partitions).with_batch_size(3);
    if layout.skips_partial_aggregation {
        config = config
            .set_usize("datafusion.execution.skip_partial_aggregation_probe_rows_threshold", 1)
            .set_str("datafusion.execution.skip_partial_aggregation_probe_ratio_threshold", "0.0");
    }
    let mut context = SessionContext::new_with_config(config);
    functions::all().register(&mut context).unwrap();
    let default = context.catalog("datafusion").unwrap();
    for table in job.reads().iter().chain(job.reads_itself().then(|| job.name())) {
        let schema = schema_of(catalog, job, table);
        let rows = tables.get(table).cloned().unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&schema)));
        let provider = MemTable::try_new(schema, partitions_of(&rows, layout)).unwrap();
        if default.schema(table.schema()).is_none() {
            let new: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
            default.register_schema(table.schema(), new).unwrap();
        }
        let in_schema = default.schema(table.schema()).unwrap();
        in_schema.register_table(table.table().to_owned(), Arc::new(provider)).unwrap();
    }
    context
}

/// Deals the rows out to partitions, one a batch, so that neighbours are apart.
fn partitions_of(rows: &RecordBatch, layout: Layout) -> Vec<Vec<RecordBatch>> {
    let mut partitions = vec![Vec::new(); layout.partitions];
    for index in 0..rows.num_rows() {
        let row = if layout.is_reversed { rows.num_rows() - 1 - index } else { index };
        partitions[index % layout.partitions].push(rows.slice(row, 1));
    }
    partitions
}

/// The plan of a job with the parameters bound.
pub(crate) async fn plan(context: &SessionContext, job: &Job, parameters: &RunParameters) -> LogicalPlan {
    job.plan(context, parameters).await.unwrap_or_else(|error| panic!("{}: {error}", job.name()))
}

/// The rows of a plan.
pub(crate) async fn collect(context: &SessionContext, plan: LogicalPlan) -> Vec<RecordBatch> {
    let shown = plan.display_indent().to_string();
    let frame = context.execute_logical_plan(plan).await.unwrap_or_else(|error| panic!("{error}\n{shown}"));
    frame.collect().await.unwrap_or_else(|error| panic!("{error}\n{shown}"))
}

/// The batches under the contract's schema. Types must be the contract's already; what may differ is which
/// nested parts the engine believes to be nullable and what it calls them.
pub(crate) fn under_contract(job: &Job, batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let schema = job.contract().arrow_schema();
    batches
        .iter()
        .map(|batch| {
            let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
            let expected: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
            assert_eq!(names, expected, "columns of {}", job.name());
            let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
                let (given, wanted) = (shape(column.data_type()), shape(field.data_type()));
                assert_eq!(given, wanted, "type of {}.{}", job.name(), field.name());
                cast(column, field.data_type()).unwrap()
            });
            RecordBatch::try_new(Arc::clone(&schema), columns.collect())
                .unwrap_or_else(|error| panic!("{}: {error}", job.name()))
        })
        .collect()
}

/// A type without the names of list and map parts and without what may be null.
fn shape(data_type: &DataType) -> String {
    match data_type {
        DataType::List(element) => format!("list<{}>", shape(element.data_type())),
        DataType::Map(entries, _) => format!("map<{}>", shape(entries.data_type())),
        DataType::Struct(fields) => {
            fields.iter().map(|field| format!("{}: {};", field.name(), shape(field.data_type()))).collect()
        }
        other => other.to_string(),
    }
}
