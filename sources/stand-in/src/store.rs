//! The collections: documents as bytes, each with the time from which and until which it was there.
//!
//! Times make snapshot reads real: a snapshot sees what was there at its time, whatever a test inserts or removes since.
//! A document's `_id` can be given beside its bytes, because an index still holds the key of a document that has become
//! unreadable.
//!
//! Each collection has a UUID, by which a collection is told from another that takes its name.

use std::collections::BTreeMap;

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, Timestamp, doc};
use bytes::Bytes;

use crate::element::{Value, field};

/// All cluster times are within this second; the increment counts the changes.
const SECOND: u32 = 1_700_000_000;

/// A document and its life.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) bytes: Bytes,
    key: Option<Bytes>,
    since: u32,
    until: u32,
}

impl Stored {
    /// The value of a top-level field; for `_id` the key that was given beside the bytes, if one was.
    pub(crate) fn field(&self, name: &str) -> Option<Value<'_>> {
        match &self.key {
            Some(key) if name == "_id" => field(key, "_id"),
            _ => field(&self.bytes, name),
        }
    }

    /// A document that an aggregation made.
    pub(crate) fn computed(document: &Document) -> Self {
        // A document of the `bson` crate can always be written.
        Self::always(document.to_vec().unwrap_or_default().into())
    }

    /// A document of no collection, which is there whatever the time.
    pub(crate) fn always(bytes: Bytes) -> Self {
        Self { bytes, key: None, since: 0, until: u32::MAX }
    }

    fn is_there(&self, time: u32) -> bool {
        self.since <= time && time < self.until
    }
}

/// A collection, whatever it is called.
#[derive(Debug)]
struct Collection {
    uuid: [u8; 16],
    documents: Vec<Stored>,
}

/// Databases and collections under their full names, and the clock.
#[derive(Debug, Default)]
pub(crate) struct Store {
    collections: BTreeMap<String, Collection>,
    clock: u32,
    created: u32,
}

impl Store {
    pub(crate) fn create(&mut self, namespace: &str) {
        self.collection(namespace);
    }

    /// The collection of this name, created if it is not there yet.
    fn collection(&mut self, namespace: &str) -> &mut Collection {
        let created = &mut self.created;
        self.collections.entry(namespace.to_owned()).or_insert_with(|| {
            *created += 1;
            let mut uuid = [0; 16];
            uuid[..12].copy_from_slice(&ObjectId::new().bytes());
            uuid[12..].copy_from_slice(&created.to_be_bytes());
            Collection { uuid, documents: Vec::new() }
        })
    }

    /// Takes a collection away, and says whether it was there.
    pub(crate) fn drop_collection(&mut self, namespace: &str) -> bool {
        self.clock += 1;
        self.collections.remove(namespace).is_some()
    }

    /// Gives a collection another name, under which no other may be left.
    pub(crate) fn rename(&mut self, namespace: &str, to: &str) -> bool {
        self.clock += 1;
        let Some(collection) = self.collections.remove(namespace) else { return false };
        self.collections.insert(to.to_owned(), collection);
        true
    }

    /// Adds a document. `id` is the key under which it is found if its own bytes do not tell.
    pub(crate) fn insert(&mut self, namespace: &str, bytes: Bytes, id: Option<Bson>) {
        self.clock += 1;
        // Every BSON value can be written, so that no key is ever lost here.
        let key = id.and_then(|id| doc! { "_id": id }.to_vec().ok()).map(Bytes::from);
        let stored = Stored { bytes, key, since: self.clock, until: u32::MAX };
        self.collection(namespace).documents.push(stored);
    }

    /// Takes out the documents whose `_id` equals `id`, and says how many they were.
    pub(crate) fn remove(&mut self, namespace: &str, id: Value<'_>) -> usize {
        self.clock += 1;
        let clock = self.clock;
        let documents = self.collections.get_mut(namespace).into_iter().flat_map(|found| &mut found.documents);
        let is_hit = |stored: &Stored| {
            stored.until == u32::MAX && stored.field("_id").is_some_and(|key| crate::order::compare(key, id).is_eq())
        };
        documents.filter(|stored| is_hit(stored)).map(|stored| stored.until = clock).count()
    }

    /// The documents that were there at a time, in the order in which they were inserted.
    pub(crate) fn at(&self, namespace: &str, time: Timestamp) -> impl Iterator<Item = &Stored> {
        let documents = self.collections.get(namespace).into_iter().flat_map(|found| &found.documents);
        documents.filter(move |stored| stored.is_there(time.increment))
    }

    /// Full names of the collections of a database.
    pub(crate) fn collections_of(&self, database: &str) -> impl Iterator<Item = &str> {
        let belongs = move |name: &&str| name.strip_prefix(database).is_some_and(|rest| rest.starts_with('.'));
        self.collections.keys().map(String::as_str).filter(belongs)
    }

    /// What the collection is called by servers, whatever its name.
    pub(crate) fn uuid(&self, namespace: &str) -> Option<Binary> {
        let found = self.collections.get(namespace)?;
        Some(Binary { subtype: BinarySubtype::Uuid, bytes: found.uuid.to_vec() })
    }

    pub(crate) fn exists(&self, namespace: &str) -> bool {
        self.collections.contains_key(namespace)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp { time: SECOND, increment: self.clock }
    }
}
