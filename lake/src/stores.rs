//! The object stores that client, scheduler and executors share.
//!
//! A plan names a store by scheme and authority only (`s3://bucket`). Each process opens it from its own environment
//! (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, web identity, instance metadata, …) when it is first used, and keeps it.
//! Ballista's own way, credentials as session settings, would write them into job settings, logs and REST answers.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use parking_lot::Mutex;
use url::Url;

use crate::{LakeError, Result};

/// A registry of object stores, opened on first use. Cheap to clone; clones share their stores.
#[derive(Clone, Default)]
pub struct ObjectStores {
    open: Arc<Mutex<HashMap<String, Arc<dyn ObjectStore>>>>,
}

impl ObjectStores {
    /// A registry that has opened nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store that holds `url`; its paths start at the store's root.
    pub fn get(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let key = key(url);
        let mut open = self.open.lock();
        if let Some(store) = open.get(&key) {
            return Ok(Arc::clone(store));
        }
        let store = connect(url).map_err(|source| LakeError::Store { store: key.clone(), source })?;
        open.insert(key, Arc::clone(&store));
        Ok(store)
    }
}

fn key(url: &Url) -> String {
    url[..url::Position::BeforePath].to_owned()
}

fn connect(url: &Url) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    match url.scheme() {
        "file" => Ok(Arc::new(LocalFileSystem::new())),
        "s3" => {
            let bucket = url.host_str().unwrap_or_default();
            Ok(Arc::new(AmazonS3Builder::from_env().with_bucket_name(bucket).build()?))
        }
        _ => Err(object_store::Error::NotSupported {
            source: format!("scheme {:?} is neither file nor s3", url.scheme()).into(),
        }),
    }
}

impl fmt::Debug for ObjectStores {
    /// Names only: the stores' own `Debug` may print credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.open.lock().keys()).finish()
    }
}

impl ObjectStoreRegistry for ObjectStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.open.lock().insert(key(url), store)
    }

    fn deregister_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.open
            .lock()
            .remove(&key(url))
            .ok_or_else(|| DataFusionError::Configuration(format!("no object store is open for {}", key(url))))
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.get(url).map_err(DataFusionError::from)
    }
}
