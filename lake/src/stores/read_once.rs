//! An object store for reading one log: what was read stays in memory.
//!
//! delta-rs reads each entry of a log twice when it opens a table, once for the table's metadata and once for its files.
//! On S3 that doubles what opening costs. Entries never change, so the second answer can be the first. One such store
//! serves one opening, so nothing in it gets old, and its memory is that of a log since its last checkpoint.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use super::memory::{answer, asks_for_bytes};

/// See the module.
#[derive(Debug)]
pub(crate) struct ReadOnce {
    inner: Arc<dyn ObjectStore>,
    entries: Mutex<HashMap<Path, (ObjectMeta, Bytes)>>,
}

impl ReadOnce {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, entries: Mutex::default() }
    }
}

/// Whether an entry of a log is asked for as a whole.
fn is_whole_entry(location: &Path, options: &GetOptions) -> bool {
    // `<version>.json`, unlike what points to checkpoints.
    let entry = location.filename().and_then(|name| name.strip_suffix(".json"));
    asks_for_bytes(options)
        && options.range.is_none()
        && entry.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The answer with a whole entry.
fn whole(meta: ObjectMeta, bytes: Bytes) -> GetResult {
    answer(meta, 0..bytes.len() as u64, bytes)
}

impl fmt::Display for ReadOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for ReadOnce {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !is_whole_entry(location, &options) {
            return self.inner.get_opts(location, options).await;
        }
        let known = self.entries.lock().get(location).cloned();
        if let Some((meta, bytes)) = known {
            return Ok(whole(meta, bytes));
        }
        let got = self.inner.get_opts(location, options).await?;
        let meta = got.meta.clone();
        let bytes = got.bytes().await?;
        self.entries.lock().insert(location.clone(), (meta.clone(), bytes.clone()));
        Ok(whole(meta, bytes))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{GetRange, ObjectStoreExt};

    use super::*;

    #[tokio::test]
    async fn entries_are_read_once_and_nothing_else() {
        let inner = Arc::new(InMemory::new());
        let store = ReadOnce::new(Arc::clone(&inner) as _);
        for (name, kept) in [("00000000000000000007.json", true), ("_last_checkpoint", false), ("x.json", false)] {
            let path = Path::from("t/_delta_log").join(name);
            inner.put(&path, "old".into()).await.unwrap();
            assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "old");
            inner.put(&path, "new".into()).await.unwrap();
            let expected = if kept { "old" } else { "new" };
            assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), expected, "{name}");
            let part = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
            assert_eq!(store.get_opts(&path, part).await.unwrap().bytes().await.unwrap(), "n", "{name}");
        }
    }
}
