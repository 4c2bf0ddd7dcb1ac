//! Inputs: tables pinned at one version, under the names that queries use.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use quickchat_jobs::{Job, TableName};
use quickchat_lake::scan::DeltaScan;
use serde_json::{Map, Value, json};

use super::Run;
use crate::error::RunError;

/// The pinned tables that a job reads.
pub(super) struct Inputs {
    tables: Vec<(TableName, Arc<dyn TableProvider>)>,
    /// Which version of each table, for the commit.
    pub(super) versions: Map<String, Value>,
}

impl Inputs {
    /// Pins the newest version of every table that `job` reads.
    pub(super) async fn pin(run: &Run, job: &Job) -> Result<Self, RunError> {
        let mut inputs = Self { tables: Vec::new(), versions: Map::new() };
        let mut pinned_versions = BTreeMap::new();
        for name in job.reads().iter().filter(|name| !name.is_source()) {
            let url = run.root.table(name.schema(), name.table());
            let pinned = run.lake.tables().latest(&url).await?.ok_or_else(|| RunError::MissingInput {
                job: job.name().to_string(),
                table: name.to_string(),
                lake: run.root.to_string(),
            })?;
            inputs.versions.insert(name.to_string(), json!({"id": pinned.metadata.id(), "version": pinned.version}));
            inputs.tables.push((name.clone(), Arc::new(DeltaScan::of(run.lake.tables(), &pinned))));
            pinned_versions.insert(name.to_string(), pinned.version);
        }
        run.observer.job_pinned(&job.name().to_string(), &pinned_versions);
        Ok(inputs)
    }

    /// Inputs that are no table of the lake, such as what a source was landed as.
    pub(super) fn landed(name: &TableName, landing: DeltaScan) -> Self {
        Self { tables: vec![(name.clone(), Arc::new(landing))], versions: Map::new() }
    }

    /// Plans a job's query over these inputs.
    pub(super) async fn plan(&self, run: &Run, job: &Job) -> Result<LogicalPlan, RunError> {
        let failed = |source: DataFusionError| RunError::Plan { job: job.name().to_string(), source: Box::new(source) };
        let context = run.cluster.session()?;
        for (name, provider) in &self.tables {
            register(&context, name, Arc::clone(provider)).map_err(failed)?;
        }
        job.plan(&context, &run.parameters).await.map_err(failed)
    }
}

/// Makes a table visible as `layer.table`.
pub(crate) fn register(
    context: &SessionContext,
    name: &TableName,
    provider: Arc<dyn TableProvider>,
) -> Result<(), DataFusionError> {
    let catalog_name = context.state().config_options().catalog.default_catalog.clone();
    let catalog = context
        .catalog(&catalog_name)
        .ok_or_else(|| DataFusionError::Internal(format!("the session has no catalog {catalog_name}")))?;
    if catalog.schema(name.schema()).is_none() {
        catalog.register_schema(name.schema(), Arc::new(MemorySchemaProvider::new()))?;
    }
    if let Some(schema) = catalog.schema(name.schema()) {
        schema.register_table(name.table().to_owned(), provider)?;
    }
    Ok(())
}
