//! What keeps the lake fast and small: the catalog's tables, and [`quickchat_lake::maintenance`] applied to them.
//!
//! Never part of a run: a run is to be short and to change what data say, maintenance takes its time and changes
//! nothing. Both may go on at once; see there for what happens when they meet.

use std::sync::Arc;

use quickchat_jobs::Contract;
use quickchat_lake::commit::TransactionId;
use quickchat_lake::maintenance::{
    CheckpointOptions, Checkpointed, OptimizePlan, Optimized, VacuumOptions, Vacuumed, checkpoint, vacuum,
    vacuum_temporary,
};
use quickchat_lake::operation::{CommitNote, Lake, Written};
use quickchat_lake::snapshot::Tables;
use quickchat_lake::{LakeError, LakeRoot, TableUrl};
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::error::RunError;
use crate::run::deletions::target_as_stored;
use crate::run::observer::Observer;
use crate::run::{ClusterRunner, LANDING_FOLDER};

/// Key in `commitInfo` of a version that maintenance made, in place of [`COMMIT_KEY`](crate::run::COMMIT_KEY): such a
/// version says nothing about inputs, so whoever looks for the last version of a job passes it over.
pub const MAINTENANCE_KEY: &str = "quickchatMaintenance";

/// Takes care of the tables of a lake.
#[derive(Debug, Clone)]
pub struct Maintenance {
    root: LakeRoot,
    tables: Tables,
}

impl Maintenance {
    /// Of the lake at `root`.
    pub fn new(root: LakeRoot, tables: Tables) -> Self {
        Self { root, tables }
    }

    /// Whether a table was ever written.
    pub async fn is_written(&self, contract: &Contract) -> Result<bool, RunError> {
        Ok(self.tables.latest(&self.url(contract)).await?.is_some())
    }

    /// What [`Maintenance::optimize`] would do. Reads the table's log only.
    pub async fn plan_optimize(&self, contract: &Contract, file_bytes: u64) -> Result<OptimizePlan, RunError> {
        let url = self.url(contract);
        let pinned = self.tables.latest(&url).await?.ok_or(LakeError::NoTable { table: url.to_string() })?;
        Ok(OptimizePlan::of(&pinned, &clustered(contract), file_bytes))
    }

    /// Makes few files of about `file_bytes` of many small ones, and puts rows in order if the contract names columns
    /// for that.
    pub async fn optimize(
        &self,
        cluster: &Cluster,
        contract: &Contract,
        file_bytes: u64,
        observer: Arc<dyn Observer>,
    ) -> Result<Optimized, RunError> {
        let stored = self.tables.latest(&self.url(contract)).await?;
        let target = target_as_stored(&self.root, contract, stored.as_deref());
        let runner = ClusterRunner::new(cluster.clone(), Some(target.name.clone()), observer);
        let lake =
            Lake::new(self.tables.clone(), cluster.session()?.state(), Arc::new(runner)).with_file_bytes(file_bytes);
        let transaction = TransactionId {
            application: format!("quickchat-etl/optimize/{}", target.name),
            sequence: chrono::Utc::now().timestamp_micros(),
            run: uuid::Uuid::now_v7().to_string(),
        };
        let note = CommitNote { transaction, info: &commit_info };
        Ok(lake.optimize(&target, &clustered(contract), &note).await?)
    }

    /// Deletes, or lists, files of a table that no recent version needs.
    pub async fn vacuum(
        &self,
        contract: &Contract,
        options: &VacuumOptions,
        found: &mut (dyn FnMut(&str, u64) + Send),
    ) -> Result<Vacuumed, RunError> {
        Ok(vacuum(&self.tables, &self.url(contract), options, found).await?)
    }

    /// The same for what runs that died have left of their temporary files.
    pub async fn vacuum_landing(
        &self,
        options: &VacuumOptions,
        found: &mut (dyn FnMut(&str, u64) + Send),
    ) -> Result<Vacuumed, RunError> {
        Ok(vacuum_temporary(&self.tables, &self.root.folder(LANDING_FOLDER), options, found).await?)
    }

    /// Sums up a table's log, and drops entries that have expired.
    pub async fn checkpoint(&self, contract: &Contract, options: &CheckpointOptions) -> Result<Checkpointed, RunError> {
        Ok(checkpoint(&self.tables, &self.url(contract), options).await?)
    }

    fn url(&self, contract: &Contract) -> TableUrl {
        self.root.table(contract.table.schema(), contract.table.table())
    }
}

fn clustered(contract: &Contract) -> Vec<String> {
    contract.clustered().into_iter().map(str::to_owned).collect()
}

fn commit_info(_: &Written) -> Map<String, Value> {
    let note = json!({"program": env!("CARGO_PKG_VERSION")});
    Map::from_iter([(MAINTENANCE_KEY.to_owned(), note)])
}
