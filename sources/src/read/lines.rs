//! Lines of a byte range.
//!
//! A range owns the lines that begin in it. Its reader starts one byte early and skips to the first line end, so a
//! range that begins right after a line end loses nothing, and it reads on beyond its end to finish its last line.
//! Hence every line of a file belongs to exactly one of the ranges that cover it, wherever they are cut.
//!
//! Lines end in `\n` or `\r\n`. Blank lines are skipped, and so is a byte-order mark at the start of the file. Most
//! lines are handed out in place; only one that crosses chunks is copied.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::Sizes;
use crate::decode::hex;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Cuts chunks into lines.
pub(super) struct Lines {
    start: u64,
    end: u64,
    longest: usize,
    beginning: usize,
    chunk: Bytes,
    /// Position in the chunk, and the chunk's position in the file.
    at: usize,
    chunk_at: u64,
    /// Whether the first, foreign line is still to be skipped.
    skipping: bool,
    /// The line that crosses chunks, so far; of one that is too long only the beginning.
    carry: Vec<u8>,
    /// Where that line begins; `None` when there is none.
    carry_at: Option<u64>,
    /// Whether the carried line was handed out and can be dropped.
    carry_used: bool,
    too_long: Option<TooLong>,
    /// Line ends in the range so far.
    newlines: u64,
    input_ended: bool,
}

/// What the next step is.
pub(super) enum Step<'a> {
    /// A line, without its end.
    Line { bytes: &'a [u8], offset: u64, number: u64 },
    /// A line that is too long to be held.
    TooLong { beginning: &'a [u8], sha256: String, offset: u64, number: u64 },
    /// More bytes are needed.
    NeedInput,
    /// The range has no more lines.
    End,
}

/// The digest of a line that is too long. A carriage return is held back until it is known not to end the line.
struct TooLong {
    digest: Sha256,
    held_return: bool,
}

enum Found {
    InChunk { from: usize, to: usize },
    InCarry,
    TooLong,
}

impl Lines {
    /// Lines of the range `start..end`, which read chunks from [`first_byte`](Self::first_byte) on.
    pub(super) fn new(start: u64, end: u64, sizes: Sizes) -> Self {
        Self {
            start,
            end,
            longest: sizes.longest_line,
            beginning: sizes.beginning,
            chunk: Bytes::new(),
            at: 0,
            chunk_at: Self::first_byte(start),
            skipping: start > 0,
            carry: Vec::new(),
            carry_at: None,
            carry_used: false,
            too_long: None,
            newlines: 0,
            input_ended: false,
        }
    }

    /// Where the reader of a range must begin.
    pub(super) fn first_byte(start: u64) -> u64 {
        start.saturating_sub(1)
    }

    /// Line ends that lie in the range and have been seen; all of them once the range is at its end.
    pub(super) fn newlines(&self) -> u64 {
        self.newlines
    }

    /// The next bytes. The chunk before is used up when `next` has asked for input.
    pub(super) fn feed(&mut self, chunk: Bytes) {
        self.chunk_at += self.chunk.len() as u64;
        self.chunk = chunk;
        self.at = 0;
    }

    /// There are no more bytes.
    pub(super) fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// The next line that is not blank. Numbers count from 1 at the start of the range.
    pub(super) fn next(&mut self) -> Step<'_> {
        let (found, offset, number) = loop {
            if std::mem::take(&mut self.carry_used) {
                self.carry.clear();
                self.carry_at = None;
                self.too_long = None;
            }
            let here = self.chunk_at + self.at as u64;
            if self.carry_at.is_none() && !self.skipping && here >= self.end {
                return Step::End;
            }
            let number = self.newlines + 1;
            let line_end = memchr::memchr(b'\n', &self.chunk[self.at..]);
            let Some(length) = line_end else {
                self.carry_rest(here);
                if !self.input_ended {
                    return Step::NeedInput;
                }
                let Some(offset) = self.carry_at else {
                    return Step::End;
                };
                // The last line of the file, without a line end.
                match self.carried() {
                    Some(found) => break (found, offset, number),
                    None => continue,
                }
            };
            let newline_at = here + length as u64;
            self.newlines += u64::from((self.start..self.end).contains(&newline_at));
            let from = self.at;
            self.at += length + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.carry_at.is_some() || length > self.longest {
                let offset = *self.carry_at.get_or_insert(here);
                self.append(from, from + length);
                if let Some(found) = self.carried() {
                    break (found, offset, number);
                }
            } else if let Some((from, to)) = self.trimmed(&self.chunk, from, from + length, here) {
                break (Found::InChunk { from, to }, here, number);
            }
        };
        self.step(found, offset, number)
    }

    fn step(&mut self, found: Found, offset: u64, number: u64) -> Step<'_> {
        match found {
            Found::InChunk { from, to } => Step::Line { bytes: &self.chunk[from..to], offset, number },
            Found::InCarry => {
                let trimmed = self.trimmed(&self.carry, 0, self.carry.len(), offset);
                let (from, to) = trimmed.unwrap_or_default();
                Step::Line { bytes: &self.carry[from..to], offset, number }
            }
            Found::TooLong => {
                let digest = self.too_long.take().map(|long| long.digest.finalize());
                Step::TooLong {
                    beginning: &self.carry,
                    sha256: hex(digest.unwrap_or_default().as_slice()),
                    offset,
                    number,
                }
            }
        }
    }

    /// The carried line, which is complete; `None` when it is blank.
    fn carried(&mut self) -> Option<Found> {
        self.carry_used = true;
        if self.too_long.is_some() {
            return Some(Found::TooLong);
        }
        let offset = self.carry_at.unwrap_or_default();
        self.trimmed(&self.carry, 0, self.carry.len(), offset).map(|_| Found::InCarry)
    }

    /// Keeps what is left of the chunk: the beginning of a line, unless it is foreign.
    fn carry_rest(&mut self, here: u64) {
        if !self.skipping && self.at < self.chunk.len() {
            self.carry_at.get_or_insert(here);
            self.append(self.at, self.chunk.len());
        }
        self.at = self.chunk.len();
    }

    /// Appends a part of the chunk to the carried line.
    fn append(&mut self, from: usize, to: usize) {
        let bytes = &self.chunk[from..to];
        if self.too_long.is_none() && self.carry.len() + bytes.len() <= self.longest {
            self.carry.extend_from_slice(bytes);
            return;
        }
        let carry = &mut self.carry;
        let too_long = self.too_long.get_or_insert_with(|| {
            let mut too_long = TooLong { digest: Sha256::new(), held_return: false };
            too_long.update(carry);
            too_long
        });
        too_long.update(bytes);
        let room = self.beginning.saturating_sub(carry.len());
        carry.extend_from_slice(&bytes[..room.min(bytes.len())]);
        carry.truncate(self.beginning);
        carry.shrink_to(self.beginning);
    }

    /// A line without a carriage return at its end and a byte-order mark at the start of the file; `None` when
    /// nothing but white space is left.
    fn trimmed(&self, bytes: &[u8], from: usize, to: usize, offset: u64) -> Option<(usize, usize)> {
        let line = &bytes[from..to];
        let mark = if offset == 0 && line.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let end = to - usize::from(line.ends_with(b"\r") && line.len() > mark);
        let content = &bytes[from + mark..end];
        let blank = content.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        (!blank).then_some((from + mark, end))
    }
}

impl TooLong {
    fn update(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.held_return {
            self.digest.update(b"\r");
        }
        self.held_return = bytes.ends_with(b"\r");
        self.digest.update(bytes.strip_suffix(b"\r").unwrap_or(bytes));
    }
}
