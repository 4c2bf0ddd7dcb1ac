//! Append, replace and upsert: whole operations on a table, from a query to a committed version.
//!
//! Each operation builds logical plans, has them run by a [`QueryRunner`] (the cluster), and commits what the writers
//! report. The process that calls them holds lists of files and counts, never rows; but for `put`, whose few rows are
//! its own. Between write and commit a [`Review`] may look at what is about to become visible, and refuse it.

mod buckets;
mod discard;
mod evolution;
mod functions;
mod gate;
mod land;
mod put;
mod record;
mod replace;
mod review;
mod stage;
mod target;
mod upsert;

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::dataframe::DataFrame;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use serde_json::{Map, Value};

pub use discard::remove_folder;
pub use functions::{functions, row_hash};
pub use gate::Closed;
pub use land::{Landed, LandingColumns};
pub use put::{Put, put};
pub use replace::Scope;
pub use review::{Proposal, Review};
pub use stage::Staged;
pub use target::Target;
pub use upsert::Upsert;

pub(crate) use buckets::{BUCKET, Buckets};
pub(crate) use discard::{discard, remove_early};
pub(crate) use functions::row_bucket;
pub(crate) use replace::removal;

use gate::Gate;

use crate::commit::TransactionId;
use crate::snapshot::Tables;
use crate::write::{FILE_BYTES, Receipts, Sink, WriteNode, WriteSpec};
use crate::{LakeError, Result};

/// Runs logical plans on a cluster.
#[async_trait]
pub trait QueryRunner: Send + Sync {
    /// Runs a plan to its end and gives its (few) result rows. `label` names the step for people.
    async fn run(
        &self,
        plan: LogicalPlan,
        label: &str,
    ) -> std::result::Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>>;
}

/// What operations need: tables, a session to build plans in, and a cluster to run them.
#[derive(Clone)]
pub struct Lake {
    tables: Tables,
    session: SessionState,
    runner: Arc<dyn QueryRunner>,
    reviewer: Option<Arc<dyn Review>>,
    gate: Arc<Gate>,
    file_bytes: u64,
    short_list: u64,
}

/// Up to so many keys every task gets a whole list of them, some 100 bytes each while it is used; more are matched by a
/// join that spills.
const SHORT_LIST: u64 = 200_000;

/// Who commits, and what the commit shall say of itself.
pub struct CommitNote<'a> {
    /// The transaction.
    pub transaction: TransactionId,
    /// Information to keep with the version, given what was written.
    pub info: &'a (dyn Fn(&Written) -> Map<String, Value> + Sync),
}

/// What an operation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The version that it made; none when nothing changed.
    pub version: Option<u64>,
    /// Rows that are new or different.
    pub written: u64,
    /// Rows that were there already, or were superseded by a newer row of the same key.
    pub unchanged: u64,
    /// Files added.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

impl Lake {
    /// Operations on `tables`, planned in `session` and run by `runner`.
    pub fn new(tables: Tables, session: SessionState, runner: Arc<dyn QueryRunner>) -> Self {
        Self {
            tables,
            session,
            runner,
            reviewer: None,
            gate: Arc::default(),
            file_bytes: FILE_BYTES,
            short_list: SHORT_LIST,
        }
    }

    /// The tables.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The session in which plans are built.
    pub fn session(&self) -> &SessionState {
        &self.session
    }

    /// The same operations, with queries run by another runner (for example one that reports progress).
    #[must_use]
    pub fn with_runner(&self, runner: Arc<dyn QueryRunner>) -> Self {
        Self { runner, ..self.clone() }
    }

    /// The same operations, with every change looked at before it is committed.
    #[must_use]
    pub fn with_review(&self, reviewer: Arc<dyn Review>) -> Self {
        Self { reviewer: Some(reviewer), ..self.clone() }
    }

    /// The same operations, with data files of about this size.
    #[must_use]
    pub fn with_file_bytes(&self, file_bytes: u64) -> Self {
        Self { file_bytes, ..self.clone() }
    }

    /// The same operations, with lists of up to so many keys sent to every task; by default 200,000.
    #[must_use]
    pub fn with_short_list(&self, keys: u64) -> Self {
        Self { short_list: keys, ..self.clone() }
    }

    /// The size that data files aim for.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    pub(crate) fn frame(&self, plan: LogicalPlan) -> DataFrame {
        DataFrame::new(self.session.clone(), plan)
    }

    /// Runs a query, and has its rows written where `spec` says.
    pub(crate) async fn write(&self, rows: DataFrame, spec: WriteSpec) -> Result<Receipts> {
        for output in &spec.outputs {
            // Sources are read, and files written, for nothing if no version can be made of them in the end.
            if let Sink::Files(files) = &output.sink {
                self.tables.stores().ensure_creates_once(&files.folder).await?;
            }
        }
        let label = spec.name.clone();
        let table = label.clone();
        let plan = WriteNode::try_new(rows.into_unoptimized_plan(), Arc::new(spec))
            .map_err(|error| LakeError::query("plan the write", table, error))?
            .into_plan();
        Receipts::decode(&self.run(plan, &label).await?)
    }

    pub(crate) async fn run(&self, plan: LogicalPlan, label: &str) -> Result<Vec<RecordBatch>> {
        self.runner.run(plan, label).await.map_err(LakeError::Runner)
    }
}
