//! Uploads in parts that end: completed although the answer was lost, or aborted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, TryFutureExt};
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, PutResult, Result, UploadPart};

use super::{FIRST_PAUSE, REPEATS};
use crate::stores::fault::{explain, passes};

/// How long it is waited for an upload whose completion was not heard of. The client has waited for a minute already.
pub(super) const COMPLETION: Duration = Duration::from_secs(15);

/// An upload in parts. Dropped before its end, it is aborted: parts of an upload that nobody completes are stored, and
/// paid for, until somebody looks for them.
pub(super) struct Upload {
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
    pub(super) fn begun(
        inner: Box<dyn MultipartUpload>,
        store: Arc<dyn ObjectStore>,
        bucket: Arc<str>,
        location: Path,
    ) -> Self {
        Self { inner: Some(inner), store, bucket, location, bytes: 0 }
    }

    fn ended(&self) -> Error {
        Error::Generic { store: "S3", source: format!("{self:?} has ended already").into() }
    }
}

/// Looks, for some seconds, whether an upload was completed although the answer says otherwise: a completion that was
/// repeated finds no upload any more, and one whose answer is lost may still be under way. It is not asked for again: the
/// client forgets the parts with the first try, within which it has repeated the request itself. Names of objects that
/// are uploaded in parts are unique, so one of that name and size is this one.
pub(super) async fn found_complete(store: &Arc<dyn ObjectStore>, location: &Path, bytes: u64) -> Option<PutResult> {
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
