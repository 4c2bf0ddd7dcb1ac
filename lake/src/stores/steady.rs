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
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use super::fault::{explain, passes};
use super::rooted::Rooted;

/// How often a request is repeated here: for answers that were cut, of which four in a row are no accident.
const REPEATS: u32 = 3;

/// The pause before the first repetition; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A request that took so long was repeated by the client already, until its own time was over.
const LONG: Duration = Duration::from_secs(20);

/// How long it is waited for an upload whose completion was not heard of. The client has waited for a minute already.
const COMPLETION: Duration = Duration::from_secs(15);

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
            Ok(Upload { inner: Some(inner), store, bucket, location, bytes: 0 })
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

/// A listing that goes on behind the last key when a page of it is cut.
struct Listing {
    inner: Arc<dyn ObjectStore>,
    bucket: Arc<str>,
    prefix: Option<Path>,
    open: BoxStream<'static, Result<ObjectMeta>>,
    last: Option<Path>,
    /// Stores that list in no order (directory buckets) have no "behind"; there only the first page is asked for again.
    ascends: bool,
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
        // Not before: whoever takes his time between two objects shall not lose the repetition of the next page.
        let mut attempts = Attempts::begin();
        loop {
            match self.open.next().await? {
                Ok(object) => {
                    self.ascends &= self.last.as_ref().is_none_or(|last| *last < object.location);
                    self.last = Some(object.location.clone());
                    return Some(Ok(object));
                }
                Err(error) => {
                    let error = explain(&self.bucket, error);
                    if !self.ascends || !attempts.again(&error).await {
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
    let look = async {
        for repeat in 0..=REPEATS {
            match store.head(location).await {
                Ok(found) if found.size == bytes => {
                    return Some(PutResult { e_tag: found.e_tag, version: found.version });
                }
                _ => tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(repeat)).await,
            }
        }
        None
    };
    // A look at a server that does not answer would else be as long as the client's patience, each time.
    tokio::time::timeout(COMPLETION, look).await.ok().flatten()
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

#[cfg(test)]
mod tests {
    use object_store::RetryConfig;
    use object_store::aws::AmazonS3Builder;
    use object_store::memory::InMemory;
    use quickchat_testing::{Answer, Request, StandIn};

    use super::*;

    /// A bucket at a stand-in, by a client that repeats nothing by itself.
    fn bucket(rule: impl FnMut(&Request) -> Option<Answer> + Send + 'static) -> (SteadyStore, StandIn) {
        let server = StandIn::start(rule);
        let client = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_endpoint(server.endpoint())
            .with_allow_http(true)
            .with_access_key_id("id")
            .with_secret_access_key("secret")
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        (SteadyStore::of_s3(client.build().unwrap(), "bucket"), server)
    }

    fn delete_result(code: &str) -> Answer {
        let refused = format!("<Error><Key>b</Key><Code>{code}</Code><Message>m</Message></Error>");
        (200, format!("<DeleteResult><Deleted><Key>a</Key></Deleted>{refused}</DeleteResult>"))
    }

    async fn delete_two(store: &SteadyStore) -> Vec<Result<Path>> {
        let paths = ["a", "b"].map(|path| Ok(Path::from(path)));
        store.delete_stream(stream::iter(paths).boxed()).collect().await
    }

    #[tokio::test]
    async fn a_deletion_that_is_refused_for_one_object_is_not_repeated() {
        let (store, server) = bucket(|_| Some(delete_result("AccessDenied")));
        let deleted = delete_two(&store).await;
        assert_eq!(deleted[0].as_ref().unwrap(), &Path::from("a"));
        let error = deleted[1].as_ref().unwrap_err();
        assert!(error.to_string().contains("allow them s3:ListBucket"), "{error}");
        assert!(!passes(error));
        assert_eq!(server.take_requests().len(), 1);
    }

    #[tokio::test]
    async fn a_deletion_that_fails_for_now_for_one_object_is_repeated() {
        let mut first = true;
        let (store, server) = bucket(move |_| match std::mem::take(&mut first) {
            true => Some(delete_result("SlowDown")),
            false => Some((200, "<DeleteResult><Deleted><Key>b</Key></Deleted></DeleteResult>".to_owned())),
        });
        assert!(delete_two(&store).await.iter().all(Result::is_ok));
        assert_eq!(server.take_requests().len(), 2);
    }

    /// The answer to a listing with these keys.
    fn page(keys: &[&str]) -> Answer {
        let object = |key: &&str| {
            format!(
                "<Contents><Key>{key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
            )
        };
        let objects: String = keys.iter().map(object).collect();
        (200, format!("<ListBucketResult>{objects}</ListBucketResult>"))
    }

    fn asks_for_rooted(request: &Request) -> bool {
        request.target.contains("prefix=%2F&")
    }

    #[tokio::test]
    async fn a_whole_bucket_with_keys_that_begin_with_a_slash_is_not_listed() {
        for keys in [["/z.jpg"], ["/"], ["//z.jpg"]] {
            let (store, server) = bucket(move |request| match asks_for_rooted(request) {
                true => Some(page(&keys)),
                false => Some(page(&["a"])),
            });
            let offset = Path::from("a");
            for listing in [store.list(None), store.list_with_offset(Some(&Path::default()), &offset)] {
                let error = listing.try_collect::<Vec<_>>().await.unwrap_err();
                assert!(matches!(error, Error::InvalidPath { .. }), "{error:?}");
                assert!(error.to_string().contains("empty path segment"), "{error}");
            }
            assert!(server.take_requests().iter().all(asks_for_rooted));
            // Below a folder there are none.
            let folder: Vec<_> = store.list(Some(&Path::from("folder"))).try_collect().await.unwrap();
            assert_eq!(folder.len(), 1);
            assert!(!server.take_requests().iter().any(asks_for_rooted));
        }
    }

    #[tokio::test]
    async fn keys_that_begin_with_a_slash_are_asked_for_once() {
        let (store, server) = bucket(|request| match asks_for_rooted(request) {
            true => Some(page(&[])),
            false => Some(page(&["a", "b"])),
        });
        for _ in 0..3 {
            let found: Vec<_> = store.list(None).map_ok(|object| object.location).try_collect().await.unwrap();
            assert_eq!(found, [Path::from("a"), Path::from("b")]);
        }
        let requests = server.take_requests();
        assert_eq!(requests.len(), 4, "{requests:?}");
        let first: Vec<&Request> = requests.iter().filter(|request| asks_for_rooted(request)).collect();
        assert_eq!(first, [&requests[0]]);
        assert!(requests[0].target.contains("max-keys=1"), "{requests:?}");
    }

    #[tokio::test]
    async fn a_page_is_asked_for_again_however_long_the_last_one_was_looked_at() {
        let (store, server) = bucket(|request| match request.target.as_str() {
            target if target.contains("continuation-token=") => Some((503, String::new())),
            target if target.contains("start-after=") => Some(page(&["folder/b"])),
            _ => {
                let (status, body) = page(&["folder/a"]);
                let more = "<NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
                Some((status, body.replace("</ListBucketResult>", more)))
            }
        });
        let mut listing = store.list(Some(&Path::from("folder")));
        assert_eq!(listing.next().await.unwrap().unwrap().location, Path::from("folder/a"));
        tokio::time::sleep(LONG + Duration::from_secs(1)).await;
        assert_eq!(listing.next().await.unwrap().unwrap().location, Path::from("folder/b"));
        assert!(listing.next().await.is_none());
        assert_eq!(server.take_requests().len(), 3);
    }

    #[tokio::test]
    async fn an_upload_whose_completion_was_not_heard_of_is_looked_for_within_bounds() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let location = Path::from("a");
        let put = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            store.put(&location, "abc".into()).await.unwrap();
        };
        let (found, ()) = tokio::join!(found_complete(&store, &location, 3), put);
        assert!(found.is_some());
        assert!(found_complete(&store, &location, 4).await.is_none(), "it is another one");

        let (silent, _server) = bucket(|_| None);
        let began = Instant::now();
        let silent: Arc<dyn ObjectStore> = Arc::new(silent);
        assert!(found_complete(&silent, &location, 3).await.is_none());
        // A request alone would be waited for twice as long; the rest is for a busy machine.
        assert!(began.elapsed() < COMPLETION * 2, "{:?}", began.elapsed());
    }
}
