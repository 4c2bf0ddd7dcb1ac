//! The commands that are sent.

use std::collections::BTreeSet;

use bson::{Bson, DateTime, Document, RawDocumentBuf, Timestamp, doc};
use serde::{Deserialize, Serialize};

use crate::Collection;

/// What a read may see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Concern {
    /// What a majority has acknowledged, as of one instant: seconds and a counter.
    Snapshot(u32, u32),
    /// What a majority has acknowledged, as of the time when it is read.
    #[default]
    Majority,
    /// What the server has: it knows of no majority.
    Local,
}

impl Concern {
    pub(super) fn document(self) -> Document {
        match self {
            Self::Snapshot(time, increment) => {
                doc! { "level": "snapshot", "atClusterTime": Timestamp { time, increment } }
            }
            Self::Majority => doc! { "level": "majority" },
            Self::Local => doc! { "level": "local" },
        }
    }
}

/// How changes are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changed {
    /// Milliseconds since 1970; what changed at this instant or later is read.
    pub(super) since_millis: i64,
    /// The field of the instant of the last change.
    pub(super) field: String,
    /// Where a document lacks it, the latest of these counts.
    pub(super) instead: Vec<String>,
}

impl Changed {
    /// The change that the contract of a collection knows: `updatedAt`, and for a document without it the latest of
    /// the times that stand in for it.
    pub(super) fn of(collection: Collection, since_micros: i64, field: Option<&String>) -> Self {
        // Down to a millisecond, which is as fine as the server's dates are.
        let since_millis = since_micros.div_euclid(1_000);
        let instead = match (collection, field) {
            (_, Some(_)) => vec![],
            (Collection::Notifications, None) => vec!["createdAt".to_owned(), "readAt".to_owned()],
            (_, None) => vec!["createdAt".to_owned()],
        };
        Self { since_millis, field: field.map_or("updatedAt", String::as_str).to_owned(), instead }
    }

    /// All documents but those that are known not to have changed: whose time is a date, and an earlier one. A time of
    /// another type, which a query cannot compare with a date, is read, and so is one before 1970, which is no time by
    /// the contract: such documents are put aside.
    ///
    /// The field itself stands outside of `$nor`, into which servers do not look for what an index could answer, and is
    /// compared with one bound at a time, which is what an index answers of `$not`.
    pub(super) fn filter(&self) -> Document {
        let (since, least) = (DateTime::from_millis(self.since_millis), DateTime::from_millis(0));
        let earlier = doc! { "$gte": least, "$lt": since };
        let not_earlier =
            doc! { "$or": [{ &self.field: { "$not": { "$lt": since } } }, { &self.field: { "$lt": least } }] };
        let Some((first, more)) = self.instead.split_first() else { return not_earlier };
        let mut stands_in = doc! { &self.field: Bson::Null, first: &earlier };
        let later: Vec<Document> =
            more.iter().map(|field| doc! { "$or": [{ field: Bson::Null }, { field: &earlier }] }).collect();
        if !later.is_empty() {
            stands_in.insert("$and", later);
        }
        doc! { "$and": [not_earlier, { "$nor": [stands_in] }] }
    }
}

/// The fields that the contract of a collection names, and no other: secrets that stand beside them do not leave the
/// server. A field comes as a whole, since a projection of what lies in the objects of a list drops what else is in the
/// list, and with that the ids that may stand there bare. What the decoder does not take of it goes no further, and what
/// is secret in it not into the quarantine either.
///
/// It is the same whatever is asked of the collection: a document that is put aside is known by its bytes.
pub(super) fn projection(collection: Collection) -> Document {
    let columns = collection.layout().columns;
    let fields: BTreeSet<&str> = columns.iter().flat_map(|column| column.fields).copied().collect();
    let mut projection = doc! { "_id": 1 };
    projection
        .extend(fields.into_iter().filter(|field| *field != "_id").map(|field| (field.to_owned(), Bson::Int32(1))));
    projection
}

/// A `find` in the order of `_id`.
pub(super) struct Find<'a> {
    pub(super) collection: &'a str,
    pub(super) filter: Document,
    pub(super) projection: Document,
    /// 1 or -1.
    pub(super) order: i32,
    pub(super) limit: Option<i64>,
    pub(super) batch: Option<u32>,
    pub(super) concern: Concern,
}

impl Find<'_> {
    pub(super) fn command(self) -> Result<RawDocumentBuf, bson::error::Error> {
        self.with_concern(None)
    }

    /// The command with a concern that has no instant yet: the reply tells which one the server took.
    pub(super) fn taking_snapshot(self) -> Result<RawDocumentBuf, bson::error::Error> {
        self.with_concern(Some(doc! { "level": "snapshot" }))
    }

    fn with_concern(self, concern: Option<Document>) -> Result<RawDocumentBuf, bson::error::Error> {
        let mut command = doc! {
            "find": self.collection,
            "filter": self.filter,
            "projection": self.projection,
            "sort": { "_id": self.order },
        };
        if let Some(limit) = self.limit {
            command.insert("limit", limit);
            command.insert("singleBatch", true);
        } else {
            // A filter by the time of the change may be answered by its index, and then sorted.
            command.insert("allowDiskUse", true);
        }
        if let Some(batch) = self.batch {
            command.insert("batchSize", batch);
        }
        command.insert("readConcern", concern.unwrap_or_else(|| self.concern.document()));
        RawDocumentBuf::try_from(&command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_left_out_only_if_its_time_is_known_to_be_earlier() {
        let (date, least) = (DateTime::from_millis(5), DateTime::from_millis(0));
        let changed = Changed::of(Collection::Messages, 5_999, None);
        let earlier = doc! { "$gte": least, "$lt": date };
        let not_earlier =
            |field: &str| doc! { "$or": [{ field: { "$not": { "$lt": date } } }, { field: { "$lt": least } }] };
        assert_eq!(
            changed.filter(),
            doc! { "$and": [
                not_earlier("updatedAt"),
                { "$nor": [{ "updatedAt": null, "createdAt": &earlier }] },
            ] }
        );
        let changed = Changed::of(Collection::Notifications, 5_999, None);
        let read = doc! { "$or": [{ "readAt": null }, { "readAt": &earlier }] };
        assert_eq!(
            changed.filter().get_array("$and").unwrap()[1],
            doc! { "$nor": [{ "updatedAt": null, "createdAt": &earlier, "$and": [read] }] }.into()
        );
        let changed = Changed::of(Collection::Messages, 5_999, Some(&"seenAt".to_owned()));
        assert_eq!(changed.filter(), not_earlier("seenAt"));
    }

    #[test]
    fn only_what_the_contract_names_is_asked_for() {
        let projection = projection(Collection::Users);
        assert!(projection.contains_key("phoneNumber") && projection.contains_key("linkedDevices"));
        for secret in ["password", "publicKey", "twoFactorSecret"] {
            assert!(!projection.contains_key(secret));
        }
        for (name, value) in projection {
            assert_eq!(value, Bson::Int32(1), "{name}");
            assert!(!crate::json::secret::is_secret(&name), "{name}");
        }
    }
}
