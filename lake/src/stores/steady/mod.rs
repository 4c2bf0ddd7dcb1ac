//! An object store that finishes what its client leaves half done.
//!
//! `object_store` repeats a request that failed, and takes up an object's body that was cut where it broke off. It does not
//! - ask again when any other body is cut: a page of a listing, the answer to a deletion, the words of a refusal,
//! - repeat a deletion of several objects whose answer was lost,
//! - know that an upload is complete when the answer to its completion is cut, or when the completion was repeated and
//!   the store no longer knows the upload,
//! - abort an upload that is dropped without a word,
//! - tell keys that begin with a `/` from others, see [`super::rooted`].
//!
//! All of that is done here. What then still fails is explained, see [`super::fault`]. A conditional put is not
//! repeated: whether the first one was lost is for the caller to find out, who knows what it wrote.

mod listing;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use self::listing::Listing;
use self::upload::Upload;
use super::fault::{explain, passes};
use super::rooted::Rooted;

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
    rooted: Arc<Rooted>,
    bucket: Arc<str>,
}

impl SteadyStore {
    pub(super) fn of_s3(client: AmazonS3, bucket: &str) -> Self {
        Self::new(Arc::new(client.clone()), Rooted::new(Arc::new(client)), bucket)
    }

    fn new(inner: Arc<dyn ObjectStore>, rooted: Rooted, bucket: &str) -> Self {
        Self { inner, rooted: Arc::new(rooted), bucket: bucket.into() }
    }

    /// A listing that is begun only when its keys can be told apart.
    fn checked(
        &self,
        prefix: Option<&Path>,
        listing: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        if prefix.is_some_and(|prefix| !prefix.as_ref().is_empty()) {
            return listing;
        }
        let (rooted, bucket) = (Arc::clone(&self.rooted), Arc::clone(&self.bucket));
        let check = async move { steadily(&bucket, || rooted.check().boxed()).await };
        check.map_ok(move |()| listing).try_flatten_stream().boxed()
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
        let (store, bucket, location) = (Arc::clone(&self.inner), Arc::clone(&self.bucket), location.clone());
        // In a task of its own: if the caller is cancelled meanwhile, it still hears of the upload, and aborts it. One of
        // whose beginning nobody hears stays open; a bucket's rules can end such after some days.
        let begun = tokio::spawn(async move {
            let begin = || store.put_multipart_opts(&location, options.clone());
            let inner = steadily(&bucket, begin).await?;
            Ok(Upload::begun(inner, store, bucket, location))
        });
        let upload: Result<Upload> = begun.await?;
        Ok(Box::new(upload?))
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
        self.checked(prefix, Listing::new(self, prefix, None).stream())
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.checked(prefix, Listing::new(self, prefix, Some(offset)).stream())
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
