//! The server that this process reads from.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use futures::StreamExt;
use mongodb::Client;
use mongodb::error::Error;
use mongodb::options::SelectionCriteria;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use quickchat_environment::Secret;
use tokio::sync::Mutex;

use super::address::resolve;
use super::fault::{MongoError, Outlook, explain, outlook};
use crate::live::{Failures, install_tls, patience};

/// The database when neither the variable nor the address names one.
const DEFAULT_DATABASE: &str = "quickchat";
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server that may be read from is looked for: an election takes less.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections of a process, unless the address says otherwise: more than an executor has tasks.
const MAX_CONNECTIONS: u32 = 64;

/// Where the server is and how to log in to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MongoSettings {
    /// `mongodb://` or `mongodb+srv://`.
    pub uri: Secret,
    /// The database; the one that the address names if none.
    pub database: Option<String>,
    /// How long the server may be silent.
    pub patience: Duration,
}

impl MongoSettings {
    /// `MONGODB_URI` and `MONGODB_DATABASE`, each of which may stand in a file.
    fn from_environment() -> Result<Option<Self>, MongoError> {
        let Some(uri) = quickchat_environment::secret("MONGODB_URI")? else { return Ok(None) };
        Ok(Some(Self { uri, database: quickchat_environment::value("MONGODB_DATABASE")?, patience: patience()? }))
    }
}

type Ask = dyn Fn() -> Result<Option<MongoSettings>, MongoError> + Send + Sync;

/// The server, connected to when it is first used, and anew when it refuses the login and the environment names other
/// credentials since: passwords change while processes live.
pub(crate) struct MongoServer {
    settings: Box<Ask>,
    connected: Mutex<Option<Arc<Connected>>>,
}

impl Default for MongoServer {
    fn default() -> Self {
        Self { settings: Box::new(MongoSettings::from_environment), connected: Mutex::default() }
    }
}

impl MongoServer {
    pub(crate) fn given(settings: impl Fn() -> MongoSettings + Send + Sync + 'static) -> Self {
        Self { settings: Box::new(move || Ok(Some(settings()))), connected: Mutex::default() }
    }

    /// The connected server. Nothing is sent to it yet.
    pub(super) async fn open(&self, collection: &str) -> Result<Open, MongoError> {
        let mut connected = self.connected.lock().await;
        if let Some(connected) = &*connected {
            return Ok(Open::of(connected));
        }
        let settings = (self.settings)()?;
        let settings = settings.ok_or_else(|| MongoError::NotConfigured { collection: collection.to_owned() })?;
        Ok(Open::of(connected.insert(Arc::new(Connected::new(settings).await?))))
    }

    /// The same server after a refused login, if there are other credentials by now.
    pub(super) async fn reopen(&self, refused: &Open) -> Result<Option<Open>, MongoError> {
        let mut connected = self.connected.lock().await;
        match &*connected {
            // Another task was quicker.
            Some(connected) if !Arc::ptr_eq(connected, &refused.connected) => return Ok(Some(Open::of(connected))),
            _ => {}
        }
        match (self.settings)()? {
            Some(settings) if settings != refused.connected.settings => {
                tracing::info!("MongoDB refused the login; trying again with other credentials");
                Ok(Some(Open::of(connected.insert(Arc::new(Connected::new(settings).await?)))))
            }
            _ => Ok(None),
        }
    }
}

/// A database that can be sent commands.
#[derive(Clone)]
pub(super) struct Open {
    connected: Arc<Connected>,
    /// The database that is read.
    pub(super) database: String,
}

/// A client and what it was made of.
struct Connected {
    client: Client,
    settings: MongoSettings,
    /// The database that the variable or the address names.
    named: Option<String>,
    /// The hosts, for messages.
    hosts: String,
    /// Which of several servers may answer.
    criteria: Option<SelectionCriteria>,
    /// Texts that must not show in messages.
    hidden: Vec<Secret>,
}

/// Nothing came within the patience.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence;

impl Connected {
    async fn new(settings: MongoSettings) -> Result<Self, MongoError> {
        install_tls();
        let mut options = resolve(&settings).await?;
        let mut hidden = vec![settings.uri.clone()];
        hidden.extend(options.credential.as_ref().and_then(|it| it.password.clone()).map(Secret::from));
        options.app_name = options.app_name.or_else(|| Some("quickchat-etl".to_owned()));
        options.connect_timeout = options.connect_timeout.or(Some(CONNECT_TIMEOUT));
        options.server_selection_timeout = options.server_selection_timeout.or(Some(SELECTION_TIMEOUT));
        options.max_pool_size = options.max_pool_size.or(Some(MAX_CONNECTIONS));
        let named = settings.database.clone().or_else(|| options.default_database.clone());
        let criteria = options.selection_criteria.clone();
        let hosts = options.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let unusable = |error| MongoError::Address { why: without(&hidden, &error) };
        let client = Client::with_options(options).map_err(unusable)?;
        Ok(Self { client, settings, named, hosts, criteria, hidden })
    }
}

impl Open {
    fn of(connected: &Arc<Connected>) -> Self {
        let database = connected.named.as_deref().unwrap_or(DEFAULT_DATABASE).to_owned();
        Self { connected: Arc::clone(connected), database }
    }

    /// The same server for what a plan names. Whoever plans says which database is read; a process that is told another
    /// one would read other data, or nothing at all, and that without an error.
    pub(super) fn planned(self, database: &str, collection: &str) -> Result<Self, MongoError> {
        let (planned, collection) = (database.to_owned(), collection.to_owned());
        match &self.connected.named {
            Some(named) if *named != planned => {
                Err(MongoError::OtherDatabase { collection, planned, named: named.clone() })
            }
            _ => Ok(Self { database: planned, ..self }),
        }
    }

    /// Where this is, without user and password.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.connected.hosts, self.database)
    }

    /// The error of a command for people.
    pub(super) fn explain(&self, error: &Error, doing: &str, attempts: u32) -> MongoError {
        explain(error, doing, self.words(error), attempts)
    }

    /// What the driver says, without secrets.
    pub(super) fn words(&self, error: &Error) -> String {
        without(&self.connected.hidden, error)
    }

    /// The error of so many waits in vain.
    pub(super) fn hangs(&self, doing: &str, silences: u32) -> MongoError {
        let seconds = self.connected.settings.patience.as_secs() * u64::from(silences);
        MongoError::Hangs { doing: doing.to_owned(), seconds }
    }

    /// Waits for the server, but not for ever.
    pub(super) async fn wait<T>(&self, answer: impl Future<Output = T>) -> Result<T, Silence> {
        tokio::time::timeout(self.connected.settings.patience, answer).await.map_err(|_| Silence)
    }

    /// Sends a command that opens a cursor, once.
    pub(super) async fn cursor(&self, command: RawDocumentBuf, batch: Option<u32>) -> Result<RawBatchCursor, Error> {
        let database = self.connected.client.database(&self.database);
        let mut action = database.run_raw_cursor_command(command);
        if let Some(criteria) = &self.connected.criteria {
            action = action.selection_criteria(criteria.clone());
        }
        if let Some(batch) = batch {
            action = action.batch_size(batch);
        }
        action.batch().await
    }

    /// Sends a command to the database, again and again while its failure may pass. The outer error is final, the
    /// inner one is the server's refusal, for the caller to judge.
    pub(super) async fn command(&self, doing: &str, command: Document) -> Result<Result<Document, Error>, MongoError> {
        self.repeat(doing, || self.send(command.clone())).await
    }

    /// The answer to a command of which only advice is wanted: it is sent once, and none will do whatever the reason.
    pub(super) async fn advice(&self, doing: &str, command: Document) -> Option<Document> {
        self.only_advice(doing, self.wait(self.send(command)).await)
    }

    /// The same of an aggregation, as the documents of its first batch.
    pub(super) async fn advised_batch(&self, doing: &str, command: &RawDocumentBuf) -> Option<Vec<Document>> {
        let found = self.only_advice(doing, self.wait(self.batch(command)).await)?;
        Some(found.0)
    }

    fn only_advice<T>(&self, doing: &str, answer: Result<Result<T, Error>, Silence>) -> Option<T> {
        let why = match answer {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(error)) => self.words(&error),
            Err(Silence) => "no answer".to_owned(),
        };
        tracing::debug!(doing, why, "MongoDB gives no advice");
        None
    }

    async fn send(&self, command: Document) -> Result<Document, Error> {
        let database = self.connected.client.database(&self.database);
        let mut action = database.run_command(command);
        if let Some(criteria) = &self.connected.criteria {
            action = action.selection_criteria(criteria.clone());
        }
        action.await
    }

    /// The first batch of a cursor, as documents; again as [`command`](Self::command).
    pub(super) async fn first_batch(
        &self,
        doing: &str,
        command: &RawDocumentBuf,
    ) -> Result<Result<(Vec<Document>, Document), Error>, MongoError> {
        self.repeat(doing, || self.batch(command)).await
    }

    async fn batch(&self, command: &RawDocumentBuf) -> Result<(Vec<Document>, Document), Error> {
        let mut cursor = self.cursor(command.clone(), None).await?;
        match cursor.next().await {
            Some(batch) => documents(&batch?),
            None => Ok((Vec::new(), Document::new())),
        }
    }

    async fn repeat<T, F: Future<Output = Result<T, Error>>>(
        &self,
        doing: &str,
        send: impl Fn() -> F,
    ) -> Result<Result<T, Error>, MongoError> {
        let mut failures = Failures::default();
        loop {
            let (pause, why) = match self.wait(send()).await {
                Ok(Err(error)) if outlook(&error) == Outlook::Passing => match failures.told() {
                    Some(pause) => (pause, self.words(&error)),
                    None => return Err(self.explain(&error, doing, failures.count())),
                },
                Ok(answer) => return Ok(answer),
                Err(Silence) => match failures.silent() {
                    Some(pause) => (pause, "no answer".to_owned()),
                    None => return Err(self.hangs(doing, failures.silences())),
                },
            };
            tracing::warn!(doing, attempt = failures.count(), error = why, "MongoDB failed; trying again");
            tokio::time::sleep(pause).await;
        }
    }
}

/// A document; or at least its id, of one that is damaged. What cannot be decoded is put aside when it is read, and keeps
/// nobody from planning the read.
fn readable(document: &RawDocument) -> Document {
    Document::try_from(document).unwrap_or_else(|_| {
        let id = document.iter_elements().flatten().find(|element| element.key() == "_id");
        let id = id.and_then(|id| Bson::try_from(id.value_utf8_lossy().ok()?).ok());
        // An id that is nothing that could be read is of a rare type.
        doc! { "_id": id.unwrap_or(Bson::Undefined) }
    })
}

/// The documents of a batch, and what stands beside them in the reply's cursor.
fn documents(batch: &RawBatch) -> Result<(Vec<Document>, Document), Error> {
    let mut found = Vec::new();
    for document in batch.doc_slices()? {
        let document = document?;
        if let Some(document) = document.as_document() {
            found.push(readable(document));
        }
    }
    let mut beside = Document::new();
    if let Ok(cursor) = batch.as_raw_document().get_document("cursor")
        && let Ok(Some(time)) = cursor.get("atClusterTime")
    {
        beside.insert("atClusterTime", Bson::try_from(time)?);
    }
    Ok((found, beside))
}

/// The driver's words without the address and the password, should it quote them.
pub(super) fn without(hidden: &[Secret], error: &Error) -> String {
    // Of the error only its kind: what else it shows is for debugging the driver.
    let mut text = error.kind.to_string();
    for secret in hidden {
        if !secret.expose().is_empty() {
            text = text.replace(secret.expose(), "…");
        }
    }
    // Long lists of what is known of every server say little; the beginning does.
    text.truncate(text.floor_char_boundary(1_000));
    text
}
