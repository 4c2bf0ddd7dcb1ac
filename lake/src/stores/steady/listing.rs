//! Listings that go on where a page of them was cut.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, Result};

use super::{Attempts, SteadyStore};
use crate::stores::fault::explain;

/// A listing that goes on behind the last key when a page of it is cut.
pub(super) struct Listing {
    inner: Arc<dyn ObjectStore>,
    bucket: Arc<str>,
    prefix: Option<Path>,
    open: BoxStream<'static, Result<ObjectMeta>>,
    last: Option<Path>,
    /// Stores that list in no order (directory buckets) have no "behind"; there only the first page is asked for again.
    ascends: bool,
}

impl Listing {
    pub(super) fn new(store: &SteadyStore, prefix: Option<&Path>, offset: Option<&Path>) -> Self {
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

    pub(super) fn stream(self) -> BoxStream<'static, Result<ObjectMeta>> {
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
