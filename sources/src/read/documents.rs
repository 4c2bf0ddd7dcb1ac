//! Splits of newline-delimited JSON.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::chunks::{Chunks, StoredFile};
use super::lines::{Lines, Step};
use super::{Site, line_numbers};
use crate::SourceError;
use crate::decode::{Decoder, Place};
use crate::split::Split;

/// Reads the documents of one split.
pub(crate) struct DocumentReader {
    site: Arc<Site>,
    split: Split,
    chunks: Chunks,
    lines: Lines,
    decoder: Decoder,
    /// Documents that the framing found.
    read: u64,
    /// Lines before the split, once they are known.
    lines_before: Option<u64>,
    done: bool,
}

impl DocumentReader {
    pub(super) fn new(site: Arc<Site>, split: Split) -> Self {
        // A compressed file is one split whose end, in decompressed bytes, is not known.
        let end = if split.file.gzip { u64::MAX } else { split.end };
        Self {
            chunks: Chunks::open(&site, &split, Lines::first_byte(split.start)),
            lines: Lines::new(split.start, end, site.sizes),
            decoder: Decoder::projected(site.collection, site.projection.as_deref()),
            read: 0,
            lines_before: (split.start == 0).then_some(0),
            done: false,
            site,
            split,
        }
    }

    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.done {
            return Ok(None);
        }
        while !self.decoder.is_full() {
            match self.lines.next() {
                Step::Line { bytes, offset, number } => {
                    self.read += 1;
                    let place = place(&self.split, offset, number);
                    self.decoder.push_line(bytes, place);
                }
                Step::TooLong { beginning, sha256, offset, number } => {
                    self.read += 1;
                    let place = place(&self.split, offset, number);
                    self.decoder.push_too_long(beginning, sha256, place);
                }
                Step::NeedInput => match self.chunks.next().await? {
                    Some(chunk) => self.lines.feed(chunk),
                    None => self.lines.end_input(),
                },
                Step::End => {
                    self.end();
                    break;
                }
            }
        }
        let lines_before = self.lines_before().await?;
        self.decoder.finish(&self.split.file.path, lines_before).map(Some)
    }

    fn end(&mut self) {
        self.done = true;
        self.decoder.push_tally(self.read);
        if !self.split.file.gzip {
            let identity = StoredFile::new(&self.site, &self.split).identity(&self.site);
            let newlines = self.lines.newlines();
            line_numbers::remember(&identity, self.split.start, self.split.end, newlines);
        }
    }

    /// Lines before the split; counted only when there is a reject that needs them.
    async fn lines_before(&mut self) -> Result<u64, SourceError> {
        if self.decoder.rejects() == 0 {
            return Ok(0);
        }
        if let Some(known) = self.lines_before {
            return Ok(known);
        }
        let file = StoredFile::new(&self.site, &self.split);
        let identity = file.identity(&self.site);
        let counted = line_numbers::before(&file, &identity, self.split.start, self.site.sizes).await?;
        Ok(*self.lines_before.insert(counted))
    }
}

fn place(split: &Split, offset: u64, line: u64) -> Place {
    Place { ordinal: split.ordinal(offset), line }
}
