//! From raw batches to Arrow.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use mongodb::raw_batch_cursor::RawBatch;

use super::fault::MongoError;
use super::fetch::Batches;
use super::plan::DocumentRange;
use crate::SourceError;
use crate::decode::{Decoder, Place};
use crate::read::LiveSite;
use crate::split::ordinal;

/// Reads the documents of one range.
pub(crate) struct CollectionReader {
    batches: Batches,
    /// The batch that is being decoded, and how many bytes of its list of documents are done.
    current: Option<(RawBatch, usize)>,
    decoder: Decoder,
    rank: u32,
    /// For messages: `mongodb/<collection>`.
    name: String,
    read: u64,
    done: bool,
}

impl CollectionReader {
    /// Begins to fetch the range.
    pub(crate) fn new(site: Arc<LiveSite>, range: DocumentRange) -> Self {
        Self {
            decoder: match range.ids_only {
                true => Decoder::of_ids(site.collection, site.projection.as_deref()),
                false => Decoder::projected(site.collection, site.projection.as_deref()),
            },
            current: None,
            rank: range.rank,
            name: format!("mongodb/{}", range.name),
            batches: Batches::start(site.connections.clone(), site.collection, range),
            read: 0,
            done: false,
        }
    }

    /// The next batch; the last one ends with the range's tally.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.done {
            return Ok(None);
        }
        while !self.decoder.is_full() {
            if self.current.is_none() {
                self.current = self.batches.next().await?.map(|batch| (batch, 0));
            }
            if !self.decode()? {
                self.done = true;
                self.decoder.push_tally(self.read);
                break;
            }
        }
        self.decoder.finish(&self.name, 0).map(Some)
    }

    /// Decodes of the current batch as much as the Arrow batch holds; false if there is no current one.
    fn decode(&mut self) -> Result<bool, SourceError> {
        let Some((batch, begun)) = &mut self.current else { return Ok(false) };
        let mut documents = documents(batch, &self.name)?;
        documents.at = (*begun).max(documents.at);
        while !self.decoder.is_full() {
            let Some(document) = documents.next() else {
                documents.ended_well(&self.name)?;
                self.current = None;
                return Ok(true);
            };
            let place = Place { ordinal: ordinal(self.rank, self.read), line: self.read + 1 };
            self.read += 1;
            self.decoder.push_bson(document, place);
        }
        *begun = documents.at;
        Ok(true)
    }
}

/// The documents of a batch, as they came.
pub(super) fn documents<'b>(batch: &'b RawBatch, doing: &str) -> Result<Documents<'b>, MongoError> {
    let list =
        batch.doc_slices().map_err(|error| MongoError::Answer { doing: doing.to_owned(), why: error.to_string() })?;
    Ok(Documents { list: list.as_bytes(), at: 4 })
}

/// Cuts a list of documents at the lengths that they begin with, and looks at nothing else: a document that is broken
/// inside is the decoder's to put aside, and none of its neighbours'.
pub(super) struct Documents<'b> {
    list: &'b [u8],
    at: usize,
}

impl Documents<'_> {
    /// An error if what could not be cut off any more is not the end of the list.
    fn ended_well(&self, doing: &str) -> Result<(), MongoError> {
        if self.at + 1 == self.list.len() {
            return Ok(());
        }
        let why = format!("its documents end at byte {} of {}", self.at, self.list.len());
        Err(MongoError::Answer { doing: doing.to_owned(), why })
    }
}

impl<'b> Iterator for Documents<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        // An embedded document: its type, the digits of its index, and itself.
        let rest = self.list.get(self.at..).filter(|rest| rest.first() == Some(&3))?;
        let start = self.at + memchr::memchr(0, rest)? + 1;
        let length = u32::from_le_bytes(self.list.get(start..start + 4)?.try_into().ok()?) as usize;
        let document = self.list.get(start..start + length)?;
        self.at = start + length;
        Some(document)
    }
}
