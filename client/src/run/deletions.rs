//! Rows whose document or row is no longer at the source: found by comparing ids, and marked.
//!
//! Extraction by watermark never sees a deletion, as what is gone has no time of change. So a run can be told to fetch
//! all ids of a live system besides, and nothing but the ids: what the table has and the source has not is marked in a
//! column that the table gets with the first such run. A row whose id is there again loses its mark: with the next read
//! of it, or with the next comparison, as a document that was restored has an old time of change.
//! The rows stay, and tables that read them are not changed by a mark: what a deletion means is the reader's to say.
//!
//! Ids are fetched after the documents, so a document that is written meanwhile is in the table or among the ids; unless
//! the ids come from a server that lags behind the one of the documents, as secondaries do. So no row is marked that
//! changed shortly before the run: for as long as the lookback says that a write may stay out of sight. A deletion in
//! that time is found by a later comparison. The time of change counts, against the start of the run. Against the newest
//! change that is known it was rejected: where nothing changes any more the last rows would never be marked.
//!
//! A source without a single id is hardly ever one of which everything was deleted, but one whose name or address is
//! wrong. Then nothing is marked, and the job fails.
//!
//! Rejected: a column that every bronze table always has. Most lakes are never compared, and a column of nothing but
//! nulls would promise what nobody has looked at.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Column, JoinType};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::prelude::{Expr, ident};
use datafusion::scalar::ScalarValue;
use quickchat_jobs::{Contract, Job};
use quickchat_lake::operation::{CommitNote, Landed, Target, Upsert, Written};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::snapshot::PinnedTable;
use quickchat_lake::{COMMENT, LakeRoot};
use quickchat_sources::ORDINAL_COLUMN;
use serde_json::json;

use super::basis::Basis;
use super::ingest::{IngestPlan, LANDING};
use super::inputs::plan_error;
use super::target::target;
use super::{Run, newest, note};
use crate::error::RunError;

/// The column of marks: true for a row that is gone at the source, null for all others.
pub(crate) const MARK: &str = "is_deleted_at_source";

/// The table of a contract as it is stored: with the column of marks if it has one.
pub(crate) fn target_as_stored(root: &LakeRoot, contract: &Contract, stored: Option<&PinnedTable>) -> Target {
    let target = target(root, contract);
    match stored {
        Some(stored) if stored.schema.field_with_name(MARK).is_ok() => with_mark(target),
        _ => target,
    }
}

/// The table with the column of marks.
pub(super) fn with_mark(mut target: Target) -> Target {
    let about = "whether the source no longer has the row; null where it had it, or nobody has looked";
    let comment = HashMap::from([(COMMENT.to_owned(), about.to_owned())]);
    let mark = Field::new(MARK, DataType::Boolean, true).with_metadata(comment);
    let fields = target.schema.fields().iter().cloned().chain([Arc::new(mark)]);
    target.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    target
}

/// Whether rows of this target can be marked.
pub(super) fn has_mark(target: &Target) -> bool {
    target.schema.field_with_name(MARK).is_ok()
}

/// Compares the rows of a job's table with the ids at its source: marks what is gone, and takes the mark from what is
/// there again. `basis` is what the table's rows are known to come from, up to this run's own last commit; the marks
/// change nothing of that. Gives how many rows were marked, and the table's version after it if there is a new one.
pub(super) async fn mark(
    run: &Run,
    job: &Job,
    plan: &IngestPlan<'_>,
    basis: Basis,
) -> Result<(u64, Option<u64>), RunError> {
    let lake = run.lake_for(job);
    let target = with_mark(target(&run.root, job.contract()));
    // Before the ids are fetched: what is stored afterwards may be of documents that came afterwards.
    let Some(stored) = lake.tables().latest(&target.url).await? else { return Ok((0, None)) };
    let folder = run.landing(&format!("{}-ids", job.name().table()));
    let ids = lake.land(plan.ids(), LANDING, &format!("{} (ids)", job.name()), &[], folder).await?;
    let recent = newest(job).zip(plan.lookback_micros()).map(|(column, lookback)| Recent::of(run, column, lookback));
    let compared = compare(run, job, &target, &stored, &ids, recent, basis).await;
    ids.remove(lake.tables()).await;
    compared
}

async fn compare(
    run: &Run,
    job: &Job,
    target: &Target,
    stored: &PinnedTable,
    ids: &Landed,
    recent: Option<Recent>,
    mut basis: Basis,
) -> Result<(u64, Option<u64>), RunError> {
    if ids.read == 0 && stored.rows() != Some(0) {
        return Err(RunError::NothingAtSource { job: job.name().to_string() });
    }
    let has_marks = stored.schema.field_with_name(MARK).is_ok();
    let mut back = None;
    if has_marks {
        back = write(run, job, &Finding::Back, target, stored, ids, &basis).await?.version;
        basis = basis.after(back);
    }
    // The same version of the rows: what has its mark taken from it is none of those without one.
    let gone = write(run, job, &Finding::Gone { recent }, target, stored, ids, &basis).await?;
    Ok((gone.written, gone.version.or(back)))
}

/// What is found of a stored row among the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    /// Its id is not among them, and it has no mark.
    Gone {
        /// Rows that may not be visible yet on the server that the ids come from.
        recent: Option<Recent>,
    },
    /// Its id is among them, and it has a mark.
    Back,
}

impl Finding {
    /// What the commit of such rows is called. Each is another one of the same run to the same table: it must not be
    /// taken for the first one's repetition.
    fn name(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "deletions",
            Self::Back => "returns",
        }
    }

    /// Of which stored rows it may be found.
    fn candidates(&self) -> Expr {
        match self {
            Self::Gone { recent: None } => ident(MARK).is_null(),
            Self::Gone { recent: Some(recent) } => ident(MARK).is_null().and(recent.has().is_not_true()),
            Self::Back => ident(MARK).is_not_null(),
        }
    }
}

/// Rows that changed shortly before a run, or meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recent {
    /// The column that has the time of change.
    column: &'static str,
    /// Microseconds since 1970.
    from: i64,
    /// Clocks differ, so a change may seem to come after the run; what is dated further ahead is not recent for that.
    until: i64,
}

impl Recent {
    fn of(run: &Run, column: &'static str, lookback_micros: i64) -> Self {
        let from = run.started_micros.saturating_sub(lookback_micros);
        Self { column, from, until: run.started_micros.saturating_add(lookback_micros) }
    }

    fn has(&self) -> Expr {
        let instant = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        ident(self.column).between(instant(self.from), instant(self.until))
    }
}

async fn write(
    run: &Run,
    job: &Job,
    finding: &Finding,
    target: &Target,
    stored: &PinnedTable,
    ids: &Landed,
    basis: &Basis,
) -> Result<Written, RunError> {
    let lake = run.lake_for(job);
    let scan = DeltaScan::of(lake.tables(), stored).with_schema(&target.schema);
    let query = found(finding, target, scan, ids.documents(lake.tables())).map_err(plan_error(job))?;
    let upsert =
        Upsert { target, query, landed: ids, ordinal: ORDINAL_COLUMN, newest: newest(job), ranges_known: false };
    let mut facts = basis.facts();
    facts.insert("idsAtSource".to_owned(), json!(ids.read));
    let note = note!(run, &format!("{} ({})", target.name, finding.name()), &facts);
    Ok(lake.upsert(&upsert, &note).await?)
}

/// The stored rows of which this is found, with the mark that they are to have.
fn found(
    finding: &Finding,
    target: &Target,
    stored: DeltaScan,
    ids: DeltaScan,
) -> Result<LogicalPlan, DataFusionError> {
    let listed = |key: &String| format!("_listed_{key}");
    let ids = LogicalPlanBuilder::scan("ids", provider_as_source(Arc::new(ids)), None)?
        .project(target.key.iter().map(|key| ident(key).alias(listed(key))))?
        .build()?;
    let on = (columns_of(&target.key), columns_of(&target.key.iter().map(listed).collect::<Vec<_>>()));
    let (join, mark) = match finding {
        Finding::Gone { .. } => (JoinType::LeftAnti, ScalarValue::from(true)),
        Finding::Back => (JoinType::LeftSemi, ScalarValue::Boolean(None)),
    };
    let mut columns: Vec<Expr> = Vec::with_capacity(target.schema.fields().len() + 1);
    for field in target.schema.fields() {
        columns.push(match field.name().as_str() {
            MARK => lit(mark.clone()).alias(MARK),
            name => ident(name),
        });
    }
    // A stored row is the only one of its key. Numbering all of them would take them through one task.
    columns.push(lit(0_i64).alias(ORDINAL_COLUMN));
    LogicalPlanBuilder::scan("stored", provider_as_source(Arc::new(stored)), None)?
        .filter(finding.candidates())?
        .join(ids, join, on, None)?
        .project(columns)?
        .build()
}

fn columns_of(names: &[String]) -> Vec<Column> {
    names.iter().map(Column::from_name).collect()
}
