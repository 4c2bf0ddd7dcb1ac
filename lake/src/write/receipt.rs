//! What a write answers: one row per written file, tally or group of counted rows.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt8Type};
use arrow::error::ArrowError;
use deltalake::kernel::Add;

use super::counts::Groups;
use crate::{LakeError, Result};

/// One file that was written, or one task's part of a tally.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The output that the rows belong to.
    pub route: u8,
    /// The file, absent for a tally.
    pub add: Option<Add>,
    /// Rows in the file, or the tally's sum.
    pub count: i64,
}

/// All receipts of a write, files sorted so that equal writes give equal commits.
#[derive(Debug, Clone, Default)]
pub struct Receipts {
    receipts: Vec<Receipt>,
    groups: Groups,
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("route", DataType::UInt8, true),
        Field::new("add", DataType::Utf8, true),
        Field::new("group", DataType::Utf8, true),
        Field::new("count", DataType::Int64, false),
    ]))
});

/// The columns of receipts.
pub(super) fn schema() -> &'static SchemaRef {
    &SCHEMA
}

/// Receipts as rows.
pub(super) fn encode(receipts: &[Receipt], groups: &Groups) -> Result<RecordBatch, ArrowError> {
    let json = |text: serde_json::Result<String>| text.map_err(|error| ArrowError::ExternalError(Box::new(error)));
    let mut adds = Vec::with_capacity(receipts.len() + groups.len());
    for receipt in receipts {
        adds.push(receipt.add.as_ref().map(|add| json(serde_json::to_string(add))).transpose()?);
    }
    adds.resize(receipts.len() + groups.len(), None);
    let mut values = vec![None; receipts.len()];
    for group in groups.keys() {
        values.push(Some(json(serde_json::to_string(group))?));
    }
    let routes = receipts.iter().map(|receipt| Some(receipt.route)).chain(groups.iter().map(|_| None));
    let counts = receipts.iter().map(|receipt| receipt.count).chain(groups.values().copied());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(routes.collect::<UInt8Array>()),
        Arc::new(StringArray::from(adds)),
        Arc::new(StringArray::from(values)),
        Arc::new(counts.collect::<Int64Array>()),
    ];
    RecordBatch::try_new(Arc::clone(schema()), columns)
}

impl Receipts {
    /// Reads the rows that a write answered.
    pub fn decode(batches: &[RecordBatch]) -> Result<Self> {
        let mut all = Self::default();
        for batch in batches {
            all.decode_batch(batch)?;
        }
        all.receipts.sort_by(|a, b| a.path().cmp(&b.path()));
        Ok(all)
    }

    fn decode_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = (
            batch.column_by_name("route").and_then(|column| column.as_primitive_opt::<UInt8Type>()),
            batch.column_by_name("add").and_then(|column| column.as_string_opt::<i32>()),
            batch.column_by_name("group").and_then(|column| column.as_string_opt::<i32>()),
            batch.column_by_name("count").and_then(|column| column.as_primitive_opt::<Int64Type>()),
        );
        let (Some(routes), Some(adds), Some(groups), Some(counts)) = columns else {
            return Err(unexpected(format!("columns {:?} in place of receipts", batch.schema().fields())));
        };
        let odd =
            |what: &str, error: serde_json::Error| unexpected(format!("{what} that cannot be understood ({error})"));
        for (row, (route, (add, group))) in routes.iter().zip(adds.iter().zip(groups)).enumerate() {
            let count = counts.value(row);
            match (route, group) {
                (Some(route), None) => {
                    let add = add.map(serde_json::from_str).transpose().map_err(|error| odd("a file", error))?;
                    self.receipts.push(Receipt { route, add, count });
                }
                (None, Some(group)) => {
                    let group = serde_json::from_str(group).map_err(|error| odd("a group", error))?;
                    *self.groups.entry(group).or_default() += count;
                }
                _ => return Err(unexpected("a row that is no receipt".to_owned())),
            }
        }
        Ok(())
    }

    /// The files of one output.
    pub fn files(&self, route: u8) -> Vec<Add> {
        self.of(route).filter_map(|receipt| receipt.add.clone()).collect()
    }

    /// The number of rows written to one output, or the sum of a tally.
    pub fn count(&self, route: u8) -> i64 {
        self.of(route).map(|receipt| receipt.count).sum()
    }

    /// Rows by the values of the columns that were [counted by](super::WriteSpec::count_by).
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    fn of(&self, route: u8) -> impl Iterator<Item = &Receipt> {
        self.receipts.iter().filter(move |receipt| receipt.route == route)
    }
}

impl Receipt {
    fn path(&self) -> Option<&str> {
        self.add.as_ref().map(|add| add.path.as_str())
    }
}

fn unexpected(what: String) -> LakeError {
    LakeError::Answer { what }
}
