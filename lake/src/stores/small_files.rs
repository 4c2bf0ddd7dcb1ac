//! Small data files of tables, kept in memory.
//!
//! A Parquet file is read in parts: its footer, then the columns of each row group. For a file of some hundred kilobytes,
//! of which a table with a partition for each day has many, that is several requests a read, and what one job writes the
//! next ones and the checks read at once. On a store where a request costs more than the bytes that it brings, such
//! requests were four fifths of all that a pipeline made. So a small file is fetched as a whole when a part of it is
//! first asked for, and what this process writes is kept from the beginning.
//!
//! Kept is only what is never written a second time: data files whose names hold a UUID, as every writer of Delta tables
//! names them. Their memory is bounded, and those that were not used for longest go first.
//!
//! Rejected: keeping the parts that were read. They are no fewer requests the first time, which for most files is the
//! only one of a process.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::memory::{answer, asks_for_bytes};

/// The largest file that is kept, in bytes.
const SMALL: u64 = 1 << 20;

/// The bytes that are kept of one store.
const MEMORY: u64 = 64 << 20;

/// What is counted for an entry beside its bytes: names and links.
const OVERHEAD: u32 = 512;

/// See the module.
pub(super) struct SmallFiles {
    inner: Arc<dyn ObjectStore>,
    files: Cache<Path, Known>,
}

/// What is known of a file.
#[derive(Clone)]
enum Known {
    Small(ObjectMeta, Bytes),
    /// It is better read in parts.
    Large,
}

impl SmallFiles {
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        let weight = |_: &Path, known: &Known| match known {
            Known::Small(_, bytes) => u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_add(OVERHEAD),
            Known::Large => OVERHEAD,
        };
        // Least recently used, since the newest file is the one that is wanted next. The default policy would rather keep
        // what was read often, and take in no new file once it is full.
        let files = Cache::builder().weigher(weight).max_capacity(MEMORY).eviction_policy(EvictionPolicy::lru());
        Self { inner, files: files.build() }
    }

    /// The whole of a file of which something up to `end` is wanted; none if it is not to be kept.
    async fn whole(&self, location: &Path, end: u64) -> Result<Option<(ObjectMeta, Bytes)>> {
        if !is_written_once(location) {
            return Ok(None);
        }
        match self.files.get(location) {
            Some(Known::Small(meta, bytes)) => return Ok(Some((meta, bytes))),
            Some(Known::Large) => return Ok(None),
            None => {}
        }
        if end > SMALL {
            self.files.insert(location.clone(), Known::Large);
            return Ok(None);
        }
        // The footer is read first, so a file that is larger has nearly always been found out by its end.
        let options = GetOptions { range: Some(GetRange::Bounded(0..SMALL)), ..GetOptions::default() };
        let got = self.inner.get_opts(location, options).await?;
        let meta = got.meta.clone();
        if meta.size > SMALL {
            self.files.insert(location.clone(), Known::Large);
            return Ok(None);
        }
        // Copied, since the bytes of an answer may be a small part of a connection's buffer, which they would keep.
        let bytes = Bytes::copy_from_slice(&got.bytes().await?);
        self.files.insert(location.clone(), Known::Small(meta.clone(), bytes.clone()));
        Ok(Some((meta, bytes)))
    }
}

/// Whether a file's name says that it is not written again: a Parquet file with a UUID in its name.
fn is_written_once(location: &Path) -> bool {
    let name = location.filename().unwrap_or_default();
    name.ends_with(".parquet") && name.as_bytes().windows(uuid::fmt::Hyphenated::LENGTH).any(is_uuid)
}

fn is_uuid(text: &[u8]) -> bool {
    text.get(8) == Some(&b'-') && uuid::Uuid::try_parse_ascii(text).is_ok()
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}

impl fmt::Debug for SmallFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Display for SmallFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for SmallFiles {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if asks_for_bytes(&options)
            && let Some(GetRange::Bounded(range)) = &options.range
            && let Some((meta, bytes)) = self.whole(location, range.end).await?
            // What is out of bounds is the store's to refuse.
            && let Some(part) = slice(&bytes, range)
        {
            return Ok(answer(meta, range.clone(), part));
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if let Some(end) = ranges.iter().map(|range| range.end).max()
            && let Some((_, bytes)) = self.whole(location, end).await?
            && let Some(parts) = ranges.iter().map(|range| slice(&bytes, range)).collect()
        {
            return Ok(parts);
        }
        self.inner.get_ranges(location, ranges).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let kept = is_written_once(location) && payload.content_length() as u64 <= SMALL;
        let bytes = kept.then(|| Bytes::from(payload.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>().concat()));
        let put = self.inner.put_opts(location, payload, options).await?;
        if let Some(bytes) = bytes {
            let meta = ObjectMeta {
                location: location.clone(),
                last_modified: chrono::Utc::now(),
                size: bytes.len() as u64,
                e_tag: put.e_tag.clone(),
                version: put.version.clone(),
            };
            self.files.insert(location.clone(), Known::Small(meta, bytes));
        }
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let files = self.files.clone();
        self.inner.delete_stream(locations.inspect_ok(move |location| files.invalidate(location)).boxed())
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
        self.files.invalidate(to);
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.invalidate(from);
        self.files.invalidate(to);
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    fn file(number: u128) -> Path {
        Path::from(format!("t/day=1/part-00000-{}-c000.zstd.parquet", uuid::Uuid::from_u128(number)))
    }

    #[test]
    fn names_with_a_uuid_are_written_once() {
        assert!(is_written_once(&file(7)));
        assert!(is_written_once(&Path::from("x/018f3c1e-7b1a-7cc0-8000-000000000001.parquet")));
        for other in
            ["t/users.parquet", "t/part-00000.parquet", "t/_delta_log/018f3c1e-7b1a-7cc0-8000-000000000001.json"]
        {
            assert!(!is_written_once(&Path::from(other)), "{other}");
        }
        let checkpoint = "t/_delta_log/00000000000000000010.checkpoint.parquet";
        assert!(!is_written_once(&Path::from(checkpoint)));
    }

    /// What is behind is changed under the cache's feet, to see from where an answer comes.
    #[tokio::test]
    async fn small_files_are_fetched_once_and_large_ones_in_parts() {
        let inner = Arc::new(InMemory::new());
        let store = SmallFiles::new(Arc::clone(&inner) as _);
        let (small, large) = (file(1), file(2));
        inner.put(&small, "0123456789".into()).await.unwrap();
        assert_eq!(store.get_range(&small, 6..10).await.unwrap(), "6789");
        inner.put(&small, "changed...".into()).await.unwrap();
        assert_eq!(store.get_range(&small, 0..3).await.unwrap(), "012");
        assert_eq!(store.get_ranges(&small, &[0..1, 4..6]).await.unwrap(), ["0", "45"]);
        // Whoever wants to know of the file itself asks the store, as do those who ask for what is not there.
        assert_eq!(store.get(&small).await.unwrap().bytes().await.unwrap(), "changed...");
        assert!(store.get_range(&small, 11..12).await.is_err());

        let size = SMALL + 10;
        inner.put(&large, vec![b'a'; SMALL as usize + 10].into()).await.unwrap();
        assert_eq!(store.get_range(&large, 0..3).await.unwrap(), "aaa");
        inner.put(&large, vec![b'b'; SMALL as usize + 10].into()).await.unwrap();
        assert_eq!(store.get_range(&large, size - 2..size).await.unwrap(), "bb");
        assert_eq!(store.get_ranges(&large, &[0..1, 2..3]).await.unwrap(), ["b", "b"]);
    }

    #[tokio::test]
    async fn what_is_written_is_kept_until_it_is_deleted() {
        let inner = Arc::new(InMemory::new());
        let store = SmallFiles::new(Arc::clone(&inner) as _);
        let (written, other) = (file(3), Path::from("t/users.parquet"));
        for location in [&written, &other] {
            store.put(location, "old".into()).await.unwrap();
            inner.put(location, "new".into()).await.unwrap();
        }
        assert_eq!(store.get_range(&written, 0..3).await.unwrap(), "old");
        assert_eq!(store.get_range(&other, 0..3).await.unwrap(), "new");
        store.delete(&written).await.unwrap();
        assert!(matches!(store.get_range(&written, 0..3).await, Err(object_store::Error::NotFound { .. })));
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let store = SmallFiles::new(Arc::new(InMemory::new()));
        for number in 0..100 {
            store.put(&file(number), vec![0; SMALL as usize].into()).await.unwrap();
        }
        store.files.run_pending_tasks();
        assert!(store.files.weighted_size() <= MEMORY);
        assert!(store.files.entry_count() > 50);
        // However often the others are read, a new file is kept.
        for number in 0..100 {
            for _ in 0..5 {
                store.files.get(&file(number));
            }
        }
        store.put(&file(100), vec![0; SMALL as usize].into()).await.unwrap();
        store.files.run_pending_tasks();
        assert!(store.files.contains_key(&file(100)));
    }
}
