//! Ranges of a media listing.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectMeta;

use super::Site;
use crate::SourceError;
use crate::decode::{BatchBuilder, Cell, Fields, Place, Text};
use crate::media::{self, KeyRange, MediaError};

/// Bytes that a row takes besides its texts, roughly.
const ROW_BYTES: usize = 32;

/// Lists the objects of one range.
pub(crate) struct MediaReader {
    site: Arc<Site>,
    range: KeyRange,
    objects: Option<BoxStream<'static, object_store::Result<ObjectMeta>>>,
    rows: ObjectRows,
    last_key: String,
    done: bool,
}

/// Rows of objects, from a listing or an inventory.
pub(super) struct ObjectRows {
    batch: BatchBuilder,
    texts: Fields,
    /// Objects that were not modified since are left out.
    changed_since: Option<i64>,
    read: u64,
}

/// What is known of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) key: &'a str,
    pub(super) size: i64,
    pub(super) etag: Option<&'a str>,
    /// Microseconds since 1970.
    pub(super) last_modified: i64,
}

impl MediaReader {
    pub(super) fn new(site: Arc<Site>, range: KeyRange, changed_since: Option<i64>) -> Self {
        let rows = ObjectRows::new(&site, changed_since);
        Self { site, range, objects: None, rows, last_key: String::new(), done: false }
    }

    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.done {
            return Ok(None);
        }
        while !self.rows.is_full() {
            let Some(object) = self.next_object().await? else {
                self.done = true;
                self.rows.push_tally();
                break;
            };
            self.push(&object);
        }
        self.rows.finish(self.site.root.as_ref()).map(Some)
    }

    /// The next object of the range.
    async fn next_object(&mut self) -> Result<Option<ObjectMeta>, SourceError> {
        let root = &self.site.root;
        let failed = |source| MediaError::listing(self.site.address(root.as_ref()), source);
        let objects = match &mut self.objects {
            Some(objects) => objects,
            None => self.objects.insert(match media::offset(root, self.range.after.as_deref()).map_err(failed)? {
                Some(offset) => self.site.store.list_with_offset(Some(root), &offset),
                None => self.site.store.list(Some(root)),
            }),
        };
        while let Some(object) = objects.next().await {
            let object = object.map_err(failed)?;
            let Some(key) = media::key(root, &object) else { continue };
            if self.range.ends_before(&self.last_key, key) {
                return Ok(None);
            }
            if self.range.until.is_some() {
                if !media::may_follow(&self.last_key, key) {
                    return Err(MediaError::Unordered { folder: self.site.address(root.as_ref()) }.into());
                }
                key.clone_into(&mut self.last_key);
            }
            return Ok(Some(object));
        }
        Ok(None)
    }

    fn push(&mut self, object: &ObjectMeta) {
        let key = media::key(&self.site.root, object).unwrap_or_default();
        let object = Object {
            key,
            size: i64::try_from(object.size).unwrap_or(i64::MAX),
            etag: object.e_tag.as_deref().filter(|_| !self.site.is_local()),
            last_modified: object.last_modified.timestamp_micros(),
        };
        self.rows.push(object, self.range.ordinal(self.rows.read));
    }
}

impl ObjectRows {
    pub(super) fn new(site: &Site, changed_since: Option<i64>) -> Self {
        let batch = BatchBuilder::new(site.collection, site.projection.as_deref());
        Self { batch, texts: Fields::default(), changed_since, read: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// Appends an object, unless it is too old.
    pub(super) fn push(&mut self, object: Object<'_>, ordinal: i64) {
        if self.changed_since.is_some_and(|since| object.last_modified < since) {
            return;
        }
        let etag = object.etag.map(media::bare_etag);
        self.texts.clear();
        self.texts.push(Some(object.key));
        self.texts.push(etag);
        let cells = [
            Cell::Text(Text::At(0)),
            Cell::Integer(object.size),
            if etag.is_some() { Cell::Text(Text::At(1)) } else { Cell::Null },
            Cell::Time(object.last_modified),
            Cell::Text(Text::Literal(media::content_type(object.key))),
        ];
        let place = Place { ordinal, line: self.read + 1 };
        self.batch.push(&cells, &[], &self.texts, place, self.texts.text_len() + ROW_BYTES);
        self.read += 1;
    }

    /// Appends how many objects were appended.
    pub(super) fn push_tally(&mut self) {
        self.batch.push_tally(self.read);
    }

    pub(super) fn finish(&mut self, file: &str) -> Result<RecordBatch, SourceError> {
        self.batch.finish(file, 0)
    }
}
