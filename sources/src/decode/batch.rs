//! Batches of the output schema: documents, rejects and tallies in one stream.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int64Builder, RecordBatchOptions, StringBuilder, StructArray, UInt8Builder, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::builders::ColumnBuilder;
use super::{Cell, Failure, Strings};
use crate::schema::{
    ORDINAL_COLUMN, OUTPUT_COLUMN, OUTPUT_DOCUMENT, OUTPUT_REJECT, OUTPUT_TALLY, READ_COLUMN, REJECT_COLUMN,
    output_schema, reject_fields,
};
use crate::{Collection, SourceError};

/// Rows of a full batch.
const MAX_ROWS: usize = 8_192;
/// Source bytes of a full batch, so that wide rows do not make huge batches.
const MAX_BYTES: usize = 8 << 20;

/// Where a document stands in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Order within the run; see [`ORDINAL_COLUMN`].
    pub ordinal: i64,
    /// Line from 1, counted from where the reader started in the file.
    pub line: u64,
}

/// A rejected document.
pub(crate) struct Reject {
    pub(crate) sha256: String,
    pub(crate) raw: String,
    pub(crate) failure: Failure,
    pub(crate) place: Place,
    /// The document's id, where that says better than a line where the document stands.
    pub(crate) id: Option<String>,
}

/// Builds batches of a projection of the output schema.
pub(crate) struct BatchBuilder {
    collection: Collection,
    schema: SchemaRef,
    /// For each output column what it is made of.
    parts: Vec<Part>,
    /// Builders of the data columns that somebody wants, with their position among the collection's columns.
    columns: Vec<(usize, ColumnBuilder)>,
    output: UInt8Builder,
    ordinal: Int64Builder,
    read: Int64Builder,
    /// Rejects with their row in the batch.
    rejects: Vec<(usize, Reject)>,
    rows: usize,
    bytes: usize,
}

/// What an output column is made of.
enum Part {
    /// A builder, by its position in the list of builders.
    Column(usize),
    Output,
    Ordinal,
    Reject,
    Read,
}

impl BatchBuilder {
    pub(crate) fn new(collection: Collection, projection: Option<&[usize]>) -> Self {
        let full = output_schema(collection);
        let all: Vec<usize> = (0..full.fields().len()).collect();
        let mut columns: Vec<(usize, ColumnBuilder)> = Vec::new();
        let mut parts = Vec::new();
        let mut fields = Vec::new();
        for &index in projection.unwrap_or(&all) {
            let Some(field) = full.fields().get(index) else {
                continue;
            };
            fields.push(Arc::clone(field));
            parts.push(match field.name().as_str() {
                OUTPUT_COLUMN => Part::Output,
                ORDINAL_COLUMN => Part::Ordinal,
                REJECT_COLUMN => Part::Reject,
                READ_COLUMN => Part::Read,
                _ => {
                    let known = columns.iter().position(|(column, _)| *column == index);
                    Part::Column(known.unwrap_or_else(|| {
                        columns.push((index, ColumnBuilder::new(field.data_type(), 0, 0)));
                        columns.len() - 1
                    }))
                }
            });
        }
        Self {
            collection,
            schema: Arc::new(Schema::new(fields)),
            parts,
            columns,
            output: UInt8Builder::new(),
            ordinal: Int64Builder::new(),
            read: Int64Builder::new(),
            rejects: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Appends a document.
    pub(crate) fn push<S: Strings>(
        &mut self,
        cells: &[Cell],
        elements: &[Cell],
        strings: &S,
        place: Place,
        bytes: usize,
    ) {
        for (column, builder) in &mut self.columns {
            let cell = cells.get(*column).copied().unwrap_or(Cell::Null);
            builder.push(cell, elements, strings);
        }
        self.end_row(OUTPUT_DOCUMENT, Some(place.ordinal), None, bytes);
    }

    /// Appends a rejected document.
    pub(crate) fn push_reject(&mut self, reject: Reject) {
        let ordinal = reject.place.ordinal;
        let bytes = reject.raw.len();
        self.rejects.push((self.rows, reject));
        self.push_empty(OUTPUT_REJECT, Some(ordinal), None, bytes);
    }

    /// Appends a tally.
    pub(crate) fn push_tally(&mut self, read: u64) {
        // Splits are cut from files whose sizes are i64 in every store.
        let read = i64::try_from(read).unwrap_or(i64::MAX);
        self.push_empty(OUTPUT_TALLY, None, Some(read), 0);
    }

    fn push_empty(&mut self, output: u8, ordinal: Option<i64>, read: Option<i64>, bytes: usize) {
        for (_, builder) in &mut self.columns {
            builder.push_null();
        }
        self.end_row(output, ordinal, read, bytes);
    }

    fn end_row(&mut self, output: u8, ordinal: Option<i64>, read: Option<i64>, bytes: usize) {
        self.output.append_value(output);
        self.ordinal.append_option(ordinal);
        self.read.append_option(read);
        self.rows += 1;
        self.bytes += bytes;
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn rejects(&self) -> usize {
        self.rejects.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= MAX_ROWS || self.bytes >= MAX_BYTES
    }

    /// The batch so far; the builder is empty afterwards and sized for a batch like the last.
    pub(crate) fn finish(&mut self, file: &str, lines_before: u64) -> Result<RecordBatch, SourceError> {
        self.build(file, lines_before)
            .map_err(|source| SourceError::Batch { collection: self.collection.name(), source })
    }

    fn build(&mut self, file: &str, lines_before: u64) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let rejects = std::mem::take(&mut self.rejects);
        let (output, ordinal, read) =
            (Arc::new(self.output.finish()), Arc::new(self.ordinal.finish()), Arc::new(self.read.finish()));
        let full = output_schema(self.collection);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (index, builder) in &mut self.columns {
            let text_bytes = builder.text_bytes();
            columns.push(builder.finish()?);
            *builder = ColumnBuilder::new(full.field(*index).data_type(), rows, text_bytes);
        }
        let arrays: Vec<ArrayRef> = self
            .parts
            .iter()
            .map(|part| -> Result<ArrayRef, ArrowError> {
                Ok(match part {
                    Part::Column(at) => Arc::clone(&columns[*at]),
                    Part::Output => Arc::clone(&output) as ArrayRef,
                    Part::Ordinal => Arc::clone(&ordinal) as ArrayRef,
                    Part::Read => Arc::clone(&read) as ArrayRef,
                    Part::Reject => reject_column(rows, &rejects, file, lines_before)?,
                })
            })
            .collect::<Result<_, _>>()?;
        RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &RecordBatchOptions::new().with_row_count(Some(rows)),
        )
    }
}

/// The reject structs: null but for rejects. Children of null structs are null too, because expressions that take a
/// field out of a struct do not all look at the struct's own nulls.
fn reject_column(
    rows: usize,
    rejects: &[(usize, Reject)],
    file: &str,
    lines_before: u64,
) -> Result<ArrayRef, ArrowError> {
    if rejects.is_empty() {
        return Ok(new_null_array(&DataType::Struct(reject_fields()), rows));
    }
    let raw_bytes = rejects.iter().map(|(_, reject)| reject.raw.len()).sum();
    let mut sha256 = StringBuilder::with_capacity(rows, rejects.len() * 64);
    let mut raw = StringBuilder::with_capacity(rows, raw_bytes);
    let mut reason = StringBuilder::with_capacity(rows, rejects.len() * 12);
    let mut field = StringBuilder::with_capacity(rows, rejects.len() * 12);
    let mut position = StringBuilder::with_capacity(rows, rejects.len() * 32);
    let mut valid = vec![false; rows];
    let mut next = rejects.iter().peekable();
    for (row, valid) in valid.iter_mut().enumerate() {
        let Some((_, reject)) = next.next_if(|(at, _)| *at == row) else {
            for builder in [&mut sha256, &mut raw, &mut reason, &mut field, &mut position] {
                builder.append_null();
            }
            continue;
        };
        *valid = true;
        sha256.append_value(&reject.sha256);
        raw.append_value(&reject.raw);
        reason.append_value(reject.failure.reason.name());
        field.append_option(reject.failure.field.map(|field| field.to_string()));
        match &reject.id {
            Some(id) => position.append_value(format!("{file}:{id}")),
            None => position.append_value(format!("{file}:{}", lines_before + reject.place.line)),
        }
    }
    let children: Vec<ArrayRef> = vec![
        Arc::new(sha256.finish()),
        Arc::new(raw.finish()),
        Arc::new(reason.finish()),
        Arc::new(field.finish()),
        Arc::new(position.finish()),
    ];
    let nulls = NullBuffer::from(valid);
    let array = StructArray::try_new(reject_fields(), children, Some(nulls))?;
    debug_assert_eq!(array.len(), rows, "one struct a row");
    Ok(Arc::new(array))
}
