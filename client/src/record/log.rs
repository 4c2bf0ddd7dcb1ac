//! Reads the records of runs, in this process: they are few, and must be there when no cluster is.

use std::sync::Arc;

use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::functions::expr_fn::starts_with;
use datafusion::logical_expr::lit;
use datafusion::prelude::{SessionConfig, SessionContext, ident};
use quickchat_engine::Engine;
use quickchat_jobs::{Contract, runs_contract};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::{LakeError, LakeRoot};

use super::life;
use super::row::{RunRow, from_batches};

/// How many runs are named when a prefix fits several.
const NAMED: usize = 5;

/// The runs that a lake knows of.
#[derive(Debug, Clone)]
pub struct RunLog {
    engine: Engine,
    root: LakeRoot,
    contract: Contract,
}

/// A question about runs that could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The rows.
    #[error("cannot read the records of runs in ops.runs: {0}")]
    Read(#[from] DataFusionError),
    /// No run of this id.
    #[error("no run whose id begins with {prefix:?} is recorded in this lake; `quickchat-etl runs list` shows all")]
    Unknown {
        /// The beginning of an id, as given.
        prefix: String,
    },
    /// Several runs of this id.
    #[error("several runs have an id that begins with {prefix:?}: {}; give more of it", ids.join(", "))]
    Ambiguous {
        /// The beginning of an id, as given.
        prefix: String,
        /// Some of the ids.
        ids: Vec<String>,
    },
}

impl RunLog {
    /// The runs of the lake at `root`.
    pub fn new(engine: Engine, root: LakeRoot) -> Self {
        Self { engine, root, contract: runs_contract() }
    }

    /// The newest runs, newest first, each with its state of now.
    ///
    /// # Errors
    /// When the table or a sign of life cannot be read.
    pub async fn newest(&self, limit: usize) -> Result<Vec<RunRow>, RecordError> {
        let Some(rows) = self.rows().await? else { return Ok(Vec::new()) };
        let order = ["started_at", "run_id"].map(|column| ident(column).sort(false, false));
        self.read(rows.filter(ident("kind").eq(lit("run")))?.sort(order.into())?.limit(0, Some(limit))?).await
    }

    /// The run whose id begins with `prefix`, and its jobs in the order in which they started.
    ///
    /// # Errors
    /// [`RecordError::Unknown`] and [`RecordError::Ambiguous`] when that is not one run.
    pub async fn run(&self, prefix: &str) -> Result<(RunRow, Vec<RunRow>), RecordError> {
        let unknown = || RecordError::Unknown { prefix: prefix.to_owned() };
        let rows = self.rows().await?.ok_or_else(unknown)?;
        let order = ["run_id", "started_at", "job"].map(|column| ident(column).sort(true, true));
        let mut rows = self.read(rows.filter(starts_with(ident("run_id"), lit(prefix)))?.sort(order.into())?).await?;
        let mut ids: Vec<String> = rows.iter().map(|row| row.run_id.clone()).collect();
        ids.dedup();
        if ids.len() > 1 {
            ids.truncate(NAMED);
            return Err(RecordError::Ambiguous { prefix: prefix.to_owned(), ids });
        }
        let run = rows.iter().position(|row| row.job.is_empty()).ok_or_else(unknown)?;
        let run = rows.remove(run);
        Ok((run, rows))
    }

    /// All rows; none when no run was ever recorded.
    async fn rows(&self) -> Result<Option<DataFrame>, RecordError> {
        let tables = self.engine.tables();
        let url = self.root.table(self.contract.table.schema(), self.contract.table.table());
        let Some(pinned) = tables.latest(&url).await? else { return Ok(None) };
        let state = self.engine.session_state(SessionConfig::new().with_target_partitions(1))?;
        let scan = Arc::new(DeltaScan::of(tables, &pinned));
        Ok(Some(SessionContext::new_with_state(state).read_table(scan)?))
    }

    async fn read(&self, rows: DataFrame) -> Result<Vec<RunRow>, RecordError> {
        let batches = rows.collect().await?;
        let mut rows = from_batches(&batches).map_err(DataFusionError::from)?;
        for row in &mut rows {
            row.state = life::state(self.engine.tables(), &self.root, row).await?;
        }
        Ok(rows)
    }
}
