//! `bronze.messages` in a lake of its own, on an embedded cluster: what the benchmarks of the lake work on.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use clap::Args;
use datafusion::logical_expr::LogicalPlan;
use quickchat_client::Sources;
use quickchat_client::cluster::{Cluster, EmbeddedOptions};
use quickchat_client::run::observer::Silent;
use quickchat_client::run::report::{JobReport, JobState};
use quickchat_client::run::{Run, RunOptions};
use quickchat_jobs::{Catalog, Contract};
use quickchat_lake::operation::{Lake, QueryRunner, Target};
use quickchat_lake::snapshot::PinnedTable;
use quickchat_lake::{LakeRoot, TableUrl};
use quickchat_sample::{DEFAULT_END, SampleOptions};
use quickchat_sources::ExportFolder;
use serde::Serialize;
use tempfile::TempDir;

use crate::data::{DataOptions, Exports};

/// The job that is run and the table that it writes.
const TABLE: &str = "bronze.messages";

/// What the benchmarks of one table have in common.
#[derive(Debug, Clone, Args, Serialize)]
pub struct MessagesOptions {
    /// Messages of the sample, and rows of the table
    #[arg(long, default_value_t = 500_000)]
    pub messages: u64,
    /// Measured rounds; one more comes before them and is not counted
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// Tasks at a time [default: the number of cores]
    #[arg(long)]
    pub slots: Option<usize>,
    #[command(flatten)]
    data: DataOptions,
}

impl MessagesOptions {
    /// A sample of that many messages, all good.
    pub fn exports(&self) -> Result<Exports> {
        self.data.exports(&SampleOptions { messages: self.messages, bad_share: 0.0, ..SampleOptions::default() })
    }

    /// An empty folder that is removed with the value.
    pub fn scratch(&self) -> Result<TempDir> {
        self.data.scratch()
    }
}

/// A lake with that table, and the cluster that writes it.
pub struct MessagesLake {
    cluster: Cluster,
    root: LakeRoot,
    catalog: Catalog,
}

impl MessagesLake {
    /// Starts a cluster of `slots` (absent: as many as cores) for the lake in `folder`.
    pub async fn start(folder: &Path, slots: Option<usize>) -> Result<Self> {
        let defaults = EmbeddedOptions::default();
        let options = EmbeddedOptions { slots: slots.unwrap_or(defaults.slots), ..defaults };
        Ok(Self {
            cluster: Cluster::embedded(options).await?,
            root: LakeRoot::parse(&folder.join("lake").to_string_lossy())?,
            catalog: Catalog::builtin()?,
        })
    }

    /// Runs the job on an export folder.
    pub async fn ingest(&self, exports: &Path) -> Result<JobReport> {
        let sources = Sources::exports(ExportFolder::open(&exports.to_string_lossy()).await?);
        let options = RunOptions {
            as_of_micros: DEFAULT_END.timestamp_micros(),
            parallel: 1,
            full_refresh: false,
            detect_deletions: false,
        };
        let catalog = self.catalog.clone();
        let run = Run::new(self.cluster.clone(), catalog, self.root.clone(), sources, &options, Arc::new(Silent))?;
        let report = run.execute(&self.catalog.select(&[TABLE])?).await;
        let Some(job) = report.jobs.into_iter().next() else { bail!("no job was run") };
        match &job.state {
            JobState::Failed { error, .. } => bail!("{TABLE} failed: {error}"),
            JobState::Skipped { because } => bail!("{TABLE} was skipped because of {because}"),
            JobState::Changed | JobState::Unchanged => Ok(job),
        }
    }

    /// The newest version of the table.
    pub async fn pinned(&self) -> Result<Arc<PinnedTable>> {
        let name = &self.contract()?.table;
        let url = self.root.table(name.schema(), name.table());
        let pinned = self.cluster.engine().tables().latest(&url).await?;
        pinned.with_context(|| format!("{url} was not written"))
    }

    /// Operations on tables of this lake.
    pub fn operations(&self) -> Result<Lake> {
        let tables = self.cluster.engine().tables().clone();
        let runner = Arc::new(Runner(self.cluster.clone()));
        Ok(Lake::new(tables, self.cluster.session()?.state(), runner))
    }

    /// The address of a folder of this lake.
    #[must_use]
    pub fn folder(&self, name: &str) -> TableUrl {
        self.root.folder(name)
    }

    /// A table at another address with the columns, the partitions and the statistics of `bronze.messages`.
    pub fn twin(&self, url: TableUrl) -> Result<Target> {
        let contract = self.contract()?;
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let mut statistics = owned(contract.key());
        statistics.extend(["conversation_id", "sender_id", "created_at", "updated_at"].map(str::to_owned));
        Ok(Target {
            name: url.to_string(),
            url,
            schema: contract.arrow_schema(),
            partition_columns: owned(contract.partition().into_iter().collect()),
            key: owned(contract.key()),
            metadata_columns: owned(contract.metadata_columns()),
            statistics_columns: statistics,
        })
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Stops the cluster.
    pub async fn stop(self) {
        self.cluster.stop().await;
    }

    fn contract(&self) -> Result<&Contract> {
        let job = self.catalog.job(TABLE);
        job.map(quickchat_jobs::Job::contract).ok_or_else(|| anyhow!("the catalog has no {TABLE}"))
    }
}

/// Runs the lake's queries on the cluster.
struct Runner(Cluster);

#[async_trait]
impl QueryRunner for Runner {
    async fn run(
        &self,
        plan: LogicalPlan,
        label: &str,
    ) -> std::result::Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.submit(&plan, label).await?.collect().await?)
    }
}
