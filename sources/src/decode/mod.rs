//! From documents and rows to Arrow, without knowing where their bytes came from.
//!
//! A row is decoded in two steps. First every column is decoded and validated into a small reused staging row of
//! plain values, in which strings are positions in the parsed document; then the whole row is appended, which cannot
//! fail. So a document that fails at its last field leaves no trace in the builders, and a row costs no allocation.
//!
//! [`Decoder`] takes documents, as lines of JSON or as BSON, `RecordDecoder` rows of text fields. Both give batches of
//! [`output_schema`](crate::output_schema). Neither does I/O, so a bench can feed them from memory.

mod batch;
mod builders;
mod cell;
mod document;
mod failure;
mod keys;
mod plan;
mod record;
mod tree;

use arrow::record_batch::RecordBatch;

pub use batch::Place;
pub(crate) use batch::{BatchBuilder, Reject};
pub(crate) use cell::{Cell, OBJECT_ID_DIGITS, Staged, Strings, Text};
use document::Row;
pub(crate) use document::{integral, parse_integer};
pub(crate) use failure::{Failure, Reason};
use plan::Plan;
pub(crate) use record::{Fields, RecordDecoder, row_json};
pub(crate) use tree::{Shape, Tree};

use crate::bson::{self, BsonDocument, Member};
use crate::json::{Parser, redact};
use crate::{Collection, SourceError};

/// Decodes documents of one collection.
pub struct Decoder {
    plan: Plan,
    parser: Parser,
    /// Room for the members of a BSON document.
    members: Vec<Member>,
    row: Row,
    batch: BatchBuilder,
}

impl Decoder {
    /// A decoder of all columns.
    #[must_use]
    pub fn new(collection: Collection) -> Self {
        Self::projected(collection, None)
    }

    /// A decoder that builds only these columns of the output schema, in this order. Documents are validated in
    /// full all the same, so that what is rejected does not depend on who asks.
    #[must_use]
    pub fn projected(collection: Collection, projection: Option<&[usize]>) -> Self {
        Self::with(Plan::new(collection.layout()), collection, projection)
    }

    /// A decoder that looks at nothing but the key, which is the first column; all others are null.
    pub(crate) fn of_ids(collection: Collection, projection: Option<&[usize]>) -> Self {
        Self::with(Plan::new(collection.layout().of_key()), collection, projection)
    }

    fn with(plan: Plan, collection: Collection, projection: Option<&[usize]>) -> Self {
        let batch = BatchBuilder::new(collection, projection);
        Self { plan, parser: Parser::new(), members: Vec::new(), row: Row::default(), batch }
    }

    /// Decodes one line, without its line end: one row more, of a document or of a reject.
    pub fn push_line(&mut self, line: &[u8], place: Place) {
        let Self { plan, parser, row, batch, .. } = self;
        let decoded = parser.parse(line, |document| {
            row.decode(plan, &document)?;
            batch.push(&row.cells, &row.elements, &document, place, line.len());
            Ok(())
        });
        if let Err(failure) = decoded {
            batch.push_reject(Reject { sha256: sha256_hex(line), raw: redact::line(line), failure, place, id: None });
        }
    }

    /// Decodes one BSON document: one row more, of a document or of a reject.
    pub fn push_bson(&mut self, bytes: &[u8], place: Place) {
        let Self { plan, members, row, batch, .. } = self;
        let decoded = BsonDocument::check(bytes, members).and_then(|document| {
            row.decode(plan, &document)?;
            batch.push(&row.cells, &row.elements, &document, place, bytes.len());
            Ok(())
        });
        if let Err(failure) = decoded {
            batch.push_reject(Reject {
                sha256: sha256_hex(bytes),
                raw: redact::bounded(bson::redacted(bytes)),
                failure,
                place,
                id: Some(bson::id_text(bytes)),
            });
        }
    }

    /// Rejects a line that is too long to be held, of which only the beginning and the digest are known.
    pub(crate) fn push_too_long(&mut self, beginning: &[u8], sha256: String, place: Place) {
        self.batch.push_reject(Reject {
            sha256,
            raw: redact::beginning(beginning),
            failure: Failure::whole(Reason::InvalidJson),
            place,
            id: None,
        });
    }

    /// Appends the tally of a split: how many documents its framing found.
    pub fn push_tally(&mut self, read: u64) {
        self.batch.push_tally(read);
    }

    /// Rows since the last batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batch.rows()
    }

    /// Rejects since the last batch.
    #[must_use]
    pub fn rejects(&self) -> usize {
        self.batch.rejects()
    }

    /// Whether the batch has reached its size and should be finished.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// The rows so far as a batch. Rejects are positioned at `<file>:<lines_before + line>`.
    ///
    /// # Errors
    /// [`SourceError::Batch`] if Arrow refuses the columns, which is a mistake in the table of the collection.
    pub fn finish(&mut self, file: &str, lines_before: u64) -> Result<RecordBatch, SourceError> {
        self.batch.finish(file, lines_before)
    }
}

/// The digest by which quarantine knows a document.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(bytes))
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests;
