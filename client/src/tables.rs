//! The lake as it stands: which tables there are, what is in them, and SQL over them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::ViewTable;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use quickchat_jobs::{Catalog, Contract, TableName, View, quarantine_contract, runs_contract};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::snapshot::{PinnedTable, Tables};
use quickchat_lake::{LakeError, LakeRoot};
use serde::Serialize;

use crate::cluster::{Cluster, ClusterError};
use crate::run::register;
use crate::time_travel::{self, Version};

/// Answers questions about a lake.
#[derive(Debug, Clone)]
pub struct LakeView {
    root: LakeRoot,
    tables: Tables,
    contracts: Vec<Contract>,
    views: Vec<View>,
}

/// A question about the lake that could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// No table or layer of this name can be in the lake.
    #[error("there is no table {name:?}{}; `quickchat-etl tables list` shows all", suggestion(nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The most similar names.
        nearest: Vec<String>,
    },
    /// A table's version is not written as one.
    #[error(
        "{text:?} is no version of table {table}; write {table}@v12, {table}@2026-01-31 or {table}@2026-01-31T13:00:00Z"
    )]
    Version {
        /// The table.
        table: String,
        /// What stands behind the `@`.
        text: String,
    },
    /// A view has no versions of its own.
    #[error("{name} is a view and has no versions; ask for those of {reads}")]
    NoVersions {
        /// The view.
        name: String,
        /// The tables that it reads.
        reads: String,
    },
    /// The query is not one that may be asked.
    #[error("the query cannot be run: {0}; one SELECT over tables named layer.table is possible")]
    Query(DataFusionError),
}

fn no_versions(view: &View) -> ViewError {
    ViewError::NoVersions { name: view.name().to_string(), reads: names(view.reads()) }
}

fn suggestion(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!(", did you mean {}?", nearest.join(" or ")) }
}

fn names(tables: &[TableName]) -> String {
    tables.iter().map(TableName::to_string).collect::<Vec<_>>().join(" and ")
}

/// Whether queries in this session see a table of this name.
fn is_visible(context: &SessionContext, table: &TableName) -> bool {
    let name = context.state().config_options().catalog.default_catalog.clone();
    let schema = context.catalog(&name).and_then(|catalog| catalog.schema(table.schema()));
    schema.is_some_and(|schema| schema.table_exist(table.table()))
}

/// A table or view in a list.
#[derive(Debug, Clone, Serialize)]
pub struct TableSummary {
    /// `layer.table`.
    pub table: String,
    /// `table`, or `view` for a query that is run when it is read and has no files.
    pub kind: &'static str,
    /// Newest version; null if the table was never written, and for a view.
    pub version: Option<u64>,
    /// Data files of that version.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Rows, as far as the log knows.
    pub rows: Option<u64>,
    /// What the table holds.
    pub summary: &'static str,
}

/// A version of a table.
#[derive(Debug, Clone, Serialize)]
pub struct TableVersion {
    /// The version.
    pub version: u64,
    /// When it was committed.
    pub committed_at: Option<DateTime<Utc>>,
    /// What was done.
    pub operation: String,
    /// The run that did it.
    pub run_id: Option<String>,
    /// Files that it added.
    pub files_added: u64,
    /// Their size.
    pub bytes_added: u64,
    /// Files that it removed.
    pub files_removed: u64,
    /// Their size.
    pub bytes_removed: u64,
    /// Whether rows are different after it; not so after maintenance.
    pub changes_data: bool,
    /// What the run noted about it.
    pub note: serde_json::Value,
}

impl LakeView {
    /// A view of the lake at `root`.
    pub fn new(root: LakeRoot, tables: Tables, catalog: &Catalog) -> Self {
        let jobs = catalog.jobs().iter().map(|job| job.contract().clone());
        let quarantines = catalog
            .jobs()
            .iter()
            .filter(|job| job.source().is_some())
            .filter_map(|job| quarantine_contract(job.name().table()));
        let contracts = jobs.chain(quarantines).chain([runs_contract()]).collect();
        Self { root, tables, contracts, views: catalog.views().to_vec() }
    }

    /// The contracts of all tables, written or not, without views.
    pub fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    /// The contract of one table or view.
    pub fn contract(&self, name: &str) -> Result<&Contract, ViewError> {
        let views = self.views.iter().map(View::contract);
        let mut all = self.contracts.iter().chain(views);
        all.find(|contract| contract.table.to_string() == name).ok_or_else(|| self.unknown(name))
    }

    /// The view of this name.
    pub fn view(&self, name: &TableName) -> Option<&View> {
        self.views.iter().find(|view| view.name() == name)
    }

    /// The newest version of a table, if it was ever written; none for a view.
    pub async fn newest(&self, name: &TableName) -> Result<Option<Arc<PinnedTable>>, ViewError> {
        Ok(self.tables.latest(&self.root.table(name.schema(), name.table())).await?)
    }

    /// All tables with their sizes.
    pub async fn list(&self) -> Result<Vec<TableSummary>, ViewError> {
        let mut list = Vec::new();
        for contract in &self.contracts {
            let pinned = self.newest(&contract.table).await?;
            list.push(TableSummary {
                table: contract.table.to_string(),
                kind: "table",
                version: pinned.as_ref().map(|pinned| pinned.version),
                files: pinned.as_ref().map_or(0, |pinned| pinned.files.len() as u64),
                bytes: pinned.as_ref().map_or(0, |pinned| pinned.bytes()),
                rows: pinned.as_ref().and_then(|pinned| pinned.rows()),
                summary: contract.summary,
            });
        }
        list.extend(self.views.iter().map(|view| TableSummary {
            table: view.name().to_string(),
            kind: "view",
            version: None,
            files: 0,
            bytes: 0,
            rows: None,
            summary: view.contract().summary,
        }));
        Ok(list)
    }

    /// The last `limit` versions of a table, newest first.
    pub async fn history(&self, name: &str, limit: usize) -> Result<Vec<TableVersion>, ViewError> {
        let contract = self.contract(name)?;
        if let Some(view) = self.view(&contract.table) {
            return Err(no_versions(view));
        }
        let url = self.root.table(contract.table.schema(), contract.table.table());
        let newest = self.newest(&contract.table).await?.ok_or(LakeError::NoTable { table: url.to_string() })?;
        let mut versions = Vec::new();
        for version in (0..=newest.version).rev().take(limit) {
            // The log is shortened from its beginning.
            let Some(commit) = self.tables.entry(&url, version).await? else { break };
            let info = &commit.info;
            let text = |key: &str| info.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
            versions.push(TableVersion {
                version,
                committed_at: info
                    .get("timestamp")
                    .and_then(serde_json::Value::as_i64)
                    .and_then(DateTime::from_timestamp_millis),
                operation: text("operation").unwrap_or_default(),
                run_id: text(quickchat_lake::commit::RUN_KEY),
                files_added: commit.added.count,
                bytes_added: commit.added.bytes,
                files_removed: commit.removed.count,
                bytes_removed: commit.removed.bytes,
                changes_data: !commit.changes.is_empty(),
                note: info.get(crate::run::COMMIT_KEY).cloned().unwrap_or_default(),
            });
        }
        Ok(versions)
    }

    /// A session in which all tables of a layer that were ever written can be queried, each as `layer.table` and at
    /// the version that is the newest now, and the views of such tables. Its SQL and data frames give plans for [`Cluster::submit`].
    pub async fn session(&self, cluster: &Cluster, layer: &str) -> Result<SessionContext, ViewError> {
        let context = cluster.session()?;
        let mut contracts = self.contracts.iter().filter(|contract| contract.table.schema() == layer).peekable();
        if contracts.peek().is_none() {
            return Err(self.unknown(layer));
        }
        for contract in contracts {
            if let Some(pinned) = self.newest(&contract.table).await? {
                register(&context, &contract.table, Arc::new(DeltaScan::of(&self.tables, &pinned)))
                    .map_err(ViewError::Query)?;
            }
        }
        for view in self.views.iter().filter(|view| view.name().schema() == layer) {
            match self.register_view(&context, view).await {
                Ok(()) | Err(ViewError::Lake(LakeError::NoTable { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(context)
    }

    /// Runs one SELECT over the tables that it names, at their newest versions or at those that it asks for by
    /// `layer.table@v12` or `layer.table@2026-01-31`.
    pub async fn sql(&self, cluster: &Cluster, query: &str) -> Result<Vec<RecordBatch>, ViewError> {
        let plan = self.plan(cluster, query).await?;
        Ok(cluster.submit(&plan, "sql").await?.collect().await?)
    }

    pub(crate) async fn plan(&self, cluster: &Cluster, query: &str) -> Result<LogicalPlan, ViewError> {
        let context = cluster.session()?;
        let state = context.state();
        let dialect = state.config_options().sql_parser.dialect;
        let query = time_travel::quote_versions(query);
        let statement = state.sql_to_statement(&query, &dialect).map_err(ViewError::Query)?;
        for reference in state.resolve_table_references(&statement).map_err(ViewError::Query)? {
            let schema = reference.schema().unwrap_or_default();
            let (table, version) = match time_travel::split(reference.table()) {
                Ok(found) => found,
                Err(text) => {
                    let table = reference.table().split('@').next().unwrap_or_default();
                    return Err(ViewError::Version { table: format!("{schema}.{table}"), text });
                }
            };
            let contract = self.contract(&format!("{schema}.{table}"))?;
            match (self.view(&contract.table), version) {
                (Some(view), None) => self.register_view(&context, view).await?,
                (Some(view), Some(_)) => return Err(no_versions(view)),
                (None, None) => self.register_newest(&context, &contract.table).await?,
                (None, Some(version)) => {
                    let pinned = self.pin(contract, version).await?;
                    let name = TableName::from_parts(schema, reference.table());
                    register(&context, &name, Arc::new(DeltaScan::of(&self.tables, &pinned)))
                        .map_err(ViewError::Query)?;
                }
            }
        }
        let plan = state.statement_to_plan(statement).await.map_err(ViewError::Query)?;
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        read_only.verify_plan(&plan).map_err(ViewError::Query)?;
        Ok(plan)
    }

    /// A version of a table that can be read.
    async fn pin(&self, contract: &Contract, version: Version) -> Result<Arc<PinnedTable>, ViewError> {
        let url = self.root.table(contract.table.schema(), contract.table.table());
        let newest = self.newest(&contract.table).await?.ok_or(LakeError::NoTable { table: url.to_string() })?;
        let pinned = match version {
            Version::Number(version) => self.tables.version(&url, version, None).await?,
            Version::At(instant) => self.tables.at(&url, instant).await?,
        };
        self.tables.check_readable(&pinned, &newest).await?;
        Ok(pinned)
    }

    /// Makes the newest version of a table visible to queries, unless a version of it is visible already: a query
    /// that names both a view and its table must see one version.
    async fn register_newest(&self, context: &SessionContext, table: &TableName) -> Result<(), ViewError> {
        if is_visible(context, table) {
            return Ok(());
        }
        let url = self.root.table(table.schema(), table.table());
        let pinned = self.newest(table).await?.ok_or(LakeError::NoTable { table: url.to_string() })?;
        register(context, table, Arc::new(DeltaScan::of(&self.tables, &pinned))).map_err(ViewError::Query)
    }

    /// Makes a view visible to queries, and the tables that it reads.
    async fn register_view(&self, context: &SessionContext, view: &View) -> Result<(), ViewError> {
        for table in view.reads() {
            self.register_newest(context, table).await?;
        }
        let plan = context.state().create_logical_plan(view.sql()).await.map_err(ViewError::Query)?;
        let provider = ViewTable::new(plan, Some(view.sql().to_owned()));
        register(context, view.name(), Arc::new(provider)).map_err(ViewError::Query)
    }

    fn unknown(&self, name: &str) -> ViewError {
        let mut known: Vec<(f64, String)> = self
            .contracts
            .iter()
            .chain(self.views.iter().map(View::contract))
            .map(|contract| contract.table.to_string())
            .map(|table| (strsim::jaro_winkler(&table, name), table))
            .filter(|(likeness, _)| *likeness > 0.8)
            .collect();
        known.sort_by(|a, b| b.0.total_cmp(&a.0));
        ViewError::Unknown {
            name: name.to_owned(),
            nearest: known.into_iter().take(3).map(|(_, table)| table).collect(),
        }
    }
}
