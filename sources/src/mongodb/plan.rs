//! Cutting a collection into ranges, where the query is planned.

use bson::{Bson, Document, RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};

use super::fault::{MongoError, Outlook, number, outlook};
use super::ids::{IdRange, IdType, bound_text, interpolate, quantiles};
use super::presence::{Presence, collections, presence};
use super::query::{Changed, Concern, Find};
use super::server::Open;
use crate::live::{Connections, LiveRequest};
use crate::{Collection, SourceError, SplitPolicy};

/// Ids of a sample that stand for one range: so many that ranges differ in size by about a fifth.
const SAMPLE_PER_RANGE: u32 = 30;
/// A sample is at most one of so many documents, with some distance to the twentieth that a server thinks cheap.
const SAMPLED_OF: u64 = 25;
/// How long a sample may take: a few thousand reads of a cold disk.
const SAMPLE_MILLIS: i64 = 20_000;
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
    /// The database that was planned.
    pub(super) database: String,
    /// The collection as it is called there.
    pub(super) name: String,
    /// What tells the collection from another of its name, if the server told.
    pub(super) uuid: Option<String>,
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

/// The ranges of a collection; none if it is absent and may be, or empty at the instant of the read.
pub(crate) async fn plan(
    connections: &Connections,
    collection: Collection,
    request: &LiveRequest,
    policy: &SplitPolicy,
) -> Result<Vec<DocumentRange>, SourceError> {
    let server = connections.mongodb();
    let open = server.open(collection.name()).await?;
    let planned = match plan_from(&open, collection, request, policy).await {
        Err(refused @ MongoError::Login { .. }) => match server.reopen(&open).await? {
            Some(open) => plan_from(&open, collection, request, policy).await,
            None => Err(refused),
        },
        planned => planned,
    };
    Ok(planned?)
}

async fn plan_from(
    open: &Open,
    collection: Collection,
    request: &LiveRequest,
    policy: &SplitPolicy,
) -> Result<Vec<DocumentRange>, MongoError> {
    let name = request.names.name.clone().unwrap_or_else(|| collection.name().to_owned());
    let planner = Planner { open, doing: format!("planning to read {}.{name}", open.database), name: &name };
    let uuid = match presence(open, &planner.doing, &name).await? {
        Presence::Absent => return planner.absent(collection, request.names.optional).await.map(|()| Vec::new()),
        Presence::Present(uuid) => uuid,
        Presence::Untold => None,
    };
    let changed =
        request.changed_since.map(|since| Changed::of(collection, since, request.names.changed_field.as_ref()));
    let (ends, mut concern) = planner.ends().await?;
    let size = planner.size().await?;
    let parts = match &changed {
        Some(changed) if planner.are_few(changed).await => 1,
        _ => policy.parts(size.bytes),
    };
    let sample = planner.sample(size.sample(parts)).await;
    let ids = planner.cut(ends, parts, sample.as_deref(), &mut concern).await?;
    tracing::debug!(collection = name, ranges = ids.len(), bytes = size.bytes, ?concern, "planned");
    let range = |(rank, ids)| DocumentRange {
        rank,
        database: open.database.clone(),
        name: name.clone(),
        uuid: uuid.clone(),
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
#[derive(Debug, Default, PartialEq, Eq)]
struct Size {
    bytes: u64,
    documents: u64,
    /// Where they lie; none if the server did not tell, as of a view.
    shards: u64,
}

impl Size {
    /// The sum of what the shards of a collection say; a collection that is not sharded is one.
    fn of(shards: &[Document]) -> Self {
        shards.iter().fold(Self::default(), |size, shard| {
            let stats = shard.get_document("storageStats").unwrap_or(shard);
            Self {
                bytes: size.bytes + number(stats, "size").unwrap_or_default(),
                documents: size.documents + number(stats, "count").or(number(shard, "count")).unwrap_or_default(),
                shards: size.shards + 1,
            }
        })
    }

    /// How many ids a sample for so many ranges has. Each shard picks that many at random positions, which is cheap, as
    /// long as they are fewer than a twentieth of its documents; for more it reads and sorts them all. A shard that
    /// does have to, since it holds less than its share, is a small one.
    fn sample(&self, parts: u32) -> u32 {
        if parts < 2 {
            return 0;
        }
        let cheap = self.documents.checked_div(self.shards).unwrap_or_default() / SAMPLED_OF;
        parts.saturating_mul(SAMPLE_PER_RANGE).min(u32::try_from(cheap).unwrap_or(u32::MAX))
    }

    fn batch(&self, policy: &SplitPolicy) -> u32 {
        let document = self.bytes.checked_div(self.documents).unwrap_or(USUAL_DOCUMENT_BYTES).max(1);
        let documents =
            (policy.target_bytes / BATCHES_OF_RANGE / document).clamp(*BATCH_DOCUMENTS.start(), *BATCH_DOCUMENTS.end());
        u32::try_from(documents).unwrap_or(u32::MAX)
    }
}

impl Planner<'_> {
    /// What it means that the collection is not there: an error unless it may be.
    async fn absent(&self, collection: Collection, optional: bool) -> Result<(), MongoError> {
        let database = self.open.database.clone();
        let has_others = collections(self.open, &self.doing).await?.is_none_or(|known| !known.is_empty());
        match (has_others, optional) {
            (false, _) => Err(MongoError::NoDatabase { database }),
            (true, false) => {
                Err(MongoError::NoCollection { database, collection: self.name.to_owned(), usual: collection.name() })
            }
            (true, true) => {
                tracing::warn!(collection = self.name, "MongoDB has no such collection; it is taken for empty");
                Ok(())
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
        let command = self.aggregation(&stages, doc! {})?;
        // A view has no size, and each kind of server says that in its own way.
        if let Ok((shards, _)) = self.open.first_batch(&self.doing, &command).await? {
            return Ok(Size::of(&shards));
        }
        // Of a view that takes too long to count, nothing is known; what is refused here the read will be too.
        let count = doc! { "count": self.name, "maxTimeMS": COUNT_MILLIS };
        let counted = self.open.advice(&self.doing, count).await;
        let documents = counted.and_then(|reply| number(&reply, "n")).unwrap_or_default();
        Ok(Size { bytes: documents * USUAL_DOCUMENT_BYTES, documents, shards: 0 })
    }

    /// Whether one range is enough for the changes.
    async fn are_few(&self, changed: &Changed) -> bool {
        let command = doc! {
            "count": self.name,
            "query": changed.filter(),
            "limit": FEW_CHANGES + 1,
            "maxTimeMS": COUNT_MILLIS,
        };
        // Whatever comes in between, ranges of ids are right too, only more work. So it is asked once: what takes too
        // long will not be faster the next time.
        let counted = self.open.advice(&self.doing, command).await;
        let number = counted.and_then(|reply| number(&reply, "n"));
        number.is_some_and(|number| i64::try_from(number).is_ok_and(|number| number <= FEW_CHANGES))
    }

    fn aggregation(&self, stages: &[Document], options: Document) -> Result<RawDocumentBuf, MongoError> {
        let mut command = doc! { "aggregate": self.name, "pipeline": stages, "cursor": { "batchSize": 100_000 } };
        command.extend(options);
        RawDocumentBuf::try_from(&command).map_err(|error| self.unwritable(&error))
    }

    /// All ids as ranges: so many in all, and one more for each type that is rare.
    async fn cut(
        &self,
        ends: Option<(Bson, Bson)>,
        parts: u32,
        sample: Option<&[Bson]>,
        concern: &mut Concern,
    ) -> Result<Vec<IdRange>, MongoError> {
        // Types do not mix in the server's order: equal types at both ends are the type of all.
        let is_one_type = ends
            .as_ref()
            .is_none_or(|(least, greatest)| IdType::of(least).is_some_and(|kind| Some(kind) == IdType::of(greatest)));
        let extents: Vec<(IdType, (Bson, Bson))> = match ends {
            Some(ends) if is_one_type => IdType::of(&ends.0).map(|kind| (kind, ends)).into_iter().collect(),
            Some(_) => self.extents(concern).await?,
            None => Vec::new(),
        };
        // What is not there at the instant of a snapshot will not be there when it is read, whoever inserts it.
        let is_fixed = matches!(concern, Concern::Snapshot(..));
        let mut ranges = Vec::new();
        for kind in IdType::ALL {
            match extents.iter().find(|(known, _)| *known == kind) {
                Some((_, ends)) => ranges.extend(kind.cut(&bounds(kind, sample, ends, parts))),
                None if is_fixed => {}
                None => ranges.extend(kind.cut(&[])),
            }
        }
        if !(is_fixed && is_one_type) {
            ranges.push(IdRange::Others);
        }
        Ok(ranges)
    }

    /// The least and the greatest id of each type that there is.
    async fn extents(&self, concern: &mut Concern) -> Result<Vec<(IdType, (Bson, Bson))>, MongoError> {
        let mut extents = Vec::new();
        for kind in IdType::ALL {
            let Some(least) = self.end_id(kind.filter(), 1, concern).await? else { continue };
            let greatest = self.end_id(kind.filter(), -1, concern).await?;
            extents.push((kind, (least.clone(), greatest.unwrap_or(least))));
        }
        Ok(extents)
    }

    /// So many random ids; none if the server gives no sample, whatever the reason: the ranges only become less even.
    async fn sample(&self, size: u32) -> Option<Vec<Bson>> {
        if size == 0 {
            return None;
        }
        let stages = [doc! { "$sample": { "size": i64::from(size) } }, doc! { "$project": { "_id": 1 } }];
        let options = doc! { "maxTimeMS": SAMPLE_MILLIS, "allowDiskUse": true };
        let found = self.open.advised_batch(&self.doing, &self.aggregation(&stages, options).ok()?).await?;
        let ids: Vec<Bson> = found.into_iter().filter_map(|mut document| document.remove("_id")).collect();
        Some(ids).filter(|ids| !ids.is_empty())
    }
}

fn id_of(found: Vec<Document>) -> Option<Bson> {
    found.into_iter().next()?.remove("_id")
}

/// Where to cut the ids of a type.
fn bounds(kind: IdType, sample: Option<&[Bson]>, (least, greatest): &(Bson, Bson), parts: u32) -> Vec<String> {
    let Some(sample) = sample else { return interpolate(least, greatest, parts) };
    let mut own: Vec<String> = sample.iter().filter(|id| IdType::of(id) == Some(kind)).filter_map(bound_text).collect();
    own.sort_unstable();
    // A type gets ranges by its share of the sample.
    let share = (u64::from(parts) * own.len() as u64).div_ceil(sample.len().max(1) as u64);
    quantiles(&own, u32::try_from(share).unwrap_or(parts).min(parts))
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;

    use super::*;

    #[test]
    fn a_collection_is_the_sum_of_its_shards() {
        let shard = |size: i64, count: i32| {
            doc! { "shard": "s", "count": count, "storageStats": { "size": size, "count": i64::from(count) } }
        };
        let size = Size::of(&[shard(6_000_000, 60_000), shard(4_000_000, 40_000)]);
        assert_eq!(size, Size { bytes: 10_000_000, documents: 100_000, shards: 2 });
        // As servers before 5.2 tell it, and others in their own numbers.
        let size = Size::of(&[doc! { "size": 700.0, "count": 7 }]);
        assert_eq!(size, Size { bytes: 700, documents: 7, shards: 1 });
    }

    #[test]
    fn a_sample_is_so_small_that_no_server_sorts_for_it() {
        let size = |documents, shards| Size { bytes: 0, documents, shards };
        assert_eq!(size(1_000_000, 1).sample(10), 300);
        assert_eq!(size(5_000, 1).sample(10), 200);
        assert_eq!(size(5_000, 2).sample(10), 100);
        assert_eq!(size(20, 1).sample(10), 0);
        assert_eq!(size(1_000_000, 1).sample(1), 0);
        // A view.
        assert_eq!(size(1_000_000, 0).sample(10), 0);
    }

    #[test]
    fn types_share_the_ranges_by_their_share_of_the_sample() {
        let texts = ["a", "b", "c"].map(Bson::from);
        let sample: Vec<Bson> = texts.into_iter().chain([ObjectId::from_bytes([1; 12]).into()]).collect();
        let ends = ("a".into(), "c".into());
        assert_eq!(bounds(IdType::Text, Some(&sample), &ends, 4), ["b", "c"]);
        let ends = (sample[3].clone(), sample[3].clone());
        assert_eq!(bounds(IdType::ObjectId, Some(&sample), &ends, 4), Vec::<String>::new());
        assert_eq!(bounds(IdType::ObjectId, Some(&[]), &ends, 4), Vec::<String>::new());
    }
}
