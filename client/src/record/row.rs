//! Rows of `ops.runs`, by the names of its columns; also the stable JSON form of `runs list` and `runs show`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::JsonArray;
use datafusion::arrow::json::{ReaderBuilder, WriterBuilder};
use serde::{Deserialize, Serialize};

/// A run, or a job of a run. What the columns mean is in the contract of `ops.runs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the column of its name, described in the contract")]
pub struct RunRow {
    pub run_id: String,
    pub job: String,
    pub kind: Kind,
    pub state: State,
    pub as_of: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub seconds: Option<f64>,
    pub decision: Option<String>,
    pub why: Option<String>,
    pub error: Option<String>,
    pub error_class: Option<String>,
    pub input_versions: BTreeMap<String, u64>,
    pub version: Option<u64>,
    pub rows_read: u64,
    pub rows_written: u64,
    pub rows_unchanged: u64,
    pub rows_quarantined: u64,
    pub files_written: u64,
    pub bytes_written: u64,
    pub selectors: Vec<String>,
    pub program_version: String,
    pub host: Option<String>,
    pub process: Option<String>,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A run as a whole.
    Run,
    /// A job of a run.
    Job,
}

/// How a run or job is or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A run that has not ended.
    Running,
    /// A run that has not ended and never will, since its process is gone. Found out by readers, never stored.
    Crashed,
    /// A run all of whose jobs ended well.
    Succeeded,
    /// A run with a job that failed, or a job that did.
    Failed,
    /// A run that was interrupted, or a job of it that had not ended.
    Interrupted,
    /// A job that committed a version.
    Changed,
    /// A job that had nothing to commit.
    Unchanged,
    /// A job that did not run, since another one failed.
    Skipped,
}

impl State {
    /// The word in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Crashed => "crashed",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Skipped => "skipped",
        }
    }
}

/// The rows as a batch of the given columns.
pub(super) fn to_batch(rows: &[RunRow], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(rows.len().max(1)).build_decoder()?;
    decoder.serialize(rows)?;
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema))))
}

/// The rows of batches that have the columns of `ops.runs`, in any order; others are left out.
pub(super) fn from_batches(batches: &[RecordBatch]) -> Result<Vec<RunRow>, ArrowError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let bytes = writer.into_inner();
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&bytes).map_err(|error| ArrowError::JsonError(error.to_string()))
}

/// An instant as precise as tables are.
pub(super) fn in_micros(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(instant.timestamp_micros()).unwrap_or(instant)
}

#[cfg(test)]
pub(super) mod tests {
    use quickchat_jobs::runs_contract;

    use super::*;

    pub(in crate::record) fn row(state: State) -> RunRow {
        RunRow {
            run_id: "r".to_owned(),
            job: "silver.users".to_owned(),
            kind: Kind::Job,
            state,
            as_of: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
            started_at: DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap(),
            ended_at: None,
            seconds: Some(0.25),
            decision: None,
            why: None,
            error: Some("a \"quoted\"\nline".to_owned()),
            error_class: Some("user".to_owned()),
            input_versions: BTreeMap::from([("bronze.users".to_owned(), 7)]),
            version: Some(u64::from(u32::MAX)),
            rows_read: 1,
            rows_written: 2,
            rows_unchanged: 3,
            rows_quarantined: 4,
            files_written: 5,
            bytes_written: 6,
            selectors: vec!["+silver".to_owned()],
            program_version: "0".to_owned(),
            host: None,
            process: Some("a/b/1/2".to_owned()),
        }
    }

    #[test]
    fn rows_survive_the_table() {
        let schema = runs_contract().arrow_schema();
        for state in [State::Running, State::Failed, State::Skipped] {
            let rows = [row(state), RunRow { input_versions: BTreeMap::new(), selectors: Vec::new(), ..row(state) }];
            let batch = to_batch(&rows, &schema).unwrap();
            assert_eq!(from_batches(&[batch]).unwrap(), rows);
        }
        assert_eq!(from_batches(&[to_batch(&[], &schema).unwrap()]).unwrap(), []);
    }

    #[test]
    fn a_row_has_the_columns_of_the_contract() {
        let serde_json::Value::Object(fields) = serde_json::to_value(row(State::Running)).unwrap() else {
            panic!("a row is an object")
        };
        let mut columns: Vec<&str> = runs_contract().columns.iter().map(|column| column.name).collect();
        columns.sort_unstable();
        let mut fields: Vec<&str> = fields.keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, columns);
    }

    #[test]
    fn states_are_named_as_they_are_stored() {
        for state in [State::Running, State::Crashed, State::Succeeded, State::Failed, State::Interrupted]
            .into_iter()
            .chain([State::Changed, State::Unchanged, State::Skipped])
        {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
