//! A job whose rows are computed from tables of the lake.

use std::collections::BTreeMap;

use quickchat_jobs::{Job, WriteMode};
use quickchat_lake::operation::{CommitNote, Scope, Written};
use serde_json::{Map, Value};

use super::inputs::Inputs;
use super::target::target;
use super::{Counts, Run, note};
use crate::error::RunError;

/// Computes and replaces; the rows that the query yields count as read.
pub(super) async fn derive(run: &Run, job: &Job) -> Result<Counts, RunError> {
    let inputs = Inputs::pin(run, job).await?;
    let query = inputs.plan(run, job).await?;
    let target = target(&run.root, job.contract());
    let facts = Map::from_iter([("inputs".to_owned(), Value::Object(inputs.versions))]);
    let note = note!(run, &target.name, &facts);
    let written = run.lake_for(job).replace(&target, query, &scope(run, job)?, &note).await?;
    Ok(Counts { read: written.written + written.unchanged, quarantined: 0, written })
}

/// What the job's rows take the place of.
fn scope(run: &Run, job: &Job) -> Result<Scope, RunError> {
    match (job.write_mode(), job.contract().partition()) {
        (WriteMode::ReplaceTable, _) => Ok(Scope::Table),
        (WriteMode::ReplacePartitions, Some(column)) => {
            Ok(Scope::Partitions(vec![BTreeMap::from([(column.to_owned(), Some(as_of_date(run)?))])]))
        }
        (WriteMode::ReplacePartitions, None) | (WriteMode::Upsert { .. }, _) => {
            Err(RunError::Definition { job: job.name().to_string() })
        }
    }
}

/// The run's date, as partition values are written.
fn as_of_date(run: &Run) -> Result<String, RunError> {
    let days = i64::from(run.parameters.as_of_date());
    chrono::DateTime::from_timestamp(days * 86_400, 0)
        .map(|instant| instant.date_naive().to_string())
        .ok_or(RunError::AsOf { micros: run.parameters.as_of_micros })
}
