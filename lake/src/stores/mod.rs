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
//! notice. So a process that commits tries it out before it first has anything written to a store, and
//! refuses where it fails.

mod credentials;
mod fault;
mod memory;
mod profile;
mod read_once;
mod rooted;
mod s3;
mod small_files;
mod steady;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use url::Url;

use fault::is_unknown;
pub use fault::{PASSING, REFUSED, tells_of_passing_fault};
pub(crate) use fault::{passes, tells_of_refusal};
pub(crate) use read_once::ReadOnce;

use crate::{LakeError, Result, TableUrl};

/// How long a store that fails for now is tried out again and again, as long as any other request is repeated.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause after the first creation without an answer; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What is said of a store that does not create an object if and only if there is none.
const OVERWRITES: &str = "overwrote an object that it was told to create only if there was none";
const DOES_NOT_KNOW: &str = "does not know (501, NotImplemented) how to create an object only if there is none";
const IS_NOT_ASKED: &str = "may not be told to create an object only if there is none, as AWS_CONDITIONAL_PUT says";

/// A registry of object stores, opened on first use. Cheap to clone; clones share their stores.
#[derive(Clone, Default)]
pub struct ObjectStores {
    open: Arc<Mutex<HashMap<String, Opened>>>,
}

#[derive(Clone)]
struct Opened {
    store: Arc<dyn ObjectStore>,
    /// What the store is made of, if it is a bucket.
    client: Option<Arc<AmazonS3Builder>>,
    /// Whether the store honours create-if-absent, or what it does instead; set once it was seen.
    creates_once: Arc<OnceCell<Result<(), &'static str>>>,
}

impl Opened {
    fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, client: None, creates_once: Arc::default() }
    }

    fn bucket(client: AmazonS3Builder, bucket: &str) -> object_store::Result<Self> {
        let store = s3::open(client.clone(), bucket)?;
        Ok(Self { client: Some(Arc::new(client)), ..Self::new(store) })
    }

    /// Creates an object until a creation is refused, which the second must be.
    async fn try_to_create_twice(&self, table: &TableUrl) -> Result<Result<(), &'static str>> {
        let path = table.path()?.join("_probe").join(uuid::Uuid::now_v7().to_string());
        let failed = |error| LakeError::object("write to", path.clone(), error);
        // The client would repeat each answer that begins with a 5 for a minute, also "not implemented".
        let store = match &self.client {
            Some(client) => s3::open_impatient(client.as_ref().clone(), table.bucket()).map_err(failed)?,
            None => Arc::clone(&self.store),
        };
        let found = create_twice(store.as_ref(), &path).await;
        // Also when the answer to the first was lost.
        if let Err(error) = self.store.delete(&path).await
            && !matches!(error, Error::NotFound { .. })
        {
            tracing::warn!(%path, %error, "an object that was made to try the store out could not be removed");
        }
        found.map_err(failed)
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
    ///
    /// # Errors
    /// [`LakeError::Store`] if no client can be made of the settings.
    pub fn register_s3(&self, bucket: &str, client: AmazonS3Builder) -> Result<()> {
        let store = format!("s3://{bucket}");
        let opened = Opened::bucket(client, bucket);
        let opened = opened.map_err(|error| LakeError::Store { store: store.clone(), why: error.to_string() })?;
        self.open.lock().insert(store, opened);
        Ok(())
    }

    fn open(&self, url: &Url) -> Result<Opened> {
        let key = key(url);
        let mut open = self.open.lock();
        if let Some(opened) = open.get(&key) {
            return Ok(opened.clone());
        }
        let opened = connect(url).map_err(|why| LakeError::Store { store: key.clone(), why })?;
        open.insert(key, opened.clone());
        Ok(opened)
    }

    /// Makes sure that versions can be committed to the store of a table: that it creates an object only where there is
    /// none. Found out once a process and store, by an object in the folder that is removed again.
    pub(crate) async fn ensure_creates_once(&self, table: &TableUrl) -> Result<()> {
        // The operating system's word is good enough.
        if table.url().scheme() == "file" {
            return Ok(());
        }
        let opened = self.open(table.url())?;
        let found = opened.creates_once.get_or_try_init(|| opened.try_to_create_twice(table)).await?;
        found.map_err(|found| LakeError::Unconditional { store: table.store().to_owned(), found })
    }
}

/// Creates an object twice, and says what the store did that it should not. Fails if that stays open.
async fn create_twice(store: &dyn ObjectStore, path: &Path) -> object_store::Result<Result<(), &'static str>> {
    let create = || store.put_opts(path, PutPayload::from_static(b"probe"), PutOptions::from(PutMode::Create));
    let (began, mut pause, mut created) = (Instant::now(), FIRST_PAUSE, false);
    loop {
        match create().await {
            Ok(_) if !created => created = true,
            Ok(_) => return Ok(Err(OVERWRITES)),
            // Nobody else has this name, so it is there by the first creation, be it one without an answer.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => return Ok(Ok(())),
            Err(Error::NotImplemented { .. }) => return Ok(Err(IS_NOT_ASKED)),
            Err(error) if is_unknown(&error) => return Ok(Err(DOES_NOT_KNOW)),
            Err(error) if passes(&error) && began.elapsed() < PATIENCE => {
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
            Err(error) => return Err(error),
        }
    }
}

fn key(url: &Url) -> String {
    url[..url::Position::BeforePath].to_owned()
}

fn connect(url: &Url) -> Result<Opened, String> {
    match url.scheme() {
        "file" => Ok(Opened::new(Arc::new(LocalFileSystem::new()))),
        "s3" => {
            let bucket = url.host_str().unwrap_or_default();
            let client = s3::client(bucket).map_err(|error| error.to_string())?;
            Opened::bucket(client, bucket).map_err(|error| error.to_string())
        }
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

#[cfg(test)]
mod tests {
    use quickchat_testing::{Answer, Request, StandIn};

    use super::*;

    const DELETED: &str = "<DeleteResult><Deleted><Key>k</Key></Deleted></DeleteResult>";

    /// Stores in which `bucket` is at a stand-in that answers puts by `put`.
    fn stores(mut put: impl FnMut(&Request) -> Option<Answer> + Send + 'static) -> (ObjectStores, StandIn) {
        let server = StandIn::start(move |request| match request.method.as_str() {
            "PUT" => put(request),
            _ => Some((200, DELETED.to_owned())),
        });
        let client = AmazonS3Builder::new()
            .with_endpoint(server.endpoint())
            .with_allow_http(true)
            .with_access_key_id("id")
            .with_secret_access_key("secret");
        let stores = ObjectStores::new();
        stores.register_s3("bucket", client).unwrap();
        (stores, server)
    }

    fn table(name: &str) -> TableUrl {
        TableUrl::parse(&format!("s3://bucket/lake/{name}")).unwrap()
    }

    fn puts(server: &StandIn) -> usize {
        server.take_requests().iter().filter(|request| request.method == "PUT").count()
    }

    fn error(status: u16, code: &str) -> Answer {
        (status, format!("<Error><Code>{code}</Code><Message>m</Message></Error>"))
    }

    #[tokio::test]
    async fn a_store_that_does_not_know_the_condition_is_refused_at_once_and_for_good() {
        let (stores, server) = stores(|_| Some(error(501, "NotImplemented")));
        for name in ["a", "b", "b"] {
            let refused = stores.ensure_creates_once(&table(name)).await.unwrap_err();
            assert!(matches!(&refused, LakeError::Unconditional { .. }), "{refused:?}");
            assert_eq!(refused.class(), crate::ErrorClass::User);
            assert!(refused.to_string().contains("s3://bucket does not know (501, NotImplemented)"), "{refused}");
        }
        assert_eq!(puts(&server), 1);
    }

    #[tokio::test]
    async fn a_store_that_overwrites_is_refused_for_good() {
        let (stores, server) = stores(|_| Some((200, String::new())));
        for name in ["a", "b"] {
            let refused = stores.ensure_creates_once(&table(name)).await.unwrap_err();
            assert!(refused.to_string().contains("s3://bucket overwrote"), "{refused}");
        }
        assert_eq!(puts(&server), 2);
    }

    #[tokio::test]
    async fn a_store_that_fails_for_now_is_tried_out_until_it_answers() {
        let mut answers = [error(503, "SlowDown"), error(500, "InternalError"), (200, String::new())].into_iter();
        let (stores, server) =
            stores(move |_| Some(answers.next().unwrap_or_else(|| error(412, "PreconditionFailed"))));
        for name in ["a", "b"] {
            stores.ensure_creates_once(&table(name)).await.unwrap();
        }
        assert_eq!(puts(&server), 4);
    }

    #[tokio::test]
    async fn a_store_that_refuses_to_write_is_not_taken_for_an_unsuitable_one() {
        let mut answers = vec![error(412, "PreconditionFailed"), (200, String::new()), error(403, "AccessDenied")];
        let (stores, _server) = stores(move |_| answers.pop());
        let refused = stores.ensure_creates_once(&table("a")).await.unwrap_err();
        assert!(matches!(&refused, LakeError::Object { .. }), "{refused:?}");
        assert!(refused.to_string().contains("s3:PutObject"), "{refused}");
        // It is tried again when somebody has given the right.
        stores.ensure_creates_once(&table("a")).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_is_told_to_send_no_condition_is_refused() {
        let client = AmazonS3Builder::new()
            .with_access_key_id("id")
            .with_secret_access_key("secret")
            .with_conditional_put(object_store::aws::S3ConditionalPut::Disabled);
        // Only the deletion, which is warned of, would need somebody who answers.
        let server = StandIn::start(|_| Some((200, DELETED.to_owned())));
        let client = client.with_endpoint(server.endpoint()).with_allow_http(true);
        let stores = ObjectStores::new();
        stores.register_s3("bucket", client).unwrap();
        let refused = stores.ensure_creates_once(&table("a")).await.unwrap_err();
        assert!(refused.to_string().contains("AWS_CONDITIONAL_PUT"), "{refused}");
        assert_eq!(puts(&server), 0);
    }
}
