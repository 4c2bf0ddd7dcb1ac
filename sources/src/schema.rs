//! The schema of a scan: the collection's columns, then the control columns by which the lake tells documents from
//! rejects and tallies.
//!
//! One stream carries all three because a stage of the cluster has one output, and a second pass over the source
//! only to find the rejects would double its cost. All data columns are nullable here, since reject and tally rows
//! have none; the writer restores the contract's nullability when it splits the stream.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::Collection;

/// Which of the three outputs a row belongs to: one of the `OUTPUT_` constants, never null.
pub const OUTPUT_COLUMN: &str = "_output";
/// Order of documents within a run: greater means later by (file name, position in the file). Null in a tally.
pub const ORDINAL_COLUMN: &str = "_ordinal";
/// The rejected document; set exactly in reject rows.
pub const REJECT_COLUMN: &str = "_reject";
/// How many documents the framing of a split found; set exactly in tally rows.
pub const READ_COLUMN: &str = "_read";

/// A decoded document.
pub const OUTPUT_DOCUMENT: u8 = 0;
/// A document that could not be decoded.
pub const OUTPUT_REJECT: u8 = 1;
/// The end of a split.
pub const OUTPUT_TALLY: u8 = 2;

/// The fields of the reject struct: `document_sha256`, `raw`, `reason`, `field` (nullable), `source_position`.
#[must_use]
pub fn reject_fields() -> Fields {
    Fields::from(vec![
        Field::new("document_sha256", DataType::Utf8, false),
        Field::new("raw", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("field", DataType::Utf8, true),
        Field::new("source_position", DataType::Utf8, false),
    ])
}

/// The schema of a full scan of this collection.
#[must_use]
pub fn output_schema(collection: Collection) -> SchemaRef {
    let columns = collection.columns();
    let mut fields: Vec<Field> =
        columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    fields.push(Field::new(OUTPUT_COLUMN, DataType::UInt8, false));
    fields.push(Field::new(ORDINAL_COLUMN, DataType::Int64, true));
    fields.push(Field::new(REJECT_COLUMN, DataType::Struct(reject_fields()), true));
    fields.push(Field::new(READ_COLUMN, DataType::Int64, true));
    Arc::new(Schema::new(fields))
}
