//! What every process of the cluster must agree on.
//!
//! Client, scheduler and executors exchange plans. For a plan to mean the same everywhere, all of them need the same
//! codecs (how nodes of `lake` and `sources` travel), the same functions (Ballista sends only their names), the same
//! settings, and object stores that each process opens from its own environment. This crate composes these once, so
//! that the processes cannot drift apart.

mod codec;
mod plan;
mod settings;

use std::sync::Arc;

use ballista_core::optimizer::ballista_default_optimizer_rules;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use quickchat_lake::snapshot::Tables;
use quickchat_lake::stores::ObjectStores;
use quickchat_sources::Connections;

use plan::LakeQueryPlanner;
pub use settings::{GRPC_MESSAGE_BYTES, session_config};

/// Codecs, functions, planner, object stores and live systems of one process. Cheap to clone; clones share what they have opened.
#[derive(Debug, Clone)]
pub struct Engine {
    tables: Tables,
    connections: Connections,
    functions: Arc<Functions>,
}

/// The functions that plans may call.
#[derive(Debug, Default)]
pub struct Functions {
    /// Functions of a row.
    pub scalar: Vec<Arc<datafusion::logical_expr::ScalarUDF>>,
    /// Functions of a group of rows.
    pub aggregate: Vec<Arc<datafusion::logical_expr::AggregateUDF>>,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Engine {
    /// An engine with the functions of the jobs and, for tests, some more.
    pub fn new(more: Vec<Arc<datafusion::logical_expr::ScalarUDF>>) -> Self {
        let mut functions = builtin_functions();
        functions.scalar.extend(more);
        Self {
            tables: Tables::new(ObjectStores::new()),
            connections: Connections::from_environment(),
            functions: Arc::new(functions),
        }
    }

    /// The tables and object stores of this process.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The live systems of this process.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Reads and writes logical plans: Ballista's own codec, and the nodes of this project.
    pub fn logical_codec(&self) -> Arc<dyn LogicalExtensionCodec> {
        Arc::new(codec::LogicalCodec::new(self.tables.clone(), self.connections.clone()))
    }

    /// Reads and writes physical plans: Ballista's own codec, and the nodes of this project.
    pub fn physical_codec(&self) -> Arc<dyn PhysicalExtensionCodec> {
        Arc::new(codec::PhysicalCodec::new(self.connections.clone()))
    }

    /// A runtime whose object stores are this process's, with the given bound on memory, if any.
    pub fn runtime_env(&self, memory: Option<Arc<dyn MemoryPool>>) -> Result<Arc<RuntimeEnv>> {
        let builder = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(self.tables.stores().clone()));
        match memory {
            Some(pool) => builder.with_memory_pool(pool).build_arc(),
            None => builder.build_arc(),
        }
    }

    /// The session in which a scheduler plans, and in which a client builds logical plans.
    pub fn session_state(&self, config: SessionConfig) -> Result<SessionState> {
        let mut state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(self.runtime_env(None)?)
            .with_query_planner(Arc::new(LakeQueryPlanner))
            .with_physical_optimizer_rules(plan::optimizer_rules())
            // Ballista's own on top of DataFusion's: NOT IN over a subquery would otherwise become a join that looks at
            // the nulls of its whole right side, of which a task sees only a part.
            .with_optimizer_rules(ballista_default_optimizer_rules())
            .build();
        self.register_functions(&mut state)?;
        Ok(state)
    }

    /// Registers the functions that plans may call. Ballista replaces a client's function lists when it connects, so
    /// clients call this afterwards.
    pub fn register_functions(&self, registry: &mut dyn FunctionRegistry) -> Result<()> {
        for function in &self.functions.scalar {
            registry.register_udf(Arc::clone(function))?;
        }
        for function in &self.functions.aggregate {
            registry.register_udaf(Arc::clone(function))?;
        }
        Ok(())
    }

    /// The functions, for an executor's registry.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }
}

fn builtin_functions() -> Functions {
    let jobs = quickchat_jobs::functions::all();
    let mut functions = Functions { scalar: jobs.scalar, aggregate: jobs.aggregate };
    functions.scalar.extend(quickchat_lake::operation::functions().into_iter().map(Arc::new));
    functions
}
