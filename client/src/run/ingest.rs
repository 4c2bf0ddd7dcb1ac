//! A job whose rows come from a source: land, merge, and put aside what could not be decoded.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, Projection, lit};
use datafusion::prelude::{Expr, ident};
use datafusion::scalar::ScalarValue;
use quickchat_jobs::{Job, quarantine_contract};
use quickchat_lake::operation::{CommitNote, Lake, Landed, LandingColumns, Upsert, Written};
use quickchat_sources::{ORDINAL_COLUMN, OUTPUT_COLUMN, READ_COLUMN, REJECT_COLUMN};
use serde_json::{Map, Value, json};

use super::inputs::Inputs;
use super::target::target;
use super::{Counts, LANDING_FOLDER, Run, newest, note};
use crate::error::RunError;

const LANDING: LandingColumns =
    LandingColumns { output: OUTPUT_COLUMN, ordinal: ORDINAL_COLUMN, reject: REJECT_COLUMN, read: READ_COLUMN };

/// Reads the source once, merges its documents into the job's table and its rejects into the quarantine.
pub(super) async fn ingest(run: &Run, job: &Job) -> Result<Counts, RunError> {
    let lake = run.lake_for(job);
    let contract = job.contract();
    let source = run.sources.table(job)?;
    let key: Vec<String> = contract.key().iter().map(|column| (*column).to_owned()).collect();
    let noted: Vec<String> = key.iter().cloned().chain(newest(job).map(str::to_owned)).collect();
    let folder = run.root.folder(LANDING_FOLDER).folder(run.id()).folder(contract.table.table());
    let landed = lake.land(source, LANDING, &contract.table.to_string(), &noted, folder).await?;
    let merged = merge(run, job, &lake, &landed).await;
    landed.remove(lake.tables()).await;
    merged
}

async fn merge(run: &Run, job: &Job, lake: &Lake, landed: &Landed) -> Result<Counts, RunError> {
    quarantine(run, job, lake, landed).await?;
    let source = job.source().ok_or_else(|| RunError::Definition { job: job.name().to_string() })?;
    let inputs = Inputs::landed(source, landed.documents(lake.tables()));
    let query = with_ordinal(inputs.plan(run, job).await?, job)?;
    let target = target(&run.root, job.contract());
    let newest = newest(job);
    let upsert = Upsert { target: &target, query, landed, ordinal: ORDINAL_COLUMN, newest, ranges_known: true };
    let mut facts =
        Map::from_iter([("read".to_owned(), json!(landed.read)), ("quarantined".to_owned(), json!(landed.rejected))]);
    if let Some((field, value)) = newest.and_then(|field| Some((field, landed.largest(field)?))) {
        facts.insert("watermark".to_owned(), json!({"field": field, "value": value}));
    }
    let note = note!(run, &target.name, &facts);
    let written = lake.upsert(&upsert, &note).await?;
    let counts = Counts { read: landed.read, quarantined: landed.rejected, written };
    check_counts(job, &counts)?;
    Ok(counts)
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

/// A bronze query gives one row per document; the document's ordinal is put behind its columns, for the merge.
fn with_ordinal(query: LogicalPlan, job: &Job) -> Result<LogicalPlan, RunError> {
    let LogicalPlan::Projection(projection) = query else {
        return Err(RunError::Definition { job: job.name().to_string() });
    };
    let (relation, _) = projection
        .input
        .schema()
        .qualified_field_with_unqualified_name(ORDINAL_COLUMN)
        .map_err(|source| RunError::Plan { job: job.name().to_string(), source: Box::new(source) })?;
    let mut columns = projection.expr.clone();
    columns.push(Expr::Column(Column::new(relation.cloned(), ORDINAL_COLUMN)).alias(ORDINAL_COLUMN));
    Projection::try_new(columns, Arc::clone(&projection.input))
        .map(LogicalPlan::Projection)
        .map_err(|source| RunError::Plan { job: job.name().to_string(), source: Box::new(source) })
}
