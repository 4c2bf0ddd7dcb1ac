//! The listing of a media folder, cut into ranges of keys.
//!
//! A media folder may hold millions of objects, so no process holds its listing: the readers of a scan page through
//! it, each through its own range of keys, and keep one batch. Stores that list keys in order and from a given key on,
//! as S3 does, are cut where many keys have the same beginning. A local folder is one range: it cannot be listed from a
//! key on without walking all that is before it, and a walk is fast.
//!
//! # Finding the cuts
//! One page of a listing shows what its keys begin with, and asking for what comes after all keys with that beginning
//! skips them, however many they are. So the beginnings are found character by character, as in a radix tree, and all
//! of one length before any longer one: folders of dates, flat folders of random ids and ids that count up are all cut,
//! with a request for each beginning that has a page of keys or more. A beginning that all keys share is skipped with
//! one request. The search ends when there are enough ranges, or after a fixed number of requests; what was not looked
//! at then is one range.
//!
//! A store that is seen to list in no order is one range too: what is beyond a cut could be anywhere.
//!
//! # Invariants
//! The ranges of a plan do not overlap and cover every key, whatever was found: a cut may be any text. Keys are those
//! that are shown, see [`super::walk`].
//!
//! # Rejected
//! * A listing with a delimiter, for finding folders. In the usual layout `media/<id>.jpg` it would bring every object
//!   into the memory of the process that plans.
//! * Cuts at evenly spaced texts: what keys are made of would have to be guessed, and ids that count up begin alike.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, Result};
use serde::{Deserialize, Serialize};

use super::walk::{Next, Position};
use crate::split::ordinal;

/// Greater than every other character, so that no key with a beginning comes after the beginning and this.
const LAST_CHARACTER: char = char::MAX;
/// Requests at a time while cuts are looked for.
const AT_ONCE: usize = 8;

/// Keys after one and up to another: what one descriptor row of a media scan says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRange {
    /// Rank of the range; greater means later keys.
    pub(crate) rank: u32,
    /// The range begins after this key.
    pub(crate) after: Option<String>,
    /// The last key that may belong to it.
    pub(crate) until: Option<String>,
}

impl KeyRange {
    /// The order of the object at this position of the range.
    pub(crate) fn ordinal(&self, position: u64) -> i64 {
        ordinal(self.rank, position)
    }

    /// Whether it is all of a listing.
    pub(super) fn is_whole(&self) -> bool {
        self.after.is_none() && self.until.is_none()
    }
}

/// The place in a store's order from which a range is listed; none for the beginning.
pub(crate) fn offset(root: &Path, after: Option<&str>) -> Result<Option<Path>> {
    let Some(after) = after else { return Ok(None) };
    let path = if root.as_ref().is_empty() { after.to_owned() } else { format!("{root}/{after}") };
    Ok(Some(Path::parse(path)?))
}

/// The place behind all keys that come before the object of a folder: the next one is that, if it is there.
pub(crate) fn before_folder(folder: &str) -> String {
    end_of(&format!("{folder}."))
}

/// How far the search for cuts goes.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Keys that one request brings, and that are too few to be cut.
    page: usize,
    /// As many beginnings are enough: the largest range is then a small part of the keys in all usual layouts.
    beginnings: usize,
    /// Requests that the search may cost.
    requests: usize,
    /// More ranges than this gain nothing: a listing is limited by what the store allows one client.
    ranges: usize,
}

impl Effort {
    const USUAL: Self = Self { page: 1_000, beginnings: 16, requests: 128, ranges: 32 };
}

/// The ranges of a scan. `in_order` says that the store lists keys in order and from a given key on.
pub(crate) async fn plan(store: &dyn ObjectStore, root: &Path, in_order: bool) -> Result<Vec<KeyRange>> {
    let cuts = if in_order { Search::new(store, root, Effort::USUAL).cuts().await? } else { Vec::new() };
    let starts = std::iter::once(None).chain(cuts.iter().cloned().map(Some));
    let ends = cuts.iter().cloned().map(Some).chain(std::iter::once(None));
    Ok((0..).zip(starts.zip(ends)).map(|(rank, (after, until))| KeyRange { rank, after, until }).collect())
}

/// The search for cuts in one folder.
struct Search<'a> {
    store: &'a dyn ObjectStore,
    root: &'a Path,
    effort: Effort,
    requests: AtomicUsize,
    /// Whether keys were seen that were not in order.
    is_unordered: AtomicBool,
}

/// Keys with the same beginning, which are more than a few.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Beginning {
    text: String,
    /// They come after this key, and nothing else that was found does before them.
    after: Option<String>,
    /// Whether longer beginnings can be looked for.
    open: bool,
}

impl Beginning {
    /// A cut behind its keys.
    fn end(&self) -> String {
        end_of(&self.text)
    }
}

impl<'a> Search<'a> {
    fn new(store: &'a dyn ObjectStore, root: &'a Path, effort: Effort) -> Self {
        Self { store, root, effort, requests: AtomicUsize::new(0), is_unordered: AtomicBool::new(false) }
    }

    /// The cuts, in order.
    async fn cuts(&self) -> Result<Vec<String>> {
        let mut found = vec![Beginning { text: String::new(), after: None, open: true }];
        while found.len() < self.effort.beginnings && found.iter().any(|beginning| beginning.open) && self.may_ask() {
            let longer = stream::iter(found.into_iter().map(|beginning| self.longer(beginning).boxed()));
            found = longer.buffered(AT_ONCE).try_concat().await?;
        }
        if self.is_unordered.load(Ordering::Relaxed) {
            tracing::info!(folder = %self.root, "the store lists keys in no order; the folder is listed by one task");
            return Ok(Vec::new());
        }
        // The last one ends where the folder does.
        found.pop();
        let step = found.len().div_ceil(self.effort.ranges.saturating_sub(1).max(1)).max(1);
        Ok(found.iter().skip(step - 1).step_by(step).map(Beginning::end).collect())
    }

    /// The beginnings that are longer than this one by a character, or than what all its keys share; itself if there are
    /// none. What is left out are keys too few to be cut.
    async fn longer(&self, beginning: Beginning) -> Result<Vec<Beginning>> {
        let Beginning { mut text, mut after, open } = beginning;
        let mut found = Vec::new();
        while open && self.may_ask() {
            let page = self.page(&text, after.as_deref(), self.effort.page).await?;
            let is_full = page.len() >= self.effort.page;
            let (true, Some(first), Some(last)) = (is_full, page.first(), page.last()) else {
                if found.is_empty() {
                    break;
                }
                return Ok(found);
            };
            if found.is_empty() {
                text = self.shared_by_all(text, shared_beginning(first, last)).await?;
            }
            let Some(next) = last.strip_prefix(text.as_str()).and_then(|rest| rest.chars().next()) else { break };
            let longer = format!("{text}{next}");
            let before = page.iter().rev().find(|key| !key.starts_with(&longer)).cloned();
            let next = Beginning { after: before.or(after), open: true, text: longer };
            after = Some(next.end());
            found.push(next);
        }
        found.push(Beginning { text, after, open: false });
        Ok(found)
    }

    /// The longest beginning that all keys with a beginning share, given what the first of them share: what comes behind
    /// those shows how much less that is.
    async fn shared_by_all(&self, text: String, shared: &str) -> Result<String> {
        let mut shared = shared;
        // Else asking would not cost less than going on.
        while shared.chars().count() > text.chars().count() + 1 && self.may_ask() {
            match self.page(&text, Some(&end_of(shared)), 1).await?.first() {
                Some(next) => shared = shared_beginning(shared, next),
                None => return Ok(shared.to_owned()),
            }
        }
        Ok(text)
    }

    fn may_ask(&self) -> bool {
        self.requests.load(Ordering::Relaxed) < self.effort.requests && !self.is_unordered.load(Ordering::Relaxed)
    }

    /// The first keys with a beginning that come after a key.
    async fn page(&self, beginning: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut objects = match offset(self.root, after)? {
            Some(offset) => self.store.list_with_offset(Some(self.root), &offset),
            None => self.store.list(Some(self.root)),
        };
        let mut position = Position::behind(after);
        let mut keys = Vec::new();
        while keys.len() < limit {
            let Some(object) = objects.try_next().await? else { break };
            let Some(key) = super::key(self.root, &object) else { continue };
            match position.next(key) {
                Some(Next::Key) if key.starts_with(beginning) => keys.push(key.to_owned()),
                // The object that stands for a folder, and comes before what is in it.
                Some(Next::Key) if beginning.strip_prefix(key).is_some_and(|rest| rest.starts_with('/')) => {}
                Some(Next::Key) => break,
                Some(Next::Folder { .. }) => {}
                None => {
                    self.is_unordered.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        Ok(keys)
    }
}

/// What both keys begin with.
fn shared_beginning<'a>(first: &'a str, second: &str) -> &'a str {
    let differs = first.char_indices().zip(second.chars()).find(|((_, one), other)| one != other);
    let end = differs.map_or(first.len().min(second.len()), |((at, _), _)| at);
    first.get(..end).unwrap_or_default()
}

/// The place behind all keys with a beginning.
fn end_of(beginning: &str) -> String {
    format!("{beginning}{LAST_CHARACTER}")
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    const SMALL: Effort = Effort { page: 10, beginnings: 8, requests: 60, ranges: 16 };

    async fn store_of(keys: &[String]) -> InMemory {
        let store = InMemory::new();
        for key in keys {
            store.put(&Path::parse(format!("m/{key}")).unwrap(), PutPayload::from_static(b"1")).await.unwrap();
        }
        store
    }

    /// The numbers of keys in each range, and how many requests it took to find the ranges.
    async fn cut(keys: &[String], effort: Effort) -> (Vec<usize>, usize) {
        let store = store_of(keys).await;
        let root = Path::from("m");
        let search = Search::new(&store, &root, effort);
        let cuts = search.cuts().await.unwrap();
        assert!(cuts.is_sorted_by(|left, right| left < right), "{cuts:?}");
        let mut counts = vec![0; cuts.len() + 1];
        for key in keys {
            counts[cuts.partition_point(|cut| cut < key)] += 1;
        }
        (counts, search.requests.into_inner())
    }

    /// A number whose digits look random, and are the same in every run.
    fn scattered(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[tokio::test]
    async fn usual_layouts_are_cut_into_many_ranges_of_which_none_is_large() {
        let count = 2_000;
        let of = |name: &dyn Fn(u64) -> String| -> Vec<String> { (0..count).map(name).collect() };
        for (layout, keys) in [
            ("random ids", of(&|number| format!("{:016x}.jpg", scattered(number)))),
            ("ids that count up", of(&|number| format!("65a1f3b2c4{number:014}.jpg"))),
            (
                "folders of dates",
                of(&|number| format!("2024/{:02}/{:02}/{number}.jpg", number % 12 + 1, number / 12 % 28 + 1)),
            ),
            ("folders of random ids", of(&|number| format!("{:02x}/{number}.jpg", scattered(number) % 256))),
            (
                "folders that are objects too",
                of(&|number| match number {
                    0 => "images".to_owned(),
                    1 => "images/2024".to_owned(),
                    _ => format!("images/2024/{:08x}", scattered(number)),
                }),
            ),
            (
                "few folders",
                of(&|number| format!("{}/{:08x}", ["images", "videos"][number as usize % 2], scattered(number))),
            ),
            (
                "letters beyond ASCII",
                of(&|number| {
                    let letter = ["\u{e4}", "\u{4e2d}", "\u{1f600}", "z"][number as usize % 4];
                    format!("{letter}{:08x}", scattered(number))
                }),
            ),
        ] {
            let (ranges, requests) = cut(&keys, SMALL).await;
            let largest = *ranges.iter().max().unwrap();
            assert!(ranges.len() > 4 && ranges.len() <= SMALL.ranges, "{layout}: {ranges:?}");
            assert!(largest <= keys.len() / 3, "{layout}: {ranges:?}");
            assert!(requests <= SMALL.requests + 2 * AT_ONCE, "{layout}: {requests}");
        }
    }

    #[tokio::test]
    async fn few_objects_are_one_range_and_one_request() {
        assert_eq!(cut(&[], SMALL).await, (vec![0], 1));
        let keys: Vec<String> = (0..9).map(|number| format!("{number}.jpg")).collect();
        assert_eq!(cut(&keys, SMALL).await, (vec![9], 1));
        // Some more are cut once, and what is then too little to be cut stays together.
        let keys: Vec<String> = (0..30).map(|number| format!("{}/{number}.jpg", number % 2)).collect();
        let (ranges, requests) = cut(&keys, SMALL).await;
        assert!(ranges.len() > 1 && ranges[0] >= 9 && requests < 20, "{ranges:?} by {requests}");
    }

    #[tokio::test]
    async fn requests_are_bounded_and_what_was_not_looked_at_is_a_range() {
        let keys: Vec<String> =
            (0..2_000).map(|number| format!("{}{number}", char::from_u32(0x4e00 + number).unwrap())).collect();
        let effort = Effort { page: 2, requests: 20, ..SMALL };
        let (ranges, requests) = cut(&keys, effort).await;
        assert_eq!(requests, 20);
        assert!(ranges.len() <= SMALL.ranges && *ranges.last().unwrap() > 1_900, "{ranges:?}");
    }

    #[tokio::test]
    async fn stores_without_order_are_one_range() {
        let keys: Vec<String> = (0..50).map(|number| format!("{number}.jpg")).collect();
        let ranges = plan(&store_of(&keys).await, &Path::from("m"), false).await.unwrap();
        assert_eq!(ranges, [KeyRange { rank: 0, after: None, until: None }]);
    }

    #[test]
    fn beginnings_are_shared_by_characters() {
        assert_eq!(shared_beginning("a\u{e9}b", "a\u{e8}b"), "a");
        assert_eq!(shared_beginning("ab", "abc"), "ab");
        assert_eq!(shared_beginning("abc", "ab"), "ab");
    }
}
