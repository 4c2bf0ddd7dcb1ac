//! Cutting a collection into ranges, where the query is planned.

use bson::{Bson, Document, doc};
use mongodb::error::Error;
use serde::{Deserialize, Serialize};

use super::fault::{MongoError, Outlook, is_not_allowed, is_unsupported, number, outlook};
use super::ids::{IdRange, IdType, bound_text, interpolate, quantiles};
use super::query::{Changed, Concern, Find};
use super::server::Open;
use crate::live::{Connections, LiveRequest};
use crate::{Collection, SourceError, SplitPolicy};

/// Ids of a sample that stand for one range: so many that ranges differ in size by about a fifth.
const SAMPLE_PER_RANGE: u32 = 30;
/// A read of fewer changes is one range: each more would go through the same changes again.
const FEW_CHANGES: i64 = 50_000;
/// How long counting the changes may take; without an index it takes longer, and is given up.
const COUNT_MILLIS: i64 = 2_000;
/// A range is read in about so many batches: of 4 MiB, where ranges have their usual 32 MiB. Smaller ones cost
/// more round trips, larger ones more memory while a batch is decoded and the next is on its way.
const BATCHES_OF_RANGE: u64 = 8;
/// The size of documents when the server does not tell.
const USUAL_DOCUMENT_BYTES: u64 = 512;
/// The server's own limits of a batch.
const BATCH_DOCUMENTS: std::ops::RangeInclusive<u64> = 100..=50_000;

/// A part of a collection: what one descriptor row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DocumentRange {
    /// Rank of the range among the collection's ranges.
    pub(super) rank: u32,
    /// The collection as it is called there.
    pub(super) name: String,
    /// The documents, by their ids.
    pub(super) ids: IdRange,
    /// Of these only what changed, if that was asked.
    pub(super) changed: Option<Changed>,
    /// Whether nothing but the ids is wanted.
    pub(super) ids_only: bool,
    /// What the read may see.
    pub(super) concern: Concern,
    /// Documents of a batch.
    pub(super) batch: u32,
}

/// The ranges of a collection; none if it is absent and may be.
pub(crate) async fn plan(
    connections: &Connections,
    collection: Collection,
    request: &LiveRequest,
    policy: &SplitPolicy,
) -> Result<Vec<DocumentRange>, SourceError> {
    let open = connections.mongodb().open(collection.name()).await?;
    let name = request.names.name.clone().unwrap_or_else(|| collection.name().to_owned());
    let planner = Planner { open, doing: format!("planning to read {}.{name}", open.database), name: &name };
    if !planner.exists(collection, request.names.optional).await? {
        tracing::warn!(collection = name, "MongoDB has no such collection; it is taken for empty");
        return Ok(Vec::new());
    }
    let changed =
        request.changed_since.map(|since| Changed::of(collection, since, request.names.changed_field.as_ref()));
    let (ends, concern) = planner.ends().await?;
    let size = planner.size().await?;
    let parts = match &changed {
        Some(changed) if planner.are_few(changed).await? => 1,
        _ => policy.parts(size.bytes),
    };
    let ids = planner.cut(ends, parts, concern).await?;
    tracing::debug!(collection = name, ranges = ids.len(), bytes = size.bytes, ?concern, "planned");
    let range = |(rank, ids)| DocumentRange {
        rank,
        name: name.clone(),
        ids,
        changed: changed.clone(),
        ids_only: request.ids_only,
        concern,
        batch: size.batch(policy),
    };
    Ok((0..).zip(ids).map(range).collect())
}

struct Planner<'a> {
    open: &'a Open,
    name: &'a str,
    doing: String,
}

/// How large a collection is, roughly.
#[derive(Default)]
struct Size {
    bytes: u64,
    documents: u64,
}

impl Size {
    fn batch(&self, policy: &SplitPolicy) -> u32 {
        let document = self.bytes.checked_div(self.documents).unwrap_or(USUAL_DOCUMENT_BYTES).max(1);
        let documents =
            (policy.target_bytes / BATCHES_OF_RANGE / document).clamp(*BATCH_DOCUMENTS.start(), *BATCH_DOCUMENTS.end());
        u32::try_from(documents).unwrap_or(u32::MAX)
    }
}

impl Planner<'_> {
    /// Whether the collection is there; an error if it is not and must be.
    async fn exists(&self, collection: Collection, optional: bool) -> Result<bool, MongoError> {
        let all = doc! { "listCollections": 1, "nameOnly": true, "authorizedCollections": true };
        let known = match self.open.command(&self.doing, all).await? {
            // Whoever may read the collection need not be allowed to see what else there is.
            Err(error) if is_not_allowed(&error) || is_unsupported(&error) => return Ok(true),
            Err(error) => return Err(self.open.explain(&error, &self.doing, 1)),
            Ok(reply) => names(&reply),
        };
        if known.iter().any(|name| name == self.name) {
            return Ok(true);
        }
        let database = self.open.database.clone();
        match (known.is_empty(), optional) {
            (true, _) => Err(MongoError::NoDatabase { database }),
            (false, true) => Ok(false),
            (false, false) => {
                Err(MongoError::NoCollection { database, collection: self.name.to_owned(), usual: collection.name() })
            }
        }
    }

    /// The least and the greatest id, and the concern of the whole read: as of the instant at which these were the
    /// ends, where the server can keep to it.
    async fn ends(&self) -> Result<(Option<(Bson, Bson)>, Concern), MongoError> {
        let mut concern = Concern::Majority;
        let command = self.end(doc! {}, 1, concern).taking_snapshot().map_err(|error| self.unwritable(&error))?;
        let least = match self.open.first_batch(&self.doing, &command).await? {
            Ok((found, beside)) => {
                if let Ok(time) = beside.get_timestamp("atClusterTime") {
                    concern = Concern::Snapshot(time.time, time.increment);
                }
                id_of(found)
            }
            Err(error) => {
                let why = self.open.words(&error);
                tracing::debug!(why, "MongoDB takes no snapshot; each range is read as of its own time");
                self.end_id(doc! {}, 1, &mut concern).await?
            }
        };
        let Some(least) = least else { return Ok((None, concern)) };
        let greatest = self.end_id(doc! {}, -1, &mut concern).await?;
        Ok((greatest.map(|greatest| (least, greatest)), concern))
    }

    /// The first id in an order; gives the concern up that the server does not know.
    async fn end_id(&self, filter: Document, order: i32, concern: &mut Concern) -> Result<Option<Bson>, MongoError> {
        loop {
            let command =
                self.end(filter.clone(), order, *concern).command().map_err(|error| self.unwritable(&error))?;
            match self.open.first_batch(&self.doing, &command).await? {
                Ok((found, _)) => return Ok(id_of(found)),
                Err(error) => match outlook(&error) {
                    Outlook::SnapshotGone if matches!(concern, Concern::Snapshot(..)) => *concern = Concern::Majority,
                    Outlook::NoMajority if *concern != Concern::Local => *concern = Concern::Local,
                    _ => return Err(self.open.explain(&error, &self.doing, 1)),
                },
            }
        }
    }

    fn end(&self, filter: Document, order: i32, concern: Concern) -> Find<'_> {
        Find {
            collection: self.name,
            filter,
            projection: doc! { "_id": 1 },
            order,
            limit: Some(1),
            batch: None,
            concern,
        }
    }

    fn unwritable(&self, error: &bson::error::Error) -> MongoError {
        MongoError::Command { doing: self.doing.clone(), why: error.to_string() }
    }

    /// Bytes and number of all documents, as the server knows them without counting.
    async fn size(&self) -> Result<Size, MongoError> {
        let stages = [doc! { "$collStats": { "storageStats": {}, "count": {} } }];
        // A view has no size, and each kind of server says that in its own way.
        match self.aggregated(&stages).await?.ok() {
            // A sharded collection answers once a shard.
            Some(shards) => Ok(shards.iter().fold(Size::default(), |size, shard| {
                let stats = shard.get_document("storageStats").unwrap_or(shard);
                Size {
                    bytes: size.bytes + number(stats, "size").unwrap_or_default(),
                    documents: size.documents + number(stats, "count").or(number(shard, "count")).unwrap_or_default(),
                }
            })),
            None => {
                // Of a view that takes too long to count, nothing is known; what is refused here the read will be too.
                let count = doc! { "count": self.name, "maxTimeMS": COUNT_MILLIS };
                let counted = self.open.command_once(&self.doing, count).await?.ok();
                let documents = counted.and_then(|reply| number(&reply, "n")).unwrap_or_default();
                Ok(Size { bytes: documents * USUAL_DOCUMENT_BYTES, documents })
            }
        }
    }

    /// Whether one range is enough for the changes.
    async fn are_few(&self, changed: &Changed) -> Result<bool, MongoError> {
        let command = doc! {
            "count": self.name,
            "query": changed.filter(),
            "limit": FEW_CHANGES + 1,
            "maxTimeMS": COUNT_MILLIS,
        };
        // Whatever comes in between, ranges of ids are right too, only more work. So it is asked once: what takes too
        // long will not be faster the next time.
        let counted = self.open.command_once(&self.doing, command).await;
        let number = counted.ok().and_then(Result::ok).and_then(|reply| number(&reply, "n"));
        Ok(number.is_some_and(|number| i64::try_from(number).is_ok_and(|number| number <= FEW_CHANGES)))
    }

    /// The documents of an aggregation; none if the server does not know its stages, or does not allow them.
    async fn aggregate(&self, stages: &[Document]) -> Result<Option<Vec<Document>>, MongoError> {
        match self.aggregated(stages).await? {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_unsupported(&error) || is_not_allowed(&error) => Ok(None),
            Err(error) => Err(self.open.explain(&error, &self.doing, 1)),
        }
    }

    /// The same, with the server's refusal as the inner error.
    async fn aggregated(&self, stages: &[Document]) -> Result<Result<Vec<Document>, Error>, MongoError> {
        let command = doc! { "aggregate": self.name, "pipeline": stages, "cursor": { "batchSize": 100_000 } };
        let command = bson::RawDocumentBuf::try_from(&command).map_err(|error| self.unwritable(&error))?;
        Ok(self.open.first_batch(&self.doing, &command).await?.map(|(found, _)| found))
    }

    /// All ids as ranges: so many in all, and one more for each type that is rare.
    async fn cut(
        &self,
        ends: Option<(Bson, Bson)>,
        parts: u32,
        mut concern: Concern,
    ) -> Result<Vec<IdRange>, MongoError> {
        let Some((least, greatest)) = ends else { return Ok(IdType::ObjectId.cut(&[])) };
        let sample = if parts > 1 { self.sample(parts).await? } else { None };
        // Types do not mix in the server's order: equal types at both ends are the type of all.
        let only = IdType::of(&least).filter(|kind| Some(*kind) == IdType::of(&greatest));
        if let Some(kind) = only {
            return Ok(kind.cut(&bounds(kind, sample.as_deref(), &least, &greatest, parts)));
        }
        let mut ranges = Vec::new();
        for kind in IdType::ALL {
            let Some(least) = self.end_id(kind.filter(), 1, &mut concern).await? else { continue };
            let greatest = self.end_id(kind.filter(), -1, &mut concern).await?;
            let greatest = greatest.unwrap_or_else(|| least.clone());
            ranges.extend(kind.cut(&bounds(kind, sample.as_deref(), &least, &greatest, parts)));
        }
        ranges.push(IdRange::Others);
        Ok(ranges)
    }

    /// Random ids; none if the server gives no sample.
    async fn sample(&self, parts: u32) -> Result<Option<Vec<Bson>>, MongoError> {
        let size = i64::from(parts.saturating_mul(SAMPLE_PER_RANGE));
        let stages = [doc! { "$sample": { "size": size } }, doc! { "$project": { "_id": 1 } }];
        let found = self.aggregate(&stages).await?;
        Ok(found.map(|documents| documents.into_iter().filter_map(|mut document| document.remove("_id")).collect()))
    }
}

pub(super) fn names(reply: &Document) -> Vec<String> {
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let entries = batch.map(Vec::as_slice).unwrap_or_default();
    let name = |entry: &Bson| entry.as_document()?.get_str("name").ok().map(str::to_owned);
    entries.iter().filter_map(name).filter(|name| !name.starts_with("system.")).collect()
}

fn id_of(found: Vec<Document>) -> Option<Bson> {
    found.into_iter().next()?.remove("_id")
}

/// Where to cut the ids of a type.
fn bounds(kind: IdType, sample: Option<&[Bson]>, least: &Bson, greatest: &Bson, parts: u32) -> Vec<String> {
    let Some(sample) = sample else { return interpolate(least, greatest, parts) };
    let mut own: Vec<String> = sample.iter().filter(|id| IdType::of(id) == Some(kind)).filter_map(bound_text).collect();
    own.sort_unstable();
    // A type gets ranges by its share of the sample.
    let share = u32::try_from(own.len()).unwrap_or(u32::MAX).div_ceil(SAMPLE_PER_RANGE).min(parts);
    quantiles(&own, share)
}
