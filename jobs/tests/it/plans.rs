//! The plans of all jobs survive the way to a cluster: they are written as bytes and read by a session
//! that shares nothing with the first but the names of functions and tables.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{TableReference, not_impl_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use datafusion_proto::bytes::{
    logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec, physical_plan_from_bytes,
    physical_plan_to_bytes,
};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use quickchat_jobs::{Catalog, Frames, RunParameters, TableName};

use crate::lake::{self, PLAIN, Tables};

/// Sends tables by name: the bytes say nothing, the reader looks the name up in its own session.
struct TablesByName {
    session: SessionContext,
}

impl fmt::Debug for TablesByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TablesByName")
    }
}

impl LogicalExtensionCodec for TablesByName {
    fn try_decode(&self, _bytes: &[u8], _inputs: &[LogicalPlan], _context: &TaskContext) -> Result<Extension> {
        not_impl_err!("no job has an extension node")
    }

    fn try_encode(&self, node: &Extension, _bytes: &mut Vec<u8>) -> Result<()> {
        not_impl_err!("no job has an extension node, but {node:?}")
    }

    fn try_decode_table_provider(
        &self,
        _bytes: &[u8],
        table: &TableReference,
        _schema: SchemaRef,
        _context: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        let catalog = self.session.catalog("datafusion").unwrap();
        let schema = catalog.schema(table.schema().unwrap()).unwrap();
        let found = std::thread::scope(|scope| {
            let lookup = || tokio::runtime::Runtime::new().unwrap().block_on(schema.table(table.table()));
            scope.spawn(lookup).join().unwrap()
        });
        Ok(found?.unwrap())
    }

    fn try_encode_table_provider(
        &self,
        _table: &TableReference,
        _provider: Arc<dyn TableProvider>,
        _bytes: &mut Vec<u8>,
    ) -> Result<()> {
        Ok(())
    }
}

/// The rows of a plan that went as bytes from the client to the scheduler (the logical plan) and from there
/// to an executor (the physical plan).
pub(crate) async fn send(context: &SessionContext, plan: LogicalPlan) -> Vec<RecordBatch> {
    let codec = TablesByName { session: context.clone() };
    let bytes = logical_plan_to_bytes_with_extension_codec(&plan, &codec).unwrap();
    let plan = logical_plan_from_bytes_with_extension_codec(&bytes, &context.task_ctx(), &codec).unwrap();
    let physical = context.state().create_physical_plan(&plan).await.unwrap();
    let bytes = physical_plan_to_bytes(physical).unwrap();
    let physical = physical_plan_from_bytes(&bytes, &context.task_ctx()).unwrap();
    collect(physical, context.task_ctx()).await.unwrap()
}

#[tokio::test]
async fn plans_ask_for_no_clock_and_leave_no_placeholder() {
    let catalog = Catalog::builtin().unwrap();
    let parameters = RunParameters { as_of_micros: 1_768_435_200_000_000, run_id: "run".to_owned() };
    for job in catalog.jobs() {
        let definition = catalog.definition(job).unwrap().to_lowercase();
        for word in ["now()", "current_", "random()", "limit "] {
            assert!(!definition.contains(word), "{} uses {word}", job.name());
        }
        let context = lake::session(&catalog, job, &Tables::new(), PLAIN);
        let plan = lake::plan(&context, job, &parameters).await;
        let shown = context.state().optimize(&plan).unwrap().display_indent().to_string();
        assert!(!shown.contains('$'), "{}: {shown}", job.name());
    }
}

/// What a function declares that it reads is what its plan reads, no more and no less.
#[tokio::test]
async fn jobs_read_what_they_say() {
    let catalog = Catalog::builtin().unwrap();
    let parameters = RunParameters { as_of_micros: 1_768_435_200_000_000, run_id: "run".to_owned() };
    let mut functions = 0;
    for job in catalog.jobs() {
        let context = lake::session(&catalog, job, &Tables::new(), PLAIN);
        let plan = lake::plan(&context, job, &parameters).await;
        let mut scanned = BTreeSet::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let (schema, table) = (scan.table_name.schema().unwrap(), scan.table_name.table());
                scanned.insert(TableName::from_parts(schema, table));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        assert_eq!(scanned.remove(job.name()), job.reads_itself(), "{}", job.name());
        assert_eq!(scanned.into_iter().collect::<Vec<_>>(), job.reads(), "{}", job.name());
        functions += usize::from(job.sql().is_none());
    }
    assert!(functions > 0, "at least one job is a function");
}

#[test]
fn a_function_is_given_no_table_that_it_does_not_declare() {
    let error = Frames::default().table("silver", "users").unwrap_err().to_string();
    assert!(error.contains("silver.users") && error.contains("reads"), "{error}");
}

#[test]
fn a_function_is_shown_as_its_plan() {
    let catalog = Catalog::builtin().unwrap();
    let shown = catalog.definition(catalog.job("silver.conversations").unwrap()).unwrap();
    for part in ["bronze.conversations", "$as_of_date", "AS participant_ids"] {
        assert!(shown.contains(part), "{shown}");
    }
}
