//! CSV files: RFC 4180 with a header line.
//!
//! `csv-core` finds the records and their fields, also across line ends in quotes. A file is one split: where a
//! record begins cannot be known without reading all before it, and tables of accounts are small beside messages.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use csv_core::{ReadRecordResult, Reader as CsvReader};
use sha2::{Digest, Sha256};

use super::Site;
use super::chunks::Chunks;
use crate::SourceError;
use crate::decode::{Fields, Place, Reason, RecordDecoder, hex, sha256_hex};
use crate::split::Split;

/// How MySQL writes null.
const NULL: &str = "\\N";

/// Reads the rows of one file.
pub(crate) struct RecordReader {
    site: Arc<Site>,
    split: Split,
    chunks: Chunks,
    frames: Frames,
    fields: Fields,
    decoder: Option<RecordDecoder>,
    read: u64,
    done: bool,
}

/// Cuts chunks into records.
pub(super) struct Frames {
    csv: CsvReader,
    longest: usize,
    buffer: Vec<u8>,
    /// Where the current record begins in the buffer, and how far `csv` has read.
    start: usize,
    seen: usize,
    /// Position of the buffer in the file.
    buffer_at: u64,
    /// Line ends before `start`.
    newlines: u64,
    /// Unescaped fields of the current record, and where they end.
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    /// Whether the current record was handed out.
    complete: bool,
    /// A record that is too long, whose bytes are dropped as they come.
    too_long: Option<TooLong>,
    input_ended: bool,
}

struct TooLong {
    digest: Sha256,
    offset: u64,
    line: u64,
}

pub(super) enum Step {
    Record(Frame),
    NeedInput,
    End,
}

/// A complete record; its fields are in the frames' buffers.
pub(super) struct Frame {
    /// Its bytes in the buffer, without line ends.
    raw: std::ops::Range<usize>,
    offset: u64,
    line: u64,
    sha256: Option<String>,
    unclosed_quote: bool,
}

impl Frame {
    /// Whether its fields are all there.
    pub(super) fn is_whole(&self) -> bool {
        self.sha256.is_none() && !self.unclosed_quote
    }
}

impl RecordReader {
    pub(super) fn new(site: Arc<Site>, split: Split) -> Self {
        Self {
            chunks: Chunks::open(&site, &split, 0),
            frames: Frames::new(site.sizes.longest_line),
            fields: Fields::default(),
            decoder: None,
            read: 0,
            done: false,
            site,
            split,
        }
    }

    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.done {
            return Ok(None);
        }
        while !self.decoder.as_ref().is_some_and(RecordDecoder::is_full) {
            match self.frames.next() {
                Step::Record(frame) => self.take(&frame)?,
                Step::NeedInput => match self.chunks.next().await? {
                    Some(chunk) => self.frames.feed(&chunk),
                    None => self.frames.end(),
                },
                Step::End => {
                    self.done = true;
                    break;
                }
            }
        }
        let Some(decoder) = &mut self.decoder else {
            return self.without_header().map(Some);
        };
        if self.done {
            decoder.push_tally(self.read);
        }
        decoder.finish(&self.split.file.path).map(Some)
    }

    /// The header, or a row.
    fn take(&mut self, frame: &Frame) -> Result<(), SourceError> {
        let Some(decoder) = &mut self.decoder else {
            self.decoder = Some(self.header()?);
            return Ok(());
        };
        // A line of nothing but spaces is blank, unless that is what a table of one column holds.
        let raw = &self.frames.buffer[frame.raw.clone()];
        if frame.sha256.is_none() && decoder.width() > 1 && raw.trim_ascii().is_empty() {
            return Ok(());
        }
        self.read += 1;
        let place = Place { ordinal: self.split.ordinal(frame.offset), line: frame.line };
        if let Some(sha256) = &frame.sha256 {
            decoder.push_unreadable(Reason::WrongType, sha256.clone(), place);
        } else if frame.unclosed_quote {
            decoder.push_unreadable(Reason::WrongType, sha256_hex(raw), place);
        } else if self.frames.fields(&mut self.fields) {
            decoder.push(&self.fields, raw.len(), place, || sha256_hex(raw));
        } else {
            decoder.push_invalid_text(&self.fields, sha256_hex(raw), place);
        }
        Ok(())
    }

    fn header(&mut self) -> Result<RecordDecoder, SourceError> {
        self.frames.fields(&mut self.fields);
        let names = (0..self.fields.len()).map(|index| self.fields.get(index).unwrap_or_default().to_owned()).collect();
        self.decoder_for(names)
    }

    fn decoder_for(&self, names: Vec<String>) -> Result<RecordDecoder, SourceError> {
        let projection = self.site.projection.as_deref();
        RecordDecoder::new(self.site.collection, projection, names).map_err(|column| {
            // The line itself is not shown: without a header it is a row, with what is secret in it.
            SourceError::Header { file: self.split.file.path.clone(), column }
        })
    }

    /// A file without any line: nothing was exported, which is no error.
    fn without_header(&self) -> Result<RecordBatch, SourceError> {
        let columns = self.site.collection.layout().columns;
        let names = columns.iter().flat_map(|column| column.fields);
        let mut decoder = self.decoder_for(names.map(|name| (*name).to_owned()).collect())?;
        decoder.push_tally(0);
        decoder.finish(&self.split.file.path)
    }
}

impl Frames {
    pub(super) fn new(longest: usize) -> Self {
        Self {
            csv: CsvReader::new(),
            longest,
            buffer: Vec::new(),
            start: 0,
            seen: 0,
            buffer_at: 0,
            newlines: 0,
            text: vec![0; 1_024],
            text_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
            complete: false,
            too_long: None,
            input_ended: false,
        }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.start);
        self.buffer_at += self.start as u64;
        self.seen -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// Tells that there is no more to feed.
    pub(super) fn end(&mut self) {
        self.input_ended = true;
    }

    pub(super) fn next(&mut self) -> Step {
        if std::mem::take(&mut self.complete) {
            self.drop_seen();
            self.text_len = 0;
            self.ends_len = 0;
            self.too_long = None;
        }
        loop {
            let input = &self.buffer[self.seen..];
            let at_end = input.is_empty();
            // `csv` drops a byte-order mark only if it sees it whole, and takes one alone for the end of input.
            let torn_mark = self.buffer_at == 0 && self.seen == 0 && input.len() < 4;
            if (at_end || torn_mark) && !self.input_ended {
                self.bound();
                return Step::NeedInput;
            }
            let (result, read, text, ends) =
                self.csv.read_record(input, &mut self.text[self.text_len..], &mut self.ends[self.ends_len..]);
            self.seen += read;
            self.text_len += text;
            self.ends_len += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.too_long.is_some() => self.text_len = 0,
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if self.too_long.is_some() => self.ends_len = 0,
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    self.complete = true;
                    return Step::Record(self.frame(at_end));
                }
                ReadRecordResult::End => return Step::End,
            }
        }
    }

    /// Forgets what has been read, but counts its line ends.
    fn drop_seen(&mut self) {
        let seen = &self.buffer[self.start..self.seen];
        self.newlines += memchr::memchr_iter(b'\n', seen).count() as u64;
        self.start = self.seen;
    }

    /// Line ends before the first byte of the current record belong to the record before, or are blank lines.
    fn record_start(&self) -> usize {
        let bytes = &self.buffer[self.start..self.seen];
        let leading = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        self.start + leading.count()
    }

    fn place(&self, record_start: usize) -> (u64, u64) {
        let leading = &self.buffer[self.start..record_start];
        let newlines = self.newlines + memchr::memchr_iter(b'\n', leading).count() as u64;
        (self.buffer_at + record_start as u64, newlines + 1)
    }

    /// Stops to hold the current record when it has become too long.
    fn bound(&mut self) {
        if self.too_long.is_none() {
            let start = self.record_start();
            if self.seen - start <= self.longest {
                return;
            }
            let (offset, line) = self.place(start);
            let mut digest = Sha256::new();
            digest.update(&self.buffer[start..self.seen]);
            self.too_long = Some(TooLong { digest, offset, line });
        } else if let Some(too_long) = &mut self.too_long {
            too_long.digest.update(&self.buffer[self.start..self.seen]);
        }
        self.drop_seen();
    }

    fn frame(&mut self, at_end: bool) -> Frame {
        let start = if self.too_long.is_some() { self.start } else { self.record_start() };
        let record = &self.buffer[start..self.seen];
        let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        // A record that the file's end closed has no line end of its own.
        let line_end = if at_end { 0 } else { record.iter().rev().take(2).take_while(is_line_end).count() };
        let raw = start..self.seen - line_end;
        if let Some(mut too_long) = self.too_long.take() {
            too_long.digest.update(&self.buffer[raw.clone()]);
            return Frame {
                raw,
                offset: too_long.offset,
                line: too_long.line,
                sha256: Some(hex(too_long.digest.finalize().as_slice())),
                unclosed_quote: false,
            };
        }
        let (offset, line) = self.place(start);
        let quotes = memchr::memchr_iter(b'"', &self.buffer[raw.clone()]).count();
        Frame { raw, offset, line, sha256: None, unclosed_quote: at_end && quotes % 2 == 1 }
    }

    /// Fills in the fields of the record; false if one of them is not UTF-8, in whose place U+FFFD then stands.
    pub(super) fn fields(&self, fields: &mut Fields) -> bool {
        fields.clear();
        let mut valid = true;
        let mut start = 0;
        for &end in &self.ends[..self.ends_len] {
            let bytes = self.text.get(start..end).unwrap_or_default();
            start = end;
            let text = String::from_utf8_lossy(bytes);
            valid &= matches!(text, std::borrow::Cow::Borrowed(_));
            fields.push(Some(text.as_ref()).filter(|text| !text.is_empty() && *text != NULL));
        }
        valid
    }
}
