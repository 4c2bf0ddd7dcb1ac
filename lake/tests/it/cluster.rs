//! A cluster of one process: plans as a scheduler does, with every plan encoded and decoded on the way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use datafusion_proto::bytes::{
    logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::logical_plan::{DefaultLogicalExtensionCodec, LogicalExtensionCodec};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use parking_lot::Mutex;
use quickchat_lake::codec;
use quickchat_lake::merge::MergePlanner;
use quickchat_lake::operation::QueryRunner;
use quickchat_lake::snapshot::Tables;
use quickchat_lake::write::WritePlanner;

/// How many tasks the cluster has room for.
pub const SLOTS: usize = 4;

/// A session as client and scheduler have it.
pub fn session(tables: &Tables) -> SessionState {
    session_planned_by(tables, Planner::default())
}

fn session_planned_by(tables: &Tables, planner: Planner) -> SessionState {
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(tables.stores().clone()));
    let config =
        SessionConfig::new().with_target_partitions(SLOTS).set_bool("datafusion.execution.collect_statistics", false);
    let mut state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime.build_arc().unwrap())
        .with_query_planner(Arc::new(planner))
        .build();
    for function in quickchat_lake::operation::functions() {
        state.register_udf(Arc::new(function)).unwrap();
    }
    state
}

#[derive(Debug, Clone, Default)]
struct Planner {
    /// Whether lists are not sent to every task, as in an engine that finds them too large for that.
    refuses_broadcasts: Arc<AtomicBool>,
}

impl Planner {
    fn merges(&self) -> MergePlanner {
        match self.refuses_broadcasts.load(Ordering::Relaxed) {
            true => MergePlanner::without_broadcasts(),
            false => MergePlanner::default(),
        }
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(WritePlanner), Arc::new(self.merges())])
            .create_physical_plan(plan, state)
            .await
    }
}

/// Runs plans in this process and remembers them.
#[derive(Debug)]
pub struct LocalRunner {
    session: SessionState,
    codec: TestCodec,
    planner: Planner,
    ran: Mutex<Vec<(String, Arc<dyn ExecutionPlan>)>>,
}

impl LocalRunner {
    pub fn new(tables: &Tables) -> Self {
        let codec = TestCodec { tables: tables.clone(), kept: Arc::default() };
        let planner = Planner::default();
        Self { session: session_planned_by(tables, planner.clone()), codec, planner, ran: Mutex::default() }
    }

    /// From now on no list is sent to every task.
    pub fn refuse_broadcasts(&self) {
        self.planner.refuses_broadcasts.store(true, Ordering::Relaxed);
    }

    /// The physical plan of a query, as executors would get it.
    pub async fn plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let context = self.session.task_ctx();
        let bytes = logical_plan_to_bytes_with_extension_codec(plan, &self.codec)?;
        let plan = logical_plan_from_bytes_with_extension_codec(&bytes, &context, &self.codec)?;
        let plan = self.session.create_physical_plan(&plan).await?;
        let bytes = physical_plan_to_bytes_with_extension_codec(plan, &self.codec)?;
        physical_plan_from_bytes_with_extension_codec(&bytes, &context, &self.codec)
    }

    /// Labels and physical plans of what was run, in order; forgets them.
    pub fn take_runs(&self) -> Vec<(String, Arc<dyn ExecutionPlan>)> {
        std::mem::take(&mut self.ran.lock())
    }
}

#[async_trait]
impl QueryRunner for LocalRunner {
    async fn run(
        &self,
        plan: LogicalPlan,
        label: &str,
    ) -> std::result::Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
        let plan = self.plan(&plan).await?;
        self.ran.lock().push((label.to_owned(), Arc::clone(&plan)));
        Ok(datafusion::physical_plan::collect(plan, self.session.task_ctx()).await?)
    }
}

/// The crate's codec, and for what tests make up themselves a list in memory.
#[derive(Debug, Clone)]
struct TestCodec {
    tables: Tables,
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    next: AtomicUsize,
    providers: Mutex<HashMap<usize, Arc<dyn TableProvider>>>,
    plans: Mutex<HashMap<usize, Arc<dyn ExecutionPlan>>>,
}

impl Kept {
    fn number(&self, buffer: &mut Vec<u8>) -> usize {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        buffer.extend_from_slice(number.to_string().as_bytes());
        number
    }
}

fn number(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}

fn unexpected<T>(what: &str) -> Result<T> {
    Err(DataFusionError::Internal(format!("no {what} is expected here")))
}

impl LogicalExtensionCodec for TestCodec {
    fn try_decode(&self, bytes: &[u8], inputs: &[LogicalPlan], _context: &TaskContext) -> Result<Extension> {
        codec::decode_logical(bytes, inputs).unwrap_or_else(|| unexpected("other node"))
    }

    fn try_encode(&self, node: &Extension, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.extend(codec::encode_logical(node.node.as_ref()).unwrap_or_else(|| unexpected("other node"))?);
        Ok(())
    }

    fn try_decode_table_provider(
        &self,
        bytes: &[u8],
        _name: &TableReference,
        schema: SchemaRef,
        _context: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        codec::decode_provider(bytes, schema, &self.tables)
            .unwrap_or_else(|| Ok(Arc::clone(&self.kept.providers.lock()[&number(bytes)])))
    }

    fn try_encode_table_provider(
        &self,
        _name: &TableReference,
        provider: Arc<dyn TableProvider>,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        match codec::encode_provider(provider.as_ref()) {
            Some(bytes) => buffer.extend(bytes?),
            None => {
                let number = self.kept.number(buffer);
                self.kept.providers.lock().insert(number, provider);
            }
        }
        Ok(())
    }

    fn try_decode_file_format(&self, bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn FileFormatFactory>> {
        DefaultLogicalExtensionCodec {}.try_decode_file_format(bytes, context)
    }

    fn try_encode_file_format(&self, buffer: &mut Vec<u8>, format: Arc<dyn FileFormatFactory>) -> Result<()> {
        DefaultLogicalExtensionCodec {}.try_encode_file_format(buffer, format)
    }
}

impl PhysicalExtensionCodec for TestCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _context: &TaskContext,
        _converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        codec::decode_physical(bytes, inputs).unwrap_or_else(|| Ok(Arc::clone(&self.kept.plans.lock()[&number(bytes)])))
    }

    fn try_encode(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        buffer: &mut Vec<u8>,
        _converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        match codec::encode_physical(plan.as_ref()) {
            Some(bytes) => buffer.extend(bytes?),
            None => {
                assert!(plan.children().is_empty(), "{} cannot travel", plan.name());
                let number = self.kept.number(buffer);
                self.kept.plans.lock().insert(number, plan);
            }
        }
        Ok(())
    }
}
