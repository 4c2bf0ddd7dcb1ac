//! Batches of a range, in the order of `_id`, whatever happens to cursors and servers meanwhile.
//!
//! One batch is on its way while the one before is decoded. A failure that may pass, an elapsed wait among them, is
//! answered by a new query behind the last `_id` that was handed on, after a pause; only failures without any document in
//! between are counted.
//!
//! A range is complete when a query came to its end and the collection is still the one that was planned: a collection
//! that is gone looks like the end of one that is there.

use std::time::Duration;

use bson::{Bson, doc};
use datafusion::common::runtime::SpawnedTask;
use futures::StreamExt;
use mongodb::error::{Error, ErrorKind};
use mongodb::raw_batch_cursor::RawBatch;
use tokio::sync::mpsc;
use tokio::task::JoinError;

use super::fault::{MongoError, Outlook, outlook, outlook_of_cursor};
use super::plan::DocumentRange;
use super::presence::{Presence, presence, presence_by_name};
use super::query::{Changed, Concern, Find, projection};
use super::server::{Open, Silence};
use crate::Collection;
use crate::live::{Connections, Failures};

/// Batches that are there and not decoded yet.
const AHEAD: usize = 1;

/// The batches of a range.
pub(super) struct Batches {
    received: mpsc::Receiver<RawBatch>,
    /// What fetches, and says in the end whether that was all. It ends with this.
    fetching: Option<SpawnedTask<Result<(), MongoError>>>,
}

impl Batches {
    /// Begins to fetch.
    pub(super) fn start(connections: Connections, collection: Collection, range: DocumentRange) -> Self {
        let (sender, received) = mpsc::channel(AHEAD);
        let fetching = SpawnedTask::spawn(async move { fetch(&connections, collection, range, &sender).await });
        Self { received, fetching: Some(fetching) }
    }

    /// The next batch; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<RawBatch>, MongoError> {
        if let Some(batch) = self.received.recv().await {
            return Ok(Some(batch));
        }
        let Some(fetching) = self.fetching.take() else { return Ok(None) };
        // A task that broke down has not come to the end of its range.
        let broken = |error: JoinError| MongoError::Broken { why: error.to_string() };
        fetching.join().await.map_err(broken)?.map(|()| None)
    }
}

async fn fetch(
    connections: &Connections,
    collection: Collection,
    range: DocumentRange,
    batches: &mpsc::Sender<RawBatch>,
) -> Result<(), MongoError> {
    let mut query = Query {
        connections,
        open: connections.mongodb().open(collection.name()).await?.planned(&range.database, &range.name)?,
        doing: format!("reading {}.{}", range.database, range.name),
        collection,
        concern: range.concern,
        range,
        after: None,
        failures: Failures::default(),
        is_resumed: false,
    };
    loop {
        match query.run(batches).await? {
            Ended::Complete => return query.end().await,
            Ended::Unheard => return Ok(()),
            Ended::Failed(outlook, error) => query.recover(outlook, &error).await?,
            Ended::Silent => query.outwait().await?,
        }
        query.is_resumed = true;
    }
}

/// A read that may take several queries.
struct Query<'a> {
    connections: &'a Connections,
    open: Open,
    doing: String,
    collection: Collection,
    range: DocumentRange,
    concern: Concern,
    /// The last id that was handed on.
    after: Option<Bson>,
    /// In a row, without a document in between.
    failures: Failures,
    /// Whether this is not the first query.
    is_resumed: bool,
}

/// How one query ended.
enum Ended {
    Complete,
    /// Nobody wants more.
    Unheard,
    Failed(Outlook, Error),
    /// No answer came.
    Silent,
}

impl Query<'_> {
    /// One query, from behind the last document.
    async fn run(&mut self, batches: &mpsc::Sender<RawBatch>) -> Result<Ended, MongoError> {
        let command = self.find().command().map_err(|error| self.not_understood(&error))?;
        let mut cursor = match self.open.wait(self.open.cursor(command, Some(self.range.batch))).await {
            Ok(Ok(cursor)) => cursor,
            Ok(Err(error)) => return Ok(Ended::Failed(outlook(&error), error)),
            Err(Silence) => return Ok(Ended::Silent),
        };
        loop {
            let batch = match self.open.wait(cursor.next()).await {
                Ok(None) => return Ok(Ended::Complete),
                Ok(Some(Ok(batch))) => batch,
                Ok(Some(Err(error))) => return Ok(Ended::Failed(outlook_of_cursor(&error), error)),
                Err(Silence) => return Ok(Ended::Silent),
            };
            if let Some(last) = self.last_id(&batch)? {
                self.after = Some(last);
                self.failures = Failures::default();
                if batches.send(batch).await.is_err() {
                    return Ok(Ended::Unheard);
                }
            }
        }
    }

    fn find(&self) -> Find<'_> {
        let ids = self.range.ids.filter(self.after.as_ref());
        Find {
            collection: &self.range.name,
            filter: match &self.range.changed {
                Some(changed) => doc! { "$and": [ids, Changed::filter(changed)] },
                None => ids,
            },
            projection: match self.range.ids_only {
                true => doc! { "_id": 1 },
                false => projection(self.collection),
            },
            order: 1,
            limit: None,
            batch: Some(self.range.batch),
            concern: self.concern,
        }
    }

    /// The id of a batch's last document; none if the batch is empty.
    fn last_id(&self, batch: &RawBatch) -> Result<Option<Bson>, MongoError> {
        let Some(last) = super::reader::documents(batch, &self.doing)?.last() else { return Ok(None) };
        // A document whose id cannot be read is put aside when it is decoded; the read cannot be resumed behind it.
        let id = bson::raw::RawDocument::from_bytes(last).ok().and_then(|it| it.get("_id").ok().flatten());
        Ok(Some(id.and_then(|id| Bson::try_from(id).ok()).unwrap_or(Bson::Null)))
    }

    /// Prepares for the next query after a failure, or gives up.
    async fn recover(&mut self, outlook: Outlook, error: &Error) -> Result<(), MongoError> {
        let pause = match outlook {
            // Only ever to less, so that no server is asked in a circle.
            Outlook::SnapshotGone if matches!(self.concern, Concern::Snapshot(..)) => {
                tracing::warn!(doing = self.doing, "the snapshot is too old; what is left is read as of now");
                self.concern = Concern::Majority;
                Some(Duration::ZERO)
            }
            Outlook::NoMajority if self.concern != Concern::Local => {
                self.concern = Concern::Local;
                Some(Duration::ZERO)
            }
            Outlook::LoginRefused => self.log_in_anew().await?.then_some(Duration::ZERO),
            Outlook::Passing | Outlook::SnapshotGone => self.failures.told(),
            Outlook::NoMajority | Outlook::Final => None,
        };
        let Some(pause) = pause.filter(|_| self.may_resume()) else {
            return Err(self.explain(outlook, error).await);
        };
        self.go_on(pause, &self.open.words(error)).await;
        Ok(())
    }

    /// The error of the read. Another server than the one that was planned refuses in words of its own, such as that
    /// the instant of the snapshot is still to come.
    async fn explain(&self, outlook: Outlook, error: &Error) -> MongoError {
        if outlook == Outlook::Final
            && matches!(error.kind.as_ref(), ErrorKind::Command(_))
            && let Err(replaced @ MongoError::Replaced { .. }) = self.check_presence().await
        {
            return replaced;
        }
        self.open.explain(error, &self.doing, self.failures.count().max(1))
    }

    /// Whether there are other credentials than those that were refused.
    async fn log_in_anew(&mut self) -> Result<bool, MongoError> {
        let Some(open) = self.connections.mongodb().reopen(&self.open).await? else { return Ok(false) };
        self.open = open.planned(&self.range.database, &self.range.name)?;
        Ok(true)
    }

    /// The same after a wait that elapsed.
    async fn outwait(&mut self) -> Result<(), MongoError> {
        let Some(pause) = self.failures.silent().filter(|_| self.may_resume()) else {
            return Err(self.open.hangs(&self.doing, self.failures.silences()));
        };
        self.go_on(pause, "no answer").await;
        Ok(())
    }

    async fn go_on(&self, pause: Duration, error: &str) {
        let (doing, attempt) = (&self.doing, self.failures.count());
        tracing::warn!(doing, attempt, error, "MongoDB failed; going on behind the last document");
        tokio::time::sleep(pause).await;
    }

    /// Whether a new query can go on where the last one ended. Where it cannot, the task is run again as a whole.
    fn may_resume(&self) -> bool {
        match self.after {
            None => true,
            Some(Bson::ObjectId(_) | Bson::String(_)) => self.range.ids.is_resumable(),
            Some(_) => false,
        }
    }

    /// Ends a range of which everything has come.
    async fn end(&mut self) -> Result<(), MongoError> {
        match self.check_presence().await {
            Err(refused @ MongoError::Login { .. }) => match self.log_in_anew().await? {
                true => self.check_presence().await,
                false => Err(refused),
            },
            checked => checked,
        }
    }

    /// An error if the collection is not the one that was planned.
    async fn check_presence(&self) -> Result<(), MongoError> {
        let (name, planned) = (&self.range.name, &self.range.uuid);
        let found = match planned {
            Some(_) => presence(&self.open, &self.doing, name).await?,
            // Whatever it is, it was there when the only query found documents in it.
            None if self.after.is_some() && !self.is_resumed => return Ok(()),
            None => presence_by_name(&self.open, &self.doing, name).await?,
        };
        let is_it = match (&found, planned) {
            (Presence::Absent, _) => false,
            (Presence::Present(Some(found)), Some(planned)) => found == planned,
            (Presence::Present(_) | Presence::Untold, _) => true,
        };
        if is_it {
            return Ok(());
        }
        let collection = format!("{}.{name}", self.open.database);
        Err(MongoError::Replaced { collection, place: self.open.place() })
    }

    fn not_understood(&self, error: &bson::error::Error) -> MongoError {
        MongoError::Command { doing: self.doing.clone(), why: error.to_string() }
    }
}
