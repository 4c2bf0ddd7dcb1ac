//! Inputs: tables pinned at one version, under the names that queries use.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::future::join_all;
use quickchat_jobs::{Job, TableName};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::snapshot::PinnedTable;

use super::Run;
use super::basis::{Basis, InputVersion};
use super::target::target;
use crate::error::RunError;

/// The pinned tables that a job reads.
pub(super) struct Inputs {
    tables: Vec<Input>,
    /// The job's own table as it was, if its query looks at it.
    itself: Option<DeltaScan>,
}

/// A pinned table under its name.
pub(super) struct Input {
    pub(super) name: TableName,
    pub(super) pinned: Arc<PinnedTable>,
}

impl Inputs {
    /// Pins every table that `job` reads.
    pub(super) async fn pin(run: &Run, job: &Job) -> Result<Self, RunError> {
        let names = job.reads().iter().filter(|name| !name.is_source());
        let pinned = join_all(names.map(async |name| {
            let url = run.root.table(name.schema(), name.table());
            let pinned = run.pinned(&url).await?.ok_or_else(|| RunError::MissingInput {
                job: job.name().to_string(),
                table: name.to_string(),
                lake: run.root.to_string(),
            })?;
            Ok(Input { name: name.clone(), pinned })
        }))
        .await;
        // Of several that are missing always the same one is told.
        let tables = pinned.into_iter().collect::<Result<Vec<_>, RunError>>()?;
        let itself = match job.reads_itself() {
            true => Some(itself(run, job).await?),
            false => None,
        };
        let versions = tables.iter().map(|input| (input.name.to_string(), input.pinned.version)).collect();
        run.observer.job_pinned(&job.name().to_string(), &versions);
        Ok(Self { tables, itself })
    }

    /// The tables.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Input> {
        self.tables.iter()
    }

    /// Looks anew at those of which the job's table was computed from another version that is no earlier one: by another
    /// run, after this one had looked. Says whether they are others now.
    pub(super) async fn look_behind(&self, run: &Run, basis: &Basis) -> Result<bool, RunError> {
        let mut is_behind = false;
        for Input { name, pinned } in &self.tables {
            let Some(known) = basis.inputs.get(&name.to_string()) else { continue };
            let is_earlier = known.id == pinned.metadata.id() && known.version < pinned.version;
            if is_earlier || known.is(pinned) {
                continue;
            }
            let newest = run.pins.look(run.lake.tables(), &pinned.url).await?;
            is_behind |= newest.is_none_or(|newest| !InputVersion::of(pinned).is(&newest));
        }
        Ok(is_behind)
    }

    /// The table of that name.
    pub(super) fn get(&self, name: &TableName) -> Option<&Input> {
        self.tables.iter().find(|input| input.name == *name)
    }

    /// Their versions, without what is known of their future.
    pub(super) fn versions(&self) -> BTreeMap<String, InputVersion> {
        self.tables.iter().map(|input| (input.name.to_string(), InputVersion::of(&input.pinned))).collect()
    }

    /// A session in which the inputs are visible.
    pub(super) fn session(&self, run: &Run, job: &Job) -> Result<SessionContext, RunError> {
        let context = run.cluster.session()?;
        let tables = run.lake.tables();
        let inputs = self.tables.iter().map(|input| (&input.name, DeltaScan::of(tables, &input.pinned)));
        for (name, scan) in inputs.chain(self.itself.iter().map(|scan| (job.name(), scan.clone()))) {
            register(&context, name, Arc::new(scan)).map_err(plan_error(job))?;
        }
        Ok(context)
    }

    /// Plans a job's query over these inputs.
    pub(super) async fn plan(&self, run: &Run, job: &Job) -> Result<LogicalPlan, RunError> {
        job.plan(&self.session(run, job)?, &run.parameters).await.map_err(plan_error(job))
    }
}

/// The job's own table, without rows if it was never written.
async fn itself(run: &Run, job: &Job) -> Result<DeltaScan, RunError> {
    let target = target(&run.root, job.contract());
    let tables = run.lake.tables();
    Ok(match run.pinned(&target.url).await? {
        Some(pinned) => DeltaScan::of(tables, &pinned),
        None => DeltaScan::files(tables, target.url, Vec::new(), target.schema),
    })
}

/// Plans a job's query over what was landed of its source.
pub(super) async fn plan_landed(run: &Run, job: &Job, landing: DeltaScan) -> Result<LogicalPlan, RunError> {
    let context = run.cluster.session()?;
    let source = job.source().ok_or_else(|| RunError::Definition { job: job.name().to_string() })?;
    register(&context, source, Arc::new(landing)).map_err(plan_error(job))?;
    job.plan(&context, &run.parameters).await.map_err(plan_error(job))
}

/// Names the job whose query cannot be planned.
pub(super) fn plan_error(job: &Job) -> impl Fn(DataFusionError) -> RunError {
    let job = job.name().to_string();
    move |source| RunError::Plan { job: job.clone(), source: Box::new(source) }
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
