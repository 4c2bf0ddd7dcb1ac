//! Ranges of a media listing.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::Site;
use crate::SourceError;
use crate::decode::{BatchBuilder, Cell, Fields, Place, Text};
use crate::media::{self, KeyRange};

/// Bytes that a row takes besides its texts, roughly.
const ROW_BYTES: usize = 32;

/// Lists the objects of one range.
pub(crate) struct MediaReader {
    site: Arc<Site>,
    folder: Path,
    range: KeyRange,
    objects: Option<BoxStream<'static, object_store::Result<ObjectMeta>>>,
    batch: BatchBuilder,
    texts: Fields,
    last_key: String,
    read: u64,
    done: bool,
}

impl MediaReader {
    pub(super) fn new(site: Arc<Site>, range: KeyRange) -> Self {
        Self {
            folder: media::folder(&site.root),
            batch: BatchBuilder::new(site.collection, site.projection.as_deref()),
            site,
            range,
            objects: None,
            texts: Fields::default(),
            last_key: String::new(),
            read: 0,
            done: false,
        }
    }

    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.done {
            return Ok(None);
        }
        while !self.batch.is_full() {
            let Some(object) = self.next_object().await? else {
                self.done = true;
                self.batch.push_tally(self.read);
                break;
            };
            self.push(&object);
        }
        self.batch.finish(self.folder.as_ref(), 0).map(Some)
    }

    /// The next object of the range.
    async fn next_object(&mut self) -> Result<Option<ObjectMeta>, SourceError> {
        let objects = match &mut self.objects {
            Some(objects) => objects,
            None => self.objects.insert(match media::offset(&self.folder, self.range.after.as_deref())? {
                Some(offset) => self.site.store.list_with_offset(Some(&self.folder), &offset),
                None => self.site.store.list(Some(&self.folder)),
            }),
        };
        while let Some(object) = objects.next().await {
            let object = object.map_err(|source| SourceError::List { path: self.folder.to_string(), source })?;
            let Some(key) = media::key(&self.folder, &object) else { continue };
            if self.range.ends_before(key) {
                return Ok(None);
            }
            if self.range.until.is_some() {
                if key < self.last_key.as_str() {
                    return Err(SourceError::Unordered { folder: self.folder.to_string() });
                }
                key.clone_into(&mut self.last_key);
            }
            return Ok(Some(object));
        }
        Ok(None)
    }

    fn push(&mut self, object: &ObjectMeta) {
        let key = media::key(&self.folder, object).unwrap_or_default();
        // A local file's tag is made of its inode and time, which a copy of the folder changes.
        let etag = object.e_tag.as_deref().filter(|_| !self.site.is_local());
        self.texts.clear();
        self.texts.push(Some(key));
        self.texts.push(etag);
        let cells = [
            Cell::Text(Text::At(0)),
            Cell::Integer(i64::try_from(object.size).unwrap_or(i64::MAX)),
            if etag.is_some() { Cell::Text(Text::At(1)) } else { Cell::Null },
            Cell::Time(object.last_modified.timestamp_micros()),
            Cell::Text(Text::Literal(media::content_type(key))),
        ];
        let place = Place { ordinal: self.range.ordinal(self.read), line: self.read + 1 };
        self.batch.push(&cells, &[], &self.texts, place, self.texts.text_len() + ROW_BYTES);
        self.read += 1;
    }
}
