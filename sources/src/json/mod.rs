//! JSON lines as flat token sequences.
//!
//! simd-json does the parsing: it is maintained, validates UTF-8 and grammar with SIMD, and its tape is one reused
//! flat array, so a document costs no allocation. jiter was considered: it pulls values in order, which would mean
//! to parse known values twice, since of duplicate keys the last wins and of aliases the preferred one.
//!
//! simd-json refuses some documents that are valid here (numbers out of range in fields that nobody reads) and accepts
//! a few that are not ([`doubt`] says which). So whatever it refuses, and whatever it might misread, goes through
//! [`scan`], an exact and slower reader, which says why the line is bad or gives the same tape with the doubtful
//! strings marked.

mod doubt;
pub(crate) mod redact;
mod scan;
pub(crate) mod secret;
mod tape;
mod tree;
pub(crate) use tape::{Document, MAX_DEPTH, Parser};
