//! Where media objects are.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{MediaError, inventory, local, ranges};
use crate::read::is_local;
use crate::split::Work;
use crate::table::parse_location;
use crate::{SourceError, SplitPolicy};

/// A folder whose objects are all media, and where its listing is found. Nothing secret is in it: whoever reads it has
/// the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFolder {
    /// Scheme and authority.
    store_url: String,
    /// The folder's path in the store; empty for a whole bucket.
    root: String,
    /// The address of an inventory's manifest, which is read in place of a listing.
    inventory: Option<String>,
}

impl MediaFolder {
    /// The folder of this address, an absolute `file://` or `s3://` URL.
    ///
    /// # Errors
    /// [`MediaError::Location`] if no folder can have it.
    pub fn at(url: &Url) -> Result<Self, MediaError> {
        let bad = |why: String| MediaError::Location { location: url.to_string(), why };
        let root = Path::from_url_path(url.path()).map_err(|error| bad(error.to_string()))?;
        let store_url = ObjectStoreUrl::parse(&url[..url::Position::BeforePath]);
        Ok(Self::of(&store_url.map_err(|error| bad(error.to_string()))?, &root))
    }

    pub(crate) fn of(store_url: &ObjectStoreUrl, root: &Path) -> Self {
        Self { store_url: store_url.as_str().to_owned(), root: root.to_string(), inventory: None }
    }

    /// The same folder, whose objects an inventory lists. `manifest` is the `s3://` URL of its `manifest.json`.
    ///
    /// # Errors
    /// [`MediaError::InventoryLocation`] if the folder or the manifest is in no bucket.
    pub fn with_inventory(mut self, manifest: &Url) -> Result<Self, MediaError> {
        let bad = |why: &str| MediaError::InventoryLocation { location: manifest.to_string(), why: why.to_owned() };
        if manifest.scheme() == "file" {
            return Err(bad("the keys in a manifest are those of a bucket"));
        }
        if self.is_local() {
            return Err(bad("MEDIA_PATH is a local folder, and inventories are made of buckets"));
        }
        self.inventory = Some(manifest.as_str().trim_end_matches('/').to_owned());
        Ok(self)
    }

    /// Whether it is a folder of a machine's file system.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_local(&self.store_url)
    }

    /// The address, for people and for telling one folder from another.
    #[must_use]
    pub fn location(&self) -> String {
        location(&self.store_url, &self.root)
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn store_url(&self) -> &str {
        &self.store_url
    }

    /// The address of the inventory's manifest, if one is read.
    #[must_use]
    pub fn inventory(&self) -> Option<&str> {
        self.inventory.as_deref()
    }

    /// The bucket; empty for a local folder.
    pub(crate) fn bucket(&self) -> &str {
        self.store_url.split_once("://").map_or("", |(_, rest)| rest.trim_end_matches('/'))
    }

    /// Checks that a local folder is there. Of any other, whoever lists it finds out.
    ///
    /// # Errors
    /// [`MediaError::FolderMissing`] and [`MediaError::NotAFolder`].
    pub async fn check(&self) -> Result<(), MediaError> {
        if !self.is_local() {
            return Ok(());
        }
        let path = format!("/{}", self.root);
        match tokio::fs::metadata(&path).await {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(MediaError::NotAFolder { path }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(MediaError::FolderMissing { path }),
            Err(error) => Err(MediaError::Location { location: path, why: error.to_string() }),
        }
    }

    /// The store that is read, and the path in it below which readers find what they are told to read.
    pub(crate) fn place(&self) -> Result<(ObjectStoreUrl, Path), SourceError> {
        match &self.inventory {
            // The files of an inventory are named by their keys in its bucket.
            Some(manifest) => Ok((inventory::store(manifest)?, Path::ROOT)),
            None => parse_location(&self.store_url, &self.root),
        }
    }

    /// The parts of a scan: ranges of keys, or files of the inventory.
    pub(crate) async fn work(&self, state: &dyn Session, policy: &SplitPolicy) -> Result<Vec<Vec<Work>>, SourceError> {
        let (store_url, root) = self.place()?;
        let store = open(state.runtime_env(), &store_url)?;
        if let Some(manifest) = &self.inventory {
            return inventory::plan(store.as_ref(), manifest, self, policy).await;
        }
        let in_order = !self.is_local();
        if !in_order {
            local::warn_of_unlisted(&root);
        }
        let listed = ranges::plan(store.as_ref(), &root, in_order).await;
        let ranges = listed.map_err(|source| MediaError::listing(self.location(), source))?;
        Ok(ranges.into_iter().map(|range| vec![Work::Keys(range)]).collect())
    }
}

/// A store of a process.
pub(super) fn open(runtime: &RuntimeEnv, url: &ObjectStoreUrl) -> Result<Arc<dyn ObjectStore>, SourceError> {
    runtime.object_store(url).map_err(|source| SourceError::no_store(url, source))
}

/// The address of a path in a store.
pub(crate) fn location(store_url: &str, path: &str) -> String {
    // One slash only: of `file:///` two belong to what is before the path.
    format!("{}/{path}", store_url.strip_suffix('/').unwrap_or(store_url))
}
