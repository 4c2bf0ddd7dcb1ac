//! Ranges of a media listing.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectMeta;

use super::Site;
use crate::SourceError;
use crate::decode::{BatchBuilder, Cell, Fields, Place, Text};
use crate::media::{self, KeyRange, MediaError, Step, Walk};

/// Bytes that a row takes besides its texts, roughly.
const ROW_BYTES: usize = 32;

/// Lists the objects of one range.
pub(crate) struct MediaReader {
    site: Arc<Site>,
    walk: Walk,
    objects: Option<BoxStream<'static, object_store::Result<ObjectMeta>>>,
    /// Keys of folders whose objects are looked for when the range has ended.
    owed: Vec<String>,
    has_ended: bool,
    rows: ObjectRows,
    done: bool,
}

/// Rows of objects, from a listing or an inventory.
pub(super) struct ObjectRows {
    batch: BatchBuilder,
    texts: Fields,
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
    pub(super) fn new(site: Arc<Site>, range: KeyRange) -> Self {
        let (rows, walk) = (ObjectRows::new(&site), Walk::new(range));
        Self { site, walk, objects: None, owed: Vec::new(), has_ended: false, rows, done: false }
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
        if !self.has_ended {
            if let Some(object) = self.next_in_order().await? {
                return Ok(Some(object));
            }
            self.has_ended = true;
        }
        while let Some(folder) = self.owed.pop() {
            if let Some(object) = self.object_of(&folder).await? {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    /// The next object that is listed before the end of the range.
    async fn next_in_order(&mut self) -> Result<Option<ObjectMeta>, SourceError> {
        let mut objects = match self.objects.take() {
            Some(objects) => objects,
            None => self.list(self.walk.range().after.as_deref())?,
        };
        let root = &self.site.root;
        while let Some(object) = objects.next().await {
            let object = object.map_err(|source| self.failed(source))?;
            let Some(key) = media::key(root, &object) else { continue };
            match self.walk.step(key) {
                Step::Take => {
                    self.objects = Some(objects);
                    return Ok(Some(object));
                }
                Step::Pass => {}
                Step::End(owed) => {
                    self.owed = owed;
                    break;
                }
                Step::Lost => return Err(MediaError::Unordered { folder: self.site.address(root.as_ref()) }.into()),
            }
        }
        Ok(None)
    }

    /// The object that stands for a folder.
    async fn object_of(&mut self, folder: &str) -> Result<Option<ObjectMeta>, SourceError> {
        let mut objects = self.list(Some(&media::before_folder(folder)))?;
        let first = objects.next().await.transpose().map_err(|source| self.failed(source))?;
        Ok(first.filter(|object| media::key(&self.site.root, object) == Some(folder)))
    }

    /// The objects behind a key, or all.
    fn list(&self, after: Option<&str>) -> Result<BoxStream<'static, object_store::Result<ObjectMeta>>, SourceError> {
        let Site { root, store, .. } = self.site.as_ref();
        Ok(match media::offset(root, after).map_err(|source| self.failed(source))? {
            Some(offset) => store.list_with_offset(Some(root), &offset),
            None => store.list(Some(root)),
        })
    }

    fn failed(&self, source: object_store::Error) -> MediaError {
        MediaError::listing(self.site.address(self.site.root.as_ref()), source)
    }

    fn push(&mut self, object: &ObjectMeta) {
        let key = media::key(&self.site.root, object).unwrap_or_default();
        let object = Object {
            key,
            size: i64::try_from(object.size).unwrap_or(i64::MAX),
            etag: object.e_tag.as_deref().filter(|_| !self.site.is_local()),
            last_modified: object.last_modified.timestamp_micros(),
        };
        self.rows.push(object, self.walk.range().ordinal(self.rows.read));
    }
}

impl ObjectRows {
    pub(super) fn new(site: &Site) -> Self {
        let batch = BatchBuilder::new(site.collection, site.projection.as_deref());
        Self { batch, texts: Fields::default(), read: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// Appends an object.
    pub(super) fn push(&mut self, object: Object<'_>, ordinal: i64) {
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
