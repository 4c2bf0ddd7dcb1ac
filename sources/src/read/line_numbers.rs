//! How many lines come before a split.
//!
//! The reader of a range knows line numbers only from where it starts, and only rejects need them. When a split has
//! a reject, the line ends before it are counted by reading that part of the file. Done naively by every split this
//! would read the file as many times as it has splits, so counts are remembered for the life of the process: each
//! split leaves the count of its own range, which it knows for free, and each stretch that was counted is left too.
//! So a process reads at most one file's worth of bytes per file for this, however many splits have rejects, and
//! next to nothing when it has read the earlier splits itself. Counting runs at the speed of memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use parking_lot::Mutex;

use super::Sizes;
use super::chunks::{RangeReader, StoredFile};
use crate::SourceError;

/// Files whose counts are remembered; beyond that all are forgotten, which costs only time.
const MAX_FILES: usize = 4_096;

/// For each file the counted stretches: first byte to byte after the last, and line ends between.
type Counts = HashMap<String, BTreeMap<u64, (u64, u64)>>;

static COUNTS: LazyLock<Mutex<Counts>> = LazyLock::new(Mutex::default);

/// Remembers the line ends in a stretch of a file.
pub(super) fn remember(identity: &str, start: u64, end: u64, newlines: u64) {
    if start >= end {
        return;
    }
    let mut counts = COUNTS.lock();
    if counts.len() >= MAX_FILES && !counts.contains_key(identity) {
        counts.clear();
    }
    let stretches = counts.entry(identity.to_owned()).or_default();
    stretches.insert(start, (end, newlines));
}

/// Counts the line ends in the first `end` bytes of a file.
pub(super) async fn before(file: &StoredFile, identity: &str, end: u64, sizes: Sizes) -> Result<u64, SourceError> {
    let mut total = 0;
    let mut at = 0;
    while at < end {
        let (known, next) = look_up(identity, at, end);
        if let Some((to, newlines)) = known {
            total += newlines;
            at = to;
        } else {
            let newlines = count(file, at, next, sizes).await?;
            remember(identity, at, next, newlines);
            total += newlines;
            at = next;
        }
    }
    Ok(total)
}

/// The known stretch that begins at a position and ends in time, or where the next known one begins.
fn look_up(identity: &str, at: u64, end: u64) -> (Option<(u64, u64)>, u64) {
    let counts = COUNTS.lock();
    let Some(stretches) = counts.get(identity) else {
        return (None, end);
    };
    let known = stretches.get(&at).copied().filter(|(to, _)| *to <= end);
    let next = stretches.range(at + 1..end).next().map_or(end, |(start, _)| *start);
    (known, next)
}

async fn count(file: &StoredFile, start: u64, end: u64, sizes: Sizes) -> Result<u64, SourceError> {
    let mut reader = RangeReader::new(file.clone(), start, end, sizes);
    let mut left = end - start;
    let mut newlines = 0;
    while left > 0 {
        let Some(chunk) = reader.next().await? else {
            break;
        };
        newlines += memchr::memchr_iter(b'\n', &chunk).count() as u64;
        left = left.saturating_sub(chunk.len() as u64);
        tokio::task::yield_now().await;
    }
    Ok(newlines)
}
