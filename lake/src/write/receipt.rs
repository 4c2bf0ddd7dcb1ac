//! What a write answers: one row per written file or tally.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt8Type};
use arrow::error::ArrowError;
use deltalake::kernel::Add;

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

/// All receipts of a write, sorted so that equal writes give equal commits.
#[derive(Debug, Clone, Default)]
pub struct Receipts(Vec<Receipt>);

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("route", DataType::UInt8, false),
        Field::new("add", DataType::Utf8, true),
        Field::new("count", DataType::Int64, false),
    ]))
});

/// The columns of receipts.
pub(super) fn schema() -> &'static SchemaRef {
    &SCHEMA
}

/// Receipts as rows.
pub(super) fn encode(receipts: &[Receipt]) -> Result<RecordBatch, ArrowError> {
    let adds: Vec<Option<String>> = receipts
        .iter()
        .map(|receipt| receipt.add.as_ref().map(serde_json::to_string).transpose())
        .collect::<Result<_, _>>()
        .map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(receipts.iter().map(|receipt| receipt.route).collect::<UInt8Array>()),
        Arc::new(StringArray::from(adds)),
        Arc::new(receipts.iter().map(|receipt| receipt.count).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(Arc::clone(schema()), columns)
}

impl Receipts {
    /// Reads the rows that a write answered.
    pub fn decode(batches: &[RecordBatch]) -> Result<Self> {
        let mut receipts = Vec::new();
        for batch in batches {
            let columns = (
                batch.column_by_name("route").and_then(|column| column.as_primitive_opt::<UInt8Type>()),
                batch.column_by_name("add").and_then(|column| column.as_string_opt::<i32>()),
                batch.column_by_name("count").and_then(|column| column.as_primitive_opt::<Int64Type>()),
            );
            let (Some(routes), Some(adds), Some(counts)) = columns else {
                return Err(unexpected(format!("columns {:?} in place of receipts", batch.schema().fields())));
            };
            for (row, add) in adds.iter().enumerate() {
                let add = add.map(serde_json::from_str).transpose();
                let add = add.map_err(|error| unexpected(format!("a file that cannot be understood ({error})")))?;
                receipts.push(Receipt { route: routes.value(row), add, count: counts.value(row) });
            }
        }
        receipts.sort_by(|a, b| a.path().cmp(&b.path()));
        Ok(Self(receipts))
    }

    /// The files of one output.
    pub fn files(&self, route: u8) -> Vec<Add> {
        self.of(route).filter_map(|receipt| receipt.add.clone()).collect()
    }

    /// The number of rows written to one output, or the sum of a tally.
    pub fn count(&self, route: u8) -> i64 {
        self.of(route).map(|receipt| receipt.count).sum()
    }

    fn of(&self, route: u8) -> impl Iterator<Item = &Receipt> {
        self.0.iter().filter(move |receipt| receipt.route == route)
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
