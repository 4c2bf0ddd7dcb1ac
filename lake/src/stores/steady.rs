//! An object store that finishes what its client leaves half done.
//!
//! `object_store` repeats a request that failed, and takes up an object's body that was cut where it broke off. It does not
//! - ask again when any other body is cut: a page of a listing, the answer to a deletion, the words of a refusal,
//! - repeat a deletion of several objects whose answer was lost,
//! - know that an upload is complete when the answer to its completion is cut, or when the completion was repeated and
//!   the store no longer knows the upload,
//! - abort an upload that is dropped without a word.
//!
//! All of that is done here. What then still fails is explained, see [`super::fault`]. A conditional put is not
//! repeated: whether the first one was lost is for the caller to find out, who knows what it wrote.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use super::fault::{explain, passes};

/// How often a request is repeated here: for answers that were cut, of which four in a row are no accident.
const REPEATS: u32 = 3;

/// The pause before the first repetition; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A request that took so long was repeated by the client already, until its own time was over.
const LONG: Duration = Duration::from_secs(20);

/// Keys in one request for deletion, the most that S3 takes.
const KEYS_PER_DELETION: usize = 1000;

pub(super) struct SteadyStore {
    inner: Arc<dyn ObjectStore>,
    bucket: Arc<str>,
}

impl SteadyStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, bucket: &str) -> Self {
        Self { inner, bucket: bucket.into() }
    }
}

/// Attempts at one request.
struct Attempts {
    began: Instant,
    repeats: u32,
}

impl Attempts {
    fn begin() -> Self {
        Self { began: Instant::now(), repeats: 0 }
    }

    /// After a failure: waits, and says whether to try again.
    async fn again(&mut self, error: &Error) -> bool {
        if self.repeats >= REPEATS || self.began.elapsed() > LONG || !passes(error) {
            return false;
        }
        tracing::info!(%error, "trying again");
        tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(self.repeats)).await;
        self.repeats += 1;
        true
    }
}

/// Asks until there is an answer, for requests that may be done twice.
async fn steadily<'a, T>(bucket: &str, mut ask: impl FnMut() -> BoxFuture<'a, Result<T>>) -> Result<T> {
    let mut attempts = Attempts::begin();
    loop {
        match ask().await.map_err(|error| explain(bucket, error)) {
            Err(error) if attempts.again(&error).await => {}
            answer => return answer,
        }
    }
}

impl fmt::Debug for SteadyStore {
    /// The name only: the store's own `Debug` may print credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)
    }
}

impl fmt::Display for SteadyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for SteadyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if options.mode != PutMode::Overwrite {
            return self.inner.put_opts(location, payload, options).await.map_err(|error| explain(&self.bucket, error));
        }
        steadily(&self.bucket, || self.inner.put_opts(location, payload.clone(), options.clone())).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        // An upload of whose beginning nobody hears stays open; a bucket's rules can end such after some days.
        let begin = || self.inner.put_multipart_opts(location, options.clone());
        let inner = steadily(&self.bucket, begin).await?;
        Ok(Box::new(Upload {
            inner: Some(inner),
            store: Arc::clone(&self.inner),
            bucket: Arc::clone(&self.bucket),
            location: location.clone(),
            bytes: 0,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let got = steadily(&self.bucket, || self.inner.get_opts(location, options.clone())).await?;
        let bucket = Arc::clone(&self.bucket);
        let payload = match got.payload {
            GetResultPayload::Stream(body) => {
                GetResultPayload::Stream(body.map_err(move |error| explain(&bucket, error)).boxed())
            }
            other => other,
        };
        Ok(GetResult { payload, ..got })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        steadily(&self.bucket, || self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, bucket) = (Arc::clone(&self.inner), Arc::clone(&self.bucket));
        locations
            .try_chunks(KEYS_PER_DELETION)
            .then(move |chunk| {
                let (inner, bucket) = (Arc::clone(&inner), Arc::clone(&bucket));
                async move {
                    match chunk {
                        Ok(chunk) => delete(&inner, &bucket, &chunk).await,
                        Err(error) => vec![Err(error.1)],
                    }
                }
            })
            .flat_map(stream::iter)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Listing::new(self, prefix, None).stream()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        Listing::new(self, prefix, Some(offset)).stream()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        steadily(&self.bucket, || self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await.map_err(|error| explain(&self.bucket, error))
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await.map_err(|error| explain(&self.bucket, error))
    }
}

/// Deletes objects, all once more if the answer is lost: what is gone can be deleted again.
async fn delete(store: &Arc<dyn ObjectStore>, bucket: &str, paths: &[Path]) -> Vec<Result<Path>> {
    let mut attempts = Attempts::begin();
    loop {
        let paths: Vec<Result<Path>> = paths.iter().cloned().map(Ok).collect();
        let deleted = store.delete_stream(stream::iter(paths).boxed());
        let deleted: Vec<Result<Path>> = deleted.map_err(|error| explain(bucket, error)).collect().await;
        let failed = deleted.iter().find_map(|deleted| deleted.as_ref().err().filter(|error| passes(error)));
        match failed {
            Some(error) if attempts.again(error).await => {}
            _ => return deleted,
        }
    }
}

/// A listing that goes on behind the last key when a page of it is cut.
struct Listing {
    inner: Arc<dyn ObjectStore>,
    bucket: Arc<str>,
    prefix: Option<Path>,
    open: BoxStream<'static, Result<ObjectMeta>>,
    last: Option<Path>,
    /// Stores that list in no order (directory buckets) have no "behind"; there only the first page is asked for again.
    ascends: bool,
    attempts: Attempts,
}

impl Listing {
    fn new(store: &SteadyStore, prefix: Option<&Path>, offset: Option<&Path>) -> Self {
        let mut listing = Self {
            inner: Arc::clone(&store.inner),
            bucket: Arc::clone(&store.bucket),
            prefix: prefix.cloned(),
            open: stream::empty().boxed(),
            last: offset.cloned(),
            ascends: true,
            attempts: Attempts::begin(),
        };
        listing.reopen();
        listing
    }

    fn reopen(&mut self) {
        self.open = match &self.last {
            Some(last) => self.inner.list_with_offset(self.prefix.as_ref(), last),
            None => self.inner.list(self.prefix.as_ref()),
        };
    }

    fn stream(self) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::unfold(self, |mut listing| async move {
            let next = listing.next().await?;
            Some((next, listing))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<ObjectMeta>> {
        loop {
            match self.open.next().await? {
                Ok(object) => {
                    self.ascends &= self.last.as_ref().is_none_or(|last| *last < object.location);
                    self.last = Some(object.location.clone());
                    self.attempts = Attempts::begin();
                    return Some(Ok(object));
                }
                Err(error) => {
                    let error = explain(&self.bucket, error);
                    if !self.ascends || !self.attempts.again(&error).await {
                        self.open = stream::empty().boxed();
                        return Some(Err(error));
                    }
                    self.reopen();
                }
            }
        }
    }
}

/// An upload in parts. Dropped before its end, it is aborted: parts of an upload that nobody completes are stored, and
/// paid for, until somebody looks for them.
struct Upload {
    /// None once it has ended.
    inner: Option<Box<dyn MultipartUpload>>,
    store: Arc<dyn ObjectStore>,
    bucket: Arc<str>,
    location: Path,
    bytes: u64,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upload of s3://{}/{}", self.bucket, self.location)
    }
}

impl Upload {
    fn ended(&self) -> Error {
        Error::Generic { store: "S3", source: format!("{self:?} has ended already").into() }
    }
}

/// Looks, for some seconds, whether an upload was completed although the answer says otherwise: a completion that was
/// repeated finds no upload any more, and one whose answer is lost may still be under way. It is not asked for again: the
/// client forgets the parts with the first try, within which it has repeated the request itself. Names of objects that
/// are uploaded in parts are unique, so one of that name and size is this one.
async fn found_complete(store: &Arc<dyn ObjectStore>, location: &Path, bytes: u64) -> Option<PutResult> {
    for repeat in 0..=REPEATS {
        match store.head(location).await {
            Ok(found) if found.size == bytes => {
                return Some(PutResult { e_tag: found.e_tag, version: found.version });
            }
            _ => tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(repeat)).await,
        }
    }
    None
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.bytes += data.content_length() as u64;
        let bucket = Arc::clone(&self.bucket);
        match &mut self.inner {
            Some(inner) => inner.put_part(data).map_err(move |error| explain(&bucket, error)).boxed(),
            None => std::future::ready(Err(self.ended())).boxed(),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let ended = self.ended();
        let Some(inner) = &mut self.inner else { return Err(ended) };
        let completed = match inner.complete().await.map_err(|error| explain(&self.bucket, error)) {
            Err(error) if passes(&error) || matches!(error, Error::NotFound { .. }) => {
                found_complete(&self.store, &self.location, self.bytes).await.ok_or(error)
            }
            answer => answer,
        };
        if completed.is_ok() {
            self.inner = None;
        }
        completed
    }

    async fn abort(&mut self) -> Result<()> {
        let Some(mut inner) = self.inner.take() else { return Ok(()) };
        inner.abort().await.map_err(|error| explain(&self.bucket, error))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(mut inner), Ok(runtime)) = (self.inner.take(), tokio::runtime::Handle::try_current()) else { return };
        let (bucket, location) = (Arc::clone(&self.bucket), self.location.clone());
        runtime.spawn(async move {
            if let Err(error) = inner.abort().await {
                let error = explain(&bucket, error);
                tracing::warn!(%bucket, %location, %error, "an upload that was given up could not be aborted");
            }
        });
    }
}
