//! A job whose rows come from a source: land, merge, and put aside what could not be decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, Projection, lit};
use datafusion::prelude::{Expr, ident};
use datafusion::scalar::ScalarValue;
use quickchat_jobs::{Job, TableName, quarantine_contract};
use quickchat_lake::operation::{CommitNote, Lake, Landed, LandingColumns, Target, Upsert, Written};
use quickchat_sources::{ExportFile, ORDINAL_COLUMN, OUTPUT_COLUMN, READ_COLUMN, REJECT_COLUMN};
use serde_json::{Map, Value, json};

use super::ask::ask_for_texts;
use super::basis::{Basis, Watermark};
use super::decide::{Decision, Increment, InputChange, Reason};
use super::deletions::{self, MARK, has_mark, target_as_stored};
use super::inputs::{plan_error, plan_landed};
use super::source_files::TakenIn;
use super::target::target;
use super::{Counts, Run, newest, note};
use crate::error::RunError;
use crate::sources::SourceInput;

pub(super) const LANDING: LandingColumns =
    LandingColumns { output: OUTPUT_COLUMN, ordinal: ORDINAL_COLUMN, reject: REJECT_COLUMN, read: READ_COLUMN };

/// Reads what is new of the source, merges its documents into the job's table and its rejects into the quarantine.
pub(super) async fn ingest(run: &Run, job: &Job) -> Result<Counts, RunError> {
    let source = with_table_found(run, job, run.sources.input(job)?).await?;
    let plan = plan_ingest(run, job, source).await?;
    if plan.decision == Decision::Nothing {
        return Ok(Counts { decision: Some(Decision::Nothing), ..Counts::default() });
    }
    let lake = run.lake_for(job);
    let contract = job.contract();
    let key: Vec<String> = contract.key().iter().map(|column| (*column).to_owned()).collect();
    let noted: Vec<String> = key.iter().cloned().chain(newest(job).map(str::to_owned)).collect();
    let folder = run.landing(contract.table.table());
    let source = plan.source.table(plan.unread.clone(), plan.changed_since);
    let landed = lake.land(source, LANDING, &contract.table.to_string(), &noted, folder).await?;
    let merged = merge(run, job, &lake, &landed, &plan).await;
    landed.remove(lake.tables()).await;
    Ok(Counts { decision: Some(plan.decision), ..merged? })
}

/// What an ingestion has to read.
pub(super) struct IngestPlan<'a> {
    pub(super) decision: Decision,
    source: SourceInput<'a>,
    unread: Vec<ExportFile>,
    /// Of a live system only what changed at this instant or later, in microseconds; all if none.
    changed_since: Option<i64>,
    known: Option<Basis>,
    stored_version: Option<u64>,
    /// The table as it is, or will be.
    target: Target,
}

impl IngestPlan<'_> {
    /// The ids of everything that the source has now.
    pub(super) fn ids(&self) -> Arc<dyn TableProvider> {
        self.source.ids()
    }

    /// How long a row may stay out of sight there after it was written, in microseconds.
    pub(super) fn lookback_micros(&self) -> Option<i64> {
        self.source.lookback_micros()
    }
}

/// Looks which table of a live system is read, where it may be one of several. The rest of the run reads that one.
async fn with_table_found<'a>(run: &Run, job: &Job, source: SourceInput<'a>) -> Result<SourceInput<'a>, RunError> {
    let Some(tables) = source.tables() else { return Ok(source) };
    let question = LogicalPlanBuilder::scan("tables", provider_as_source(tables), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(plan_error(job))?;
    let mut tables = ask_for_texts(run, job, question, "which table is there").await?.into_iter();
    let found = tables.next();
    if let (Some(found), Some(other)) = (&found, tables.next()) {
        let collection = job.source().map(TableName::table).unwrap_or_default();
        tracing::warn!(
            "MySQL has the tables {found} and {other}, and {found} is read; give the right one as the name of \
             [mysql.{collection}] in quickchat-etl.toml"
        );
    }
    Ok(source.read_from(found))
}

/// Compares the source with what the table has taken in; lists files and reads none.
pub(super) async fn plan_ingest<'a>(run: &Run, job: &Job, source: SourceInput<'a>) -> Result<IngestPlan<'a>, RunError> {
    if run.detect_deletions && !source.is_whole_and_current() {
        return Err(RunError::PartialSource { job: job.name().to_string() });
    }
    let stored = run.pins.look(run.lake.tables(), &target(&run.root, job.contract()).url).await?;
    let (reason, known) = match &stored {
        None => (Some(Reason::NeverWritten), None),
        Some(stored) => match Basis::of(run.lake.tables(), stored).await? {
            Err(reason) => (Some(reason), None),
            Ok(known) if known.definition != job.fingerprint() => (Some(Reason::DefinitionChanged), Some(known)),
            Ok(known) if run.full_refresh => (Some(Reason::Requested), Some(known)),
            Ok(known) if known.source.is_none() => (Some(Reason::NoBasis), Some(known)),
            Ok(known) => (None, Some(known)),
        },
    };
    let taken_in = known.as_ref().and_then(|known| known.source.as_ref());
    let (decision, unread) = match (reason, taken_in) {
        (Some(reason), _) => (Decision::full(reason), source.files().to_vec()),
        (None, None) => (Decision::full(Reason::NoBasis), source.files().to_vec()),
        (None, Some(TakenIn::Files(taken_in))) if source.live_system().is_none() => {
            match taken_in.not_among(source.files()) {
                unread if unread.is_empty() && !source.is_listed_when_read() => (Decision::Nothing, unread),
                unread => (Decision::Incremental(new_files(job, &unread)), unread),
            }
        }
        (None, Some(taken_in)) if taken_in.is_still(&TakenIn::of(&source)) => {
            (Decision::Incremental(new_files(job, &[])), Vec::new())
        }
        (None, Some(_)) => (Decision::full(Reason::SourceChanged), source.files().to_vec()),
    };
    let changed_since = match &decision {
        Decision::Incremental(_) => changed_since(run, &source, known.as_ref()),
        _ => None,
    };
    let stored_version = stored.as_ref().map(|stored| stored.version);
    let target = target_as_stored(&run.root, job.contract(), stored.as_deref());
    Ok(IngestPlan { decision, source, unread, changed_since, known, stored_version, target })
}

/// The newest change that the table knows of, less the lookback. One that is dated ahead hides none before the run.
fn changed_since(run: &Run, source: &SourceInput<'_>, known: Option<&Basis>) -> Option<i64> {
    let newest = known?.watermark.as_ref()?.micros()?.min(run.started_micros);
    Some(newest.saturating_sub(source.lookback_micros()?))
}

fn new_files(job: &Job, unread: &[ExportFile]) -> Increment {
    let change = InputChange {
        input: job.source().map(ToString::to_string).unwrap_or_default(),
        from_version: None,
        to_version: None,
        rows: 0,
        bytes: unread.iter().map(|file| file.size).sum(),
        partitions: unread.len() as u64,
        became_past: false,
    };
    Increment { changes: vec![change], ..Increment::default() }
}

async fn merge(run: &Run, job: &Job, lake: &Lake, landed: &Landed, plan: &IngestPlan<'_>) -> Result<Counts, RunError> {
    quarantine(run, job, lake, landed).await?;
    let query = plan_landed(run, job, landed.documents(lake.tables())).await?;
    let query = with_ordinal(query, job, has_mark(&plan.target))?;
    let target = plan.target.clone();
    let newest = newest(job);
    let upsert = Upsert { target: &target, query, landed, ordinal: ORDINAL_COLUMN, newest, ranges_known: true };
    let basis = basis(run, job, landed, plan);
    let mut facts = basis.facts();
    facts.insert("read".to_owned(), json!(landed.read));
    facts.insert("quarantined".to_owned(), json!(landed.rejected));
    let note = note!(run, &target.name, &facts);
    let written = lake.upsert(&upsert, &note).await?;
    let counts = Counts { read: landed.read, quarantined: landed.rejected, written, ..Counts::default() };
    check_counts(job, &counts)?;
    if counts.written.version.is_none() && basis.is_news(plan.known.as_ref()) {
        lake.record(&target, &note).await?;
    }
    if !run.detect_deletions {
        return Ok(counts);
    }
    let (marked, version) = deletions::mark(run, job, plan, basis.after(counts.written.version)).await?;
    let version = version.or(counts.written.version);
    Ok(Counts { marked, written: Written { version, ..counts.written }, ..counts })
}

fn basis(run: &Run, job: &Job, landed: &Landed, plan: &IngestPlan<'_>) -> Basis {
    Basis {
        as_of_micros: run.parameters.as_of_micros,
        definition: job.fingerprint(),
        inputs: BTreeMap::new(),
        source: Some(TakenIn::of(&plan.source)),
        watermark: watermark(run, job, landed, plan),
        base: plan.stored_version,
    }
}

/// The newest change that was read, now or earlier; none of what is always read as a whole. A run may be told to be of a
/// day to come, and rows may be dated so: what was read came before its start.
fn watermark(run: &Run, job: &Job, landed: &Landed, plan: &IngestPlan<'_>) -> Option<Watermark> {
    plan.lookback_micros()?;
    let seen = newest(job).and_then(|field| Some(Watermark { field: field.to_owned(), value: landed.largest(field)? }));
    let known = plan.known.as_ref().and_then(|known| known.watermark.clone());
    let newest = [seen, known].into_iter().flatten().max_by_key(Watermark::micros)?;
    Some(newest.at_most(run.parameters.as_of_micros.min(run.started_micros)))
}

/// Nothing that was read may be unaccounted for.
fn check_counts(job: &Job, counts: &Counts) -> Result<(), RunError> {
    let accounted = counts.written.written + counts.written.unchanged + counts.quarantined;
    if counts.read == accounted {
        return Ok(());
    }
    Err(RunError::Counts { job: job.name().to_string(), read: counts.read, accounted })
}

/// Merges the rejects into `quarantine.<table>`, which is made with the first run.
async fn quarantine(run: &Run, job: &Job, lake: &Lake, landed: &Landed) -> Result<Option<Written>, RunError> {
    let Some(contract) = quarantine_contract(job.name().table()) else { return Ok(None) };
    let target = target(&run.root, &contract);
    let query = rejects(run, lake, landed)
        .map_err(|source| RunError::Plan { job: target.name.clone(), source: Box::new(source) })?;
    if landed.rejected == 0 && lake.tables().latest(&target.url).await?.is_some() {
        return Ok(None);
    }
    let upsert = Upsert { target: &target, query, landed, ordinal: ORDINAL_COLUMN, newest: None, ranges_known: false };
    let facts = Map::from_iter([("read".to_owned(), Value::from(landed.rejected))]);
    let note = note!(run, &target.name, &facts);
    Ok(Some(lake.upsert(&upsert, &note).await?))
}

/// The landed rejects as rows of a quarantine table.
fn rejects(run: &Run, lake: &Lake, landed: &Landed) -> Result<LogicalPlan, DataFusionError> {
    let scan = provider_as_source(Arc::new(landed.rejects(lake.tables())));
    let field = |name: &str| get_field(ident(REJECT_COLUMN), name).alias(name);
    let as_of = ScalarValue::TimestampMicrosecond(Some(run.parameters.as_of_micros), Some("UTC".into()));
    let mut columns: Vec<Expr> =
        ["document_sha256", "raw", "reason", "field", "source_position"].into_iter().map(field).collect();
    columns.push(lit(run.parameters.run_id.as_str()).alias("run_id"));
    columns.push(lit(as_of).alias("ingested_at"));
    columns.push(ident(ORDINAL_COLUMN));
    LogicalPlanBuilder::scan("rejects", scan, None)?.project(columns)?.build()
}

/// A bronze query gives one row per document; the document's ordinal is put behind its columns, for the merge. A table
/// with the column of marks gets none for a document that was read just now.
fn with_ordinal(query: LogicalPlan, job: &Job, has_mark: bool) -> Result<LogicalPlan, RunError> {
    let LogicalPlan::Projection(projection) = query else {
        return Err(RunError::Definition { job: job.name().to_string() });
    };
    let (relation, _) = projection
        .input
        .schema()
        .qualified_field_with_unqualified_name(ORDINAL_COLUMN)
        .map_err(|source| RunError::Plan { job: job.name().to_string(), source: Box::new(source) })?;
    let mut columns = projection.expr.clone();
    if has_mark {
        columns.push(lit(ScalarValue::Boolean(None)).alias(MARK));
    }
    columns.push(Expr::Column(Column::new(relation.cloned(), ORDINAL_COLUMN)).alias(ORDINAL_COLUMN));
    Projection::try_new(columns, Arc::clone(&projection.input))
        .map(LogicalPlan::Projection)
        .map_err(|source| RunError::Plan { job: job.name().to_string(), source: Box::new(source) })
}
