//! Keys that begin with a `/`.
//!
//! S3 allows them, and `object_store` has no name for them: it shows `/z.jpg` as `z.jpg`, in the place of another object,
//! if there is one of that key, and out of the order in which the store lists. Whoever goes through a whole bucket would
//! miss objects for good, or take one for another. So a listing of a whole bucket first asks for such keys, and fails if
//! there are any. Below a folder there can be none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::{Error as PathError, Path};
use object_store::{Error, Result};
use parking_lot::Mutex;

/// How long it is believed that there are none. A large bucket is gone through by many listings, one after another.
const BELIEVED: Duration = Duration::from_secs(60);

/// What is known of such keys in a bucket.
pub(super) struct Rooted {
    client: Arc<dyn PaginatedListStore>,
    /// When there were none.
    none_at: Mutex<Option<Instant>>,
}

impl Rooted {
    pub(super) fn new(client: Arc<dyn PaginatedListStore>) -> Self {
        Self { client, none_at: Mutex::default() }
    }

    /// Refuses a bucket that holds such keys, by the first of them.
    pub(super) async fn check(&self) -> Result<()> {
        if self.none_at.lock().is_some_and(|at| at.elapsed() < BELIEVED) {
            return Ok(());
        }
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let page = self.client.list_paginated(Some("/"), options).await?;
        if let Some(object) = page.result.objects.first() {
            return Err(refused(&object.location));
        }
        *self.none_at.lock() = Some(Instant::now());
        Ok(())
    }
}

fn refused(shown: &Path) -> Error {
    Error::InvalidPath { source: PathError::EmptySegment { path: format!("/{shown}") } }
}
