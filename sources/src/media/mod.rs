//! Media objects: where they are, how their listing is cut into parts, and what a row says of one.
//!
//! Objects are never opened. What is known of them comes from the listing of their folder ([`ranges`]), or from an
//! S3 Inventory, a listing that the store itself has written into files ([`inventory`]). Both give the same rows for
//! the same objects:
//! * the key is the path below the folder, as the store has it, without decoding. The slash at the end of a key is
//!   dropped: `object_store` lists the empty object `holiday/`, which S3's console makes for a folder, as `holiday`, and
//!   nobody can tell afterwards. Where there is an object `holiday` too, a listing gives that one ([`walk`]); the rows of
//!   an inventory come in no order, so of the two the one that was written last is kept. The object of the media folder
//!   itself has no key and is left out.
//! * the etag has no quotation marks. HTTP and the answers to S3 requests quote it, inventories do not, and whoever
//!   compares it with a digest would have to take them off.
//! * an etag of a local file is left out: it is made of inode and time, which a copy of the folder changes.
//! * a local file whose name ends in `#` and digits has no row: `object_store` takes it for a temporary file of its own,
//!   and has no way to list it. Whoever plans the listing warns of it ([`local`]).
//!
//! A listing or an inventory is always read from its beginning to its end: the store lists everything whatever is asked,
//! and an object may appear with a time that is long past, by replication, by a copy that keeps times, or by an upload
//! that took days. Which of them are new or other than they were, the merge by key finds out.

mod fault;
mod folder;
mod health;
pub(crate) mod inventory;
mod local;
mod ranges;
mod walk;

use object_store::ObjectMeta;
use object_store::path::Path;

pub use self::fault::MediaError;
pub use self::folder::MediaFolder;
pub(crate) use self::folder::location;
pub use self::health::MediaHealth;
pub(crate) use self::inventory::InventoryPart;
pub(crate) use self::ranges::{KeyRange, before_folder, offset};
pub(crate) use self::walk::{Step, Walk};

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

/// The content type that the extension of a key stands for.
pub(crate) fn content_type(key: &str) -> &'static str {
    let name = key.rsplit('/').next().unwrap_or(key);
    let extension = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map_or("", |(_, extension)| extension);
    let known = CONTENT_TYPES.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known));
    known.map_or(UNKNOWN_TYPE, |(_, content_type)| content_type)
}

/// The key of an object: its path below the media folder. None for what is not below it.
pub(crate) fn key<'a>(root: &Path, object: &'a ObjectMeta) -> Option<&'a str> {
    key_below(root.as_ref(), object.location.as_ref())
}

/// The key of the object at a path of its store.
pub(crate) fn key_below<'a>(root: &str, path: &'a str) -> Option<&'a str> {
    let below = if root.is_empty() { path } else { path.strip_prefix(root)?.strip_prefix('/')? };
    Some(below.strip_suffix('/').unwrap_or(below)).filter(|key| !key.is_empty())
}

/// An etag without its quotation marks.
pub(crate) fn bare_etag(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_is_below_the_folder() {
        for (root, path, expected) in [
            ("x/media", "x/media/a/b.jpg", Some("a/b.jpg")),
            ("x/media", "x/media/a/", Some("a")),
            ("x/media", "x/media/", None),
            ("x/media", "x/media", None),
            ("x/media", "x/mediaother/a", None),
            ("", "a/b.jpg", Some("a/b.jpg")),
        ] {
            assert_eq!(key_below(root, path), expected, "{path}");
        }
    }

    #[test]
    fn etags_have_no_quotation_marks() {
        assert_eq!(bare_etag("\"d41d8cd9-2\""), "d41d8cd9-2");
        assert_eq!(bare_etag("d41d8cd9"), "d41d8cd9");
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
