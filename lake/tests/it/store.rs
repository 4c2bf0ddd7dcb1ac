//! An object store that counts requests and fails on demand.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Get,
    Put,
    Upload,
    Part,
    Delete,
    List,
    Copy,
}

/// What shall go wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is not done.
    Fail,
    /// It is not done, as if the object were there: so a store answers while another put of it is under way.
    Refuse,
    /// It is done, but the answer is lost.
    LoseAnswer,
    /// It is done, the answer is lost, and the client's own repetition finds the object there.
    RepeatLostAnswer,
    /// Somebody else writes this object just before.
    Precede(String),
    /// The condition that there is no such object is overlooked.
    Overwrite,
}

type Rule = Box<dyn FnMut(Request, &str) -> Option<Fault> + Send>;

/// Wraps a store.
pub struct TestStore {
    inner: Arc<dyn ObjectStore>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<(Request, String)>>,
    rule: Mutex<Option<Rule>>,
    open_uploads: AtomicUsize,
    aborted_uploads: AtomicUsize,
}

impl TestStore {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, shared: Arc::default() }
    }

    /// From now on, requests for which the rule gives a fault go wrong.
    pub fn set_rule(&self, rule: impl FnMut(Request, &str) -> Option<Fault> + Send + 'static) {
        *self.shared.rule.lock() = Some(Box::new(rule));
    }

    pub fn clear_rule(&self) {
        *self.shared.rule.lock() = None;
    }

    /// The requests since the last call.
    pub fn take_requests(&self) -> Vec<(Request, String)> {
        std::mem::take(&mut self.shared.requests.lock())
    }

    /// Uploads in parts that were neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.shared.open_uploads.load(Ordering::SeqCst)
    }

    pub fn aborted_uploads(&self) -> usize {
        self.shared.aborted_uploads.load(Ordering::SeqCst)
    }

    /// All objects.
    pub async fn objects(&self) -> Vec<String> {
        let mut paths: Vec<String> =
            self.inner.list(None).map(|object| object.unwrap().location.to_string()).collect().await;
        paths.sort();
        paths
    }

    /// Writes an object without counting it.
    pub async fn write(&self, path: &str, content: &str) {
        self.inner.put(&Path::parse(path).unwrap(), content.to_owned().into()).await.unwrap();
    }

    pub async fn read(&self, path: &str) -> Bytes {
        self.inner.get(&Path::parse(path).unwrap()).await.unwrap().bytes().await.unwrap()
    }

    pub async fn remove(&self, path: &str) {
        self.inner.delete(&Path::parse(path).unwrap()).await.unwrap();
    }
}

impl Shared {
    fn note(&self, request: Request, path: &str) -> Option<Fault> {
        self.requests.lock().push((request, path.to_owned()));
        self.rule.lock().as_mut().and_then(|rule| rule(request, path))
    }
}

fn failure(path: &str) -> Error {
    Error::Generic { store: "test", source: format!("the store is out of order ({path})").into() }
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestStore({:?})", self.inner)
    }
}

impl fmt::Display for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for TestStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.shared.note(Request::Put, location.as_ref());
        if let Some(Fault::Precede(content)) = &fault {
            let first = PutOptions { mode: PutMode::Create, ..Default::default() };
            self.inner.put_opts(location, content.clone().into(), first).await?;
        }
        match fault {
            Some(Fault::Fail) => Err(failure(location.as_ref())),
            Some(Fault::Refuse) => {
                Err(Error::AlreadyExists { path: location.to_string(), source: "another is under way".into() })
            }
            Some(Fault::LoseAnswer) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(failure(location.as_ref()))
            }
            Some(Fault::RepeatLostAnswer) => {
                self.inner.put_opts(location, payload.clone(), options.clone()).await?;
                self.inner.put_opts(location, payload, options).await
            }
            Some(Fault::Overwrite) => self.inner.put_opts(location, payload, PutOptions::default()).await,
            Some(Fault::Precede(_)) | None => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if self.shared.note(Request::Upload, location.as_ref()).is_some() {
            return Err(failure(location.as_ref()));
        }
        let inner = self.inner.put_multipart_opts(location, options).await?;
        self.shared.open_uploads.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(TestUpload { inner, shared: Arc::clone(&self.shared), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.shared.note(Request::Get, location.as_ref()) {
            Some(_) => Err(failure(location.as_ref())),
            None => self.inner.get_opts(location, options).await,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.shared.note(Request::Get, location.as_ref()) {
            Some(_) => Err(failure(location.as_ref())),
            None => self.inner.get_ranges(location, ranges).await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let shared = Arc::clone(&self.shared);
        let checked = locations.map(move |location| {
            let location = location?;
            match shared.note(Request::Delete, location.as_ref()) {
                Some(_) => Err(failure(location.as_ref())),
                None => Ok(location),
            }
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let path = prefix.map(ToString::to_string).unwrap_or_default();
        match self.shared.note(Request::List, &path) {
            Some(_) => futures::stream::once(async move { Err(failure(&path)) }).boxed(),
            None => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.shared.note(Request::List, &prefix.map(ToString::to_string).unwrap_or_default());
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.shared.note(Request::Copy, from.as_ref());
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct TestUpload {
    inner: Box<dyn MultipartUpload>,
    shared: Arc<Shared>,
    location: Path,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

#[async_trait]
impl MultipartUpload for TestUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.shared.note(Request::Part, self.location.as_ref()) {
            Some(_) => {
                let location = self.location.to_string();
                async move { Err(failure(&location)) }.boxed()
            }
            None => self.inner.put_part(data),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.shared.open_uploads.fetch_sub(1, Ordering::SeqCst);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.shared.open_uploads.fetch_sub(1, Ordering::SeqCst);
        self.shared.aborted_uploads.fetch_add(1, Ordering::SeqCst);
        self.inner.abort().await
    }
}
