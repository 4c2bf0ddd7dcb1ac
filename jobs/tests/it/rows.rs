//! Rows as JSON objects, one a line, and as Arrow batches.
//!
//! A case states what matters; the rest is filled in, for given and for expected rows alike:
//! - a date is that of the time that it belongs to (`created_date` of `created_at`, `reacted_date` of
//!   `reacted_at`, `session_date` of `session_start`, `created_month` of `created_at`), and so are `hour`,
//!   `day_of_week` and `is_weekend`;
//! - `updated_at` is `created_at`;
//! - `participant_count` of a conversation is the length of `participant_ids`;
//! - anything else that may be null is null, and what may not is empty: "", 0, false, [], {}, 1970-01-01.
//!
//! So an expected row still fixes every cell.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::json::writer::{JsonArray, WriterBuilder};
use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use serde_json::{Map, Value, json};

/// A row by column name.
pub(crate) type Row = Map<String, Value>;

/// The rows of a file of JSON lines; blank lines and lines that start with `//` are skipped.
pub(crate) fn parse(text: &str, whence: &str) -> Vec<Row> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{whence}: {error} in {line}")))
        .collect()
}

/// One batch of the rows, with what they leave out filled in.
pub(crate) fn to_batch(rows: Vec<Row>, schema: &SchemaRef, whence: &str) -> RecordBatch {
    let rows: Vec<Row> = rows.into_iter().map(|row| complete(row, schema, whence)).collect();
    if rows.is_empty() {
        return RecordBatch::new_empty(Arc::clone(schema));
    }
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(rows.len()).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap_or_else(|error| panic!("{whence}: {error}"));
    decoder.flush().unwrap_or_else(|error| panic!("{whence}: {error}")).unwrap()
}

/// The rows of batches as JSON objects with every column, nulls included.
pub(crate) fn from_batches(batches: &[RecordBatch]) -> Vec<Row> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    let bytes = writer.into_inner();
    if bytes.is_empty() { Vec::new() } else { serde_json::from_slice(&bytes).unwrap() }
}

fn complete(mut row: Row, schema: &SchemaRef, whence: &str) -> Row {
    for name in row.keys() {
        assert!(schema.column_with_name(name).is_some(), "{whence}: there is no column `{name}`");
    }
    for field in schema.fields() {
        if row.contains_key(field.name()) {
            continue;
        }
        let value = match derived(&row, field.name(), whence) {
            Some(value) => value,
            None if field.is_nullable() => Value::Null,
            None => empty(field.data_type()),
        };
        row.insert(field.name().clone(), value);
    }
    row
}

fn derived(row: &Row, name: &str, whence: &str) -> Option<Value> {
    let time = |column: &str| {
        let text = row.get(column)?.as_str()?;
        let time = DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{whence}: {error}: {text}"));
        Some(time.to_utc())
    };
    let date = |column: &str| time(column).map(|time| time.date_naive());
    match name {
        "created_date" => date("created_at").map(|date| json!(date)),
        "reacted_date" => date("reacted_at").map(|date| json!(date)),
        "session_date" => date("session_start").map(|date| json!(date)),
        "created_month" => date("created_at").and_then(|date| date.with_day(1)).map(|date| json!(date)),
        "hour" => time("created_at").map(|time| json!(time.hour())),
        "day_of_week" => date("created_at").map(|date| json!(iso_day(date))),
        "is_weekend" => date("created_at").map(|date| json!(iso_day(date) >= 6)),
        "updated_at" => row.get("created_at").cloned(),
        "participant_count" => Some(json!(row.get("participant_ids")?.as_array()?.len())),
        _ => None,
    }
}

fn iso_day(date: NaiveDate) -> u32 {
    date.weekday().number_from_monday()
}

fn empty(data_type: &DataType) -> Value {
    match data_type {
        DataType::Utf8 => json!(""),
        DataType::Boolean => json!(false),
        DataType::Int32 | DataType::Int64 => json!(0),
        DataType::Float64 => json!(0.0),
        DataType::Date32 => json!("1970-01-01"),
        DataType::Timestamp(_, _) => json!("1970-01-01T00:00:00Z"),
        DataType::List(_) => json!([]),
        DataType::Map(_, _) => json!({}),
        other => panic!("no empty value of {other}"),
    }
}
