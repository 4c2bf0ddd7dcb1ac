//! Looking at a media folder, for a person who sets things up.

use std::time::{Duration, Instant};

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::folder::open;
use super::{MediaError, MediaFolder, inventory};
use crate::SourceError;
use crate::table::parse_location;

/// Objects that are looked at: what one request lists.
const ONE_PAGE: usize = 1_000;

/// A media folder that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaHealth {
    /// Objects in the folder, of which no more than a page is looked at.
    pub objects: u64,
    /// Whether there are no others.
    pub is_all: bool,
    /// Files of the inventory, where one is read.
    pub inventory_files: Option<u64>,
    /// The time of the listing.
    pub latency: Duration,
    /// Whether the credentials in use may also write to the folder; never of a local one.
    pub may_write: bool,
}

impl MediaFolder {
    /// Lists a page of the folder, reads the inventory's manifest if there is one, and tries out whether the folder
    /// could be written to. The stores are those of `runtime`.
    ///
    /// # Errors
    /// [`SourceError::Media`] if folder or manifest cannot be read.
    pub async fn look(&self, runtime: &RuntimeEnv) -> Result<MediaHealth, SourceError> {
        self.check().await?;
        let (store_url, root) = parse_location(self.store_url(), self.root())?;
        let store = open(runtime, &store_url)?;
        let asked = Instant::now();
        let page: Result<Vec<ObjectMeta>, _> = store.list(Some(&root)).take(ONE_PAGE).try_collect().await;
        let objects = page.map_err(|source| MediaError::listing(self.location(), source))?.len();
        let latency = asked.elapsed();
        let inventory_files = match self.inventory() {
            None => None,
            Some(manifest) => {
                let store = open(runtime, &inventory::store(manifest)?)?;
                Some(inventory::file_count(store.as_ref(), manifest, self).await?)
            }
        };
        let may_write = !self.is_local() && may_write(store.as_ref(), &root).await;
        Ok(MediaHealth { objects: objects as u64, is_all: objects < ONE_PAGE, inventory_files, latency, may_write })
    }
}

/// Begins an upload and gives it up, which leaves nothing behind. A conditional write was rejected: a store that
/// overlooks the condition would write.
async fn may_write(store: &dyn ObjectStore, root: &Path) -> bool {
    let probe = root.clone().join("_probe");
    let Ok(mut upload) = store.put_multipart(&probe).await else { return false };
    if let Err(error) = upload.abort().await {
        tracing::warn!(object = %probe, %error, "an upload was begun to try out rights and cannot be given up");
    }
    true
}
