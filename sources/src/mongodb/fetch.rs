//! Batches of a range, in the order of `_id`, whatever happens to cursors and servers meanwhile.
//!
//! One batch is on its way while the one before is decoded. A failure that may pass is answered by a new query behind
//! the last `_id` that was handed on, after a pause; only failures without any document in between are counted.

use bson::{Bson, doc};
use datafusion::common::runtime::SpawnedTask;
use futures::StreamExt;
use mongodb::error::Error;
use mongodb::raw_batch_cursor::RawBatch;
use tokio::sync::mpsc;
use tokio::task::JoinError;

use super::fault::{MongoError, Outlook, outlook};
use super::plan::DocumentRange;
use super::query::{Changed, Concern, Find, projection};
use super::server::Open;
use crate::Collection;
use crate::live::{ATTEMPTS, Connections, pause};

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
    let open = connections.mongodb().open(collection.name()).await?;
    let doing = format!("reading {}.{}", open.database, range.name);
    let mut query = Query { open, doing, collection, concern: range.concern, range, after: None, failures: 0 };
    loop {
        match query.run(batches).await? {
            Ended::Complete | Ended::Unheard => return Ok(()),
            Ended::Failed(error) => query.recover(&error).await?,
        }
    }
}

/// A read that may take several queries.
struct Query<'a> {
    open: &'a Open,
    doing: String,
    collection: Collection,
    range: DocumentRange,
    concern: Concern,
    /// The last id that was handed on.
    after: Option<Bson>,
    /// In a row, without a document in between.
    failures: u32,
}

/// How one query ended.
enum Ended {
    Complete,
    /// Nobody wants more.
    Unheard,
    Failed(Error),
}

impl Query<'_> {
    /// One query, from behind the last document.
    async fn run(&mut self, batches: &mpsc::Sender<RawBatch>) -> Result<Ended, MongoError> {
        let command = self.find().command().map_err(|error| self.not_understood(&error))?;
        let mut cursor = match self.open.wait(&self.doing, self.open.cursor(command, Some(self.range.batch))).await? {
            Ok(cursor) => cursor,
            Err(error) => return Ok(Ended::Failed(error)),
        };
        loop {
            let batch = match self.open.wait(&self.doing, cursor.next()).await? {
                None => return Ok(Ended::Complete),
                Some(Err(error)) => return Ok(Ended::Failed(error)),
                Some(Ok(batch)) => batch,
            };
            if let Some(last) = self.last_id(&batch)? {
                self.after = Some(last);
                self.failures = 0;
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
                false => projection(self.collection, self.range.changed.as_ref()),
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
    async fn recover(&mut self, error: &Error) -> Result<(), MongoError> {
        match outlook(error) {
            // Only ever to less, so that no server is asked in a circle.
            Outlook::SnapshotGone if matches!(self.concern, Concern::Snapshot(..)) => {
                tracing::warn!(doing = self.doing, "the snapshot is too old; what is left is read as of now");
                self.concern = Concern::Majority;
                return self.may_resume(error);
            }
            Outlook::NoMajority if self.concern != Concern::Local => {
                self.concern = Concern::Local;
                return self.may_resume(error);
            }
            Outlook::Passing => {}
            _ => return Err(self.open.explain(error, &self.doing, self.failures + 1)),
        }
        self.failures += 1;
        if self.failures >= ATTEMPTS {
            return Err(self.open.explain(error, &self.doing, self.failures));
        }
        self.may_resume(error)?;
        self.open.note(&self.doing, self.failures, error);
        tokio::time::sleep(pause(self.failures)).await;
        Ok(())
    }

    /// Whether a new query can go on where the last one ended. Where it cannot, the task is run again as a whole.
    fn may_resume(&self, error: &Error) -> Result<(), MongoError> {
        let is_behind_something = matches!(self.after, None | Some(Bson::ObjectId(_) | Bson::String(_)));
        if self.after.is_none() || (self.range.ids.is_resumable() && is_behind_something) {
            return Ok(());
        }
        Err(self.open.explain(error, &self.doing, self.failures + 1))
    }

    fn not_understood(&self, error: &bson::error::Error) -> MongoError {
        MongoError::Command { doing: self.doing.clone(), why: error.to_string() }
    }
}
