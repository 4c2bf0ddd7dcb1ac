//! The object stores that client, scheduler and executors share.
//!
//! A plan names a store by scheme and authority only (`s3://bucket`). Each process opens it from its own environment
//! when it is first used, and keeps it: [`s3`] has the settings, [`credentials`] the order in which credentials are looked
//! for. Ballista's own way, credentials as session settings, would write them into job settings, logs and REST answers.
//!
//! A store that fails for a moment is asked again: first by its client, then by [`steady`], then by Ballista, which
//! repeats the task. [`fault`] tells such failures from those that stay.
//!
//! Small data files are kept in memory ([`small_files`]), since requests cost more there than bytes.
//!
//! A commit is right only where a store creates an object if and only if there is none. Some S3-compatible stores, and
//! proxies before them, overlook the condition and overwrite; two writers would then lose each other's versions without
//! notice. So a process tries it out before its first commit to a store, and refuses to write where it fails.

mod credentials;
mod fault;
mod memory;
mod profile;
mod read_once;
mod s3;
mod small_files;
mod steady;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::aws::AmazonS3;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use url::Url;

pub use fault::{PASSING, REFUSED, tells_of_passing_fault};
pub(crate) use fault::{passes, tells_of_refusal};
pub(crate) use read_once::ReadOnce;

use crate::{LakeError, Result, TableUrl};

/// How often a creation may stay without an answer while a store is tried out.
const PROBES_WITHOUT_ANSWER: u32 = 3;

/// The pause after the first creation without an answer; it grows.
const PAUSE: Duration = Duration::from_millis(200);

/// A registry of object stores, opened on first use. Cheap to clone; clones share their stores.
#[derive(Clone, Default)]
pub struct ObjectStores {
    open: Arc<Mutex<HashMap<String, Opened>>>,
}

#[derive(Clone)]
struct Opened {
    store: Arc<dyn ObjectStore>,
    /// Set when the store was seen to honour create-if-absent.
    creates_once: Arc<OnceCell<()>>,
}

impl Opened {
    fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, creates_once: Arc::default() }
    }
}

impl ObjectStores {
    /// A registry that has opened nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store that holds `url`; its paths start at the store's root.
    pub fn get(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        Ok(self.open(url)?.store)
    }

    /// Has a bucket's requests go through a client with settings of its own instead of the environment's. What is done
    /// about its failures is the same.
    pub fn register_s3(&self, bucket: &str, client: AmazonS3) {
        let store = s3::wrapped(client, bucket);
        self.open.lock().insert(format!("s3://{bucket}"), Opened::new(store));
    }

    fn open(&self, url: &Url) -> Result<Opened> {
        let key = key(url);
        let mut open = self.open.lock();
        if let Some(opened) = open.get(&key) {
            return Ok(opened.clone());
        }
        let opened = Opened::new(connect(url).map_err(|why| LakeError::Store { store: key.clone(), why })?);
        open.insert(key, opened.clone());
        Ok(opened)
    }

    /// Makes sure that versions can be committed to the store of a table: that it creates an object only where there is
    /// none. Tried once a process and store, by an object in the table's folder that is removed again.
    pub(crate) async fn ensure_creates_once(&self, table: &TableUrl) -> Result<()> {
        // The operating system's word is good enough.
        if table.url().scheme() == "file" {
            return Ok(());
        }
        let opened = self.open(table.url())?;
        opened.creates_once.get_or_try_init(|| try_to_create_twice(&opened.store, table)).await?;
        Ok(())
    }
}

/// Creates an object until a creation is refused, which the second must be.
async fn try_to_create_twice(store: &Arc<dyn ObjectStore>, table: &TableUrl) -> Result<()> {
    let path = table.path()?.join("_probe").join(uuid::Uuid::now_v7().to_string());
    let create = || store.put_opts(&path, PutPayload::from_static(b"probe"), PutOptions::from(PutMode::Create));
    let (mut created, mut unanswered) = (0, 0);
    let outcome = loop {
        match create().await {
            Ok(_) if created == 0 => created = 1,
            Ok(_) => break Err(LakeError::Unconditional { store: table.store().to_owned() }),
            // Nobody else has this name, so it is there by the first creation, be it one without an answer.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => break Ok(()),
            Err(error) if passes(&error) && unanswered < PROBES_WITHOUT_ANSWER => {
                unanswered += 1;
                tokio::time::sleep(PAUSE * unanswered).await;
            }
            Err(error) => break Err(LakeError::object("write to", path.clone(), error)),
        }
    };
    // Also when the answer to the first was lost.
    if let Err(error) = store.delete(&path).await
        && !matches!(error, object_store::Error::NotFound { .. })
    {
        tracing::warn!(%path, %error, "an object that was made to try the store out could not be removed");
    }
    outcome
}

fn key(url: &Url) -> String {
    url[..url::Position::BeforePath].to_owned()
}

fn connect(url: &Url) -> Result<Arc<dyn ObjectStore>, String> {
    match url.scheme() {
        "file" => Ok(Arc::new(LocalFileSystem::new())),
        "s3" => s3::connect(url.host_str().unwrap_or_default()).map_err(|error| error.to_string()),
        scheme => Err(format!("scheme {scheme:?} is neither file nor s3")),
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
        self.open.lock().insert(key(url), Opened::new(store)).map(|opened| opened.store)
    }

    fn deregister_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.open
            .lock()
            .remove(&key(url))
            .map(|opened| opened.store)
            .ok_or_else(|| DataFusionError::Configuration(format!("no object store is open for {}", key(url))))
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.get(url).map_err(DataFusionError::from)
    }
}
