//! The server that this process reads from.

use std::time::Duration;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use futures::StreamExt;
use mongodb::Client;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{ClientOptions, SelectionCriteria};
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use quickchat_environment::Secret;
use tokio::sync::OnceCell;

use super::fault::{MongoError, Outlook, explain, outlook};
use crate::live::{ATTEMPTS, install_tls, patience, pause};

/// The database when neither the variable nor the address names one.
const DEFAULT_DATABASE: &str = "quickchat";
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server that may be read from is looked for: an election takes less.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections of a process, unless the address says otherwise: more than an executor has tasks.
const MAX_CONNECTIONS: u32 = 64;

/// Where the server is and how to log in to it.
#[derive(Debug, Clone)]
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

/// The server, connected to when it is first used.
#[derive(Default)]
pub(crate) struct MongoServer {
    given: Option<MongoSettings>,
    open: OnceCell<Open>,
}

impl MongoServer {
    pub(crate) fn given(settings: MongoSettings) -> Self {
        Self { given: Some(settings), open: OnceCell::new() }
    }

    /// The connected server. Nothing is sent to it yet.
    pub(super) async fn open(&self, collection: &str) -> Result<&Open, MongoError> {
        self.open
            .get_or_try_init(|| async {
                let settings = match &self.given {
                    Some(settings) => Some(settings.clone()),
                    None => MongoSettings::from_environment()?,
                };
                match settings {
                    Some(settings) => Open::new(settings).await,
                    None => Err(MongoError::NotConfigured { collection: collection.to_owned() }),
                }
            })
            .await
    }
}

/// A server that can be sent commands.
pub(super) struct Open {
    client: Client,
    /// The database that is read.
    pub(super) database: String,
    /// The hosts, for messages.
    hosts: String,
    /// Which of several servers may answer.
    criteria: Option<SelectionCriteria>,
    patience: Duration,
    /// Texts that must not show in messages.
    hidden: Vec<Secret>,
}

impl Open {
    async fn new(settings: MongoSettings) -> Result<Self, MongoError> {
        install_tls();
        let mut hidden = vec![settings.uri.clone()];
        let address = |error: &Error, hidden: &[Secret]| MongoError::Address { why: without(hidden, error) };
        let mut options = resolve(&settings, &hidden).await?;
        hidden.extend(options.credential.as_ref().and_then(|it| it.password.clone()).map(Secret::from));
        options.app_name = options.app_name.or_else(|| Some("quickchat-etl".to_owned()));
        options.connect_timeout = options.connect_timeout.or(Some(CONNECT_TIMEOUT));
        options.server_selection_timeout = options.server_selection_timeout.or(Some(SELECTION_TIMEOUT));
        options.max_pool_size = options.max_pool_size.or(Some(MAX_CONNECTIONS));
        let database =
            settings.database.or_else(|| options.default_database.clone()).unwrap_or(DEFAULT_DATABASE.to_owned());
        let criteria = options.selection_criteria.clone();
        let hosts = options.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let client = Client::with_options(options).map_err(|error| address(&error, &hidden))?;
        Ok(Self { client, database, hosts, criteria, patience: settings.patience, hidden })
    }

    /// Where this is, without user and password.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.hosts, self.database)
    }

    /// The error of a command for people.
    pub(super) fn explain(&self, error: &Error, doing: &str, attempts: u32) -> MongoError {
        explain(error, doing, self.words(error), attempts)
    }

    /// What the driver says, without secrets.
    pub(super) fn words(&self, error: &Error) -> String {
        without(&self.hidden, error)
    }

    /// Waits for the server, but not for ever.
    pub(super) async fn wait<T>(&self, doing: &str, answer: impl Future<Output = T>) -> Result<T, MongoError> {
        let hangs = |_| MongoError::Hangs { doing: doing.to_owned(), seconds: self.patience.as_secs() };
        tokio::time::timeout(self.patience, answer).await.map_err(hangs)
    }

    /// Sends a command that opens a cursor, once.
    pub(super) async fn cursor(&self, command: RawDocumentBuf, batch: Option<u32>) -> Result<RawBatchCursor, Error> {
        let database = self.client.database(&self.database);
        let mut action = database.run_raw_cursor_command(command);
        if let Some(criteria) = &self.criteria {
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

    /// The same without repetitions.
    pub(super) async fn command_once(
        &self,
        doing: &str,
        command: Document,
    ) -> Result<Result<Document, Error>, MongoError> {
        self.wait(doing, self.send(command)).await
    }

    async fn send(&self, command: Document) -> Result<Document, Error> {
        let database = self.client.database(&self.database);
        let mut action = database.run_command(command);
        if let Some(criteria) = &self.criteria {
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
        self.repeat(doing, || async {
            let mut cursor = self.cursor(command.clone(), None).await?;
            match cursor.next().await {
                Some(batch) => documents(&batch?),
                None => Ok((Vec::new(), Document::new())),
            }
        })
        .await
    }

    async fn repeat<T, F: Future<Output = Result<T, Error>>>(
        &self,
        doing: &str,
        send: impl Fn() -> F,
    ) -> Result<Result<T, Error>, MongoError> {
        let mut attempt = 1;
        loop {
            match self.wait(doing, send()).await? {
                Err(error) if outlook(&error) == Outlook::Passing && attempt < ATTEMPTS => {
                    tracing::warn!(doing, attempt, error = self.words(&error), "MongoDB failed; trying again");
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                }
                Err(error) if outlook(&error) == Outlook::Passing => return Err(self.explain(&error, doing, attempt)),
                answer => return Ok(answer),
            }
        }
    }

    /// Logs a failure that will be tried again.
    pub(super) fn note(&self, doing: &str, attempt: u32, error: &Error) {
        tracing::warn!(doing, attempt, error = self.words(error), "MongoDB failed; going on behind the last document");
    }
}

/// The settings that an address stands for. An address with `+srv` is asked of the name service, which may be unwell.
async fn resolve(settings: &MongoSettings, hidden: &[Secret]) -> Result<ClientOptions, MongoError> {
    let unreachable = |why: String| MongoError::Unreachable { doing: "looking MONGODB_URI up".to_owned(), why };
    let mut attempt = 1;
    loop {
        let parsed = ClientOptions::parse(settings.uri.expose()).into_future();
        let error = match tokio::time::timeout(settings.patience, parsed).await {
            Ok(Ok(options)) => return Ok(options),
            Ok(Err(error)) => error,
            Err(_) => {
                let why = format!("the name service has not answered for {} s", settings.patience.as_secs());
                return Err(unreachable(why));
            }
        };
        let why = without(hidden, &error);
        match error.kind.as_ref() {
            ErrorKind::DnsResolve { .. } | ErrorKind::Io(_) if attempt < ATTEMPTS => {
                tracing::warn!(attempt, why, "MONGODB_URI cannot be looked up; trying again");
                tokio::time::sleep(pause(attempt)).await;
                attempt += 1;
            }
            ErrorKind::DnsResolve { .. } | ErrorKind::Io(_) => return Err(unreachable(why)),
            _ => return Err(MongoError::Address { why }),
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
fn without(hidden: &[Secret], error: &Error) -> String {
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
