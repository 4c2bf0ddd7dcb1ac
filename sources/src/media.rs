//! The listing of media objects, cut into ranges of keys.
//!
//! A media folder may hold millions of objects, so no process holds its listing: the readers of a scan page through
//! it, each through its own range of keys, and keep one batch. Stores that list keys in order and from a given key
//! on, as S3 does, are cut at their top-level folders, which takes one request a folder; what comes after the first
//! few folders is one more range, so the cost of planning is bounded whatever the layout is. A local folder is one
//! range: it cannot be listed from a key on without walking all that is before it, and a walk is fast.
//!
//! Invariants: the ranges of a plan do not overlap and cover every key; a key is the path below `media/` as the store
//! has it, without decoding.
//!
//! Rejected: a listing with a delimiter for finding the folders. In the usual layout `media/<id>.jpg` it would bring
//! every object into the memory of the process that plans.

use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use serde::{Deserialize, Serialize};

use crate::SourceError;
use crate::split::ordinal;

/// The sub-folder of an export that holds the objects.
const FOLDER: &str = "media";
/// More ranges than this gain nothing: a listing is limited by what the store allows one client.
const MAX_RANGES: u32 = 32;
/// Greater than every other character, so that no key of a folder comes after it.
const LAST_CHARACTER: char = char::MAX;

/// Content types by extension, as far as they are known.
const CONTENT_TYPES: [(&str, &str); 17] = [
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("heic", "image/heic"),
    ("mp4", "video/mp4"),
    ("mov", "video/quicktime"),
    ("webm", "video/webm"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/opus"),
    ("wav", "audio/wav"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("zip", "application/zip"),
];
/// The content type of any other object.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Keys after one and up to another: what one descriptor row of a media scan says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRange {
    /// Rank of the range; greater means later keys.
    pub(crate) rank: u32,
    /// The range begins after this key.
    pub(crate) after: Option<String>,
    /// The last key that belongs to it.
    pub(crate) until: Option<String>,
}

impl KeyRange {
    /// The order of the object at this position of the range.
    pub(crate) fn ordinal(&self, position: u64) -> i64 {
        ordinal(self.rank, position)
    }

    /// Whether a key of a listing in order comes after the range.
    pub(crate) fn ends_before(&self, key: &str) -> bool {
        self.until.as_deref().is_some_and(|until| key > until)
    }
}

/// Where the objects of an export are.
pub(crate) fn folder(root: &Path) -> Path {
    root.clone().join(FOLDER)
}

/// The key of an object: its path below the media folder. None for what is not below it.
pub(crate) fn key<'a>(folder: &Path, object: &'a ObjectMeta) -> Option<&'a str> {
    object.location.as_ref().strip_prefix(folder.as_ref())?.strip_prefix('/').filter(|key| !key.is_empty())
}

/// The content type that the extension of a key stands for.
pub(crate) fn content_type(key: &str) -> &'static str {
    let name = key.rsplit('/').next().unwrap_or(key);
    let extension = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map_or("", |(_, extension)| extension);
    let known = CONTENT_TYPES.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known));
    known.map_or(UNKNOWN_TYPE, |(_, content_type)| content_type)
}

/// The place in a store's order from which a range is listed; none for the beginning.
pub(crate) fn offset(folder: &Path, after: Option<&str>) -> Result<Option<Path>, SourceError> {
    let Some(after) = after else { return Ok(None) };
    let path = Path::parse(format!("{folder}/{after}"))
        .map_err(|error| SourceError::Location { location: after.to_owned(), why: error.to_string() })?;
    Ok(Some(path))
}

/// The ranges of a scan. `in_order` says that the store lists keys in order and from a given key on.
pub(crate) async fn plan(store: &dyn ObjectStore, root: &Path, in_order: bool) -> Result<Vec<KeyRange>, SourceError> {
    let folder = folder(root);
    let mut bounds: Vec<String> = Vec::new();
    while in_order && bounds.len() + 1 < MAX_RANGES as usize {
        let Some(first) = first_after(store, &folder, bounds.last().map(String::as_str)).await? else { break };
        bounds.push(match first.split_once('/') {
            Some((top, _)) => format!("{top}/{LAST_CHARACTER}"),
            None => first,
        });
    }
    let starts = std::iter::once(None).chain(bounds.iter().cloned().map(Some));
    let ends = bounds.iter().cloned().map(Some).chain(std::iter::once(None));
    Ok((0..).zip(starts.zip(ends)).map(|(rank, (after, until))| KeyRange { rank, after, until }).collect())
}

async fn first_after(
    store: &dyn ObjectStore,
    folder: &Path,
    after: Option<&str>,
) -> Result<Option<String>, SourceError> {
    let mut objects = match offset(folder, after)? {
        Some(offset) => store.list_with_offset(Some(folder), &offset),
        None => store.list(Some(folder)),
    };
    while let Some(object) = objects.next().await {
        let object = object.map_err(|source| SourceError::List { path: folder.to_string(), source })?;
        if let Some(key) = key(folder, &object) {
            return Ok(Some(key.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    async fn ranges(keys: &[&str], in_order: bool) -> Vec<(Option<String>, Option<String>)> {
        let store = InMemory::new();
        for key in keys {
            store.put(&Path::parse(format!("x/media/{key}")).unwrap(), PutPayload::from_static(b"1")).await.unwrap();
        }
        let ranges = plan(&store, &Path::from("x"), in_order).await.unwrap();
        assert!(ranges.iter().zip(0..).all(|(range, rank)| range.rank == rank));
        ranges.into_iter().map(|range| (range.after, range.until)).collect()
    }

    #[tokio::test]
    async fn ranges_end_with_top_level_folders_and_cover_every_key() {
        let text = |text: &str| Some(text.to_owned());
        let found = ranges(&["a/1.jpg", "a/2/3.jpg", "b.jpg", "c/1", "c/2"], true).await;
        let (a, b, c) = (text("a/\u{10ffff}"), text("b.jpg"), text("c/\u{10ffff}"));
        assert_eq!(found, [(None, a.clone()), (a, b.clone()), (b, c.clone()), (c, None)]);
        assert_eq!(ranges(&[], true).await, [(None, None)]);
        assert_eq!(ranges(&["a/1", "b/1"], false).await, [(None, None)]);
    }

    #[tokio::test]
    async fn a_flat_folder_costs_a_bounded_number_of_requests() {
        let keys: Vec<String> = (0..100).map(|number| format!("{number:03}.jpg")).collect();
        let found = ranges(&keys.iter().map(String::as_str).collect::<Vec<_>>(), true).await;
        assert_eq!(found.len(), MAX_RANGES as usize);
        assert_eq!(found.last().unwrap(), &(Some("030.jpg".to_owned()), None));
    }

    #[test]
    fn content_types_follow_the_extension() {
        for (key, expected) in [
            ("a/b.jpg", "image/jpeg"),
            ("a/b.JPEG", "image/jpeg"),
            ("HEIC.HeIc", "image/heic"),
            ("x.tar.zip", "application/zip"),
            ("x.webm", "video/webm"),
            ("a.jpg/b", "application/octet-stream"),
            ("jpg", "application/octet-stream"),
            (".jpg", "application/octet-stream"),
            ("a/.png", "application/octet-stream"),
            ("x.", "application/octet-stream"),
            ("x.svg", "application/octet-stream"),
        ] {
            assert_eq!(content_type(key), expected, "{key}");
        }
    }
}
