//! Whether a collection is there, and whether it is the one that was planned.
//!
//! A server answers a query on a collection that it does not have as one on an empty collection: without documents and
//! without an error. So whoever plans asks for it, and whoever reads asks again when the range has been read. A
//! collection that was replaced by another of its name is told by its UUID, which the plan carries; views have none, and
//! an account that may read one collection alone is not told it.

use bson::spec::BinarySubtype;
use bson::{Bson, Document, doc};

use super::fault::{MongoError, is_not_allowed, is_unsupported};
use super::server::Open;

/// What a server says of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is not there.
    Absent,
    /// It is there, with this UUID as hex digits if it is told.
    Present(Option<String>),
    /// The server does not say.
    Untold,
}

/// Asks for a collection.
pub(super) async fn presence(open: &Open, doing: &str, name: &str) -> Result<Presence, MongoError> {
    // To be shown more than names takes the right to list collections, which the role `read` has.
    let command = doc! { "listCollections": 1, "filter": { "name": name } };
    let Some(reply) = listed(open, doing, command).await? else { return presence_by_name(open, doing, name).await };
    let found = entries(&reply).find(|entry| entry.get_str("name").ok() == Some(name));
    Ok(found.map_or(Presence::Absent, |entry| Presence::Present(uuid_of(entry))))
}

/// The same by the names alone that the account may see.
pub(super) async fn presence_by_name(open: &Open, doing: &str, name: &str) -> Result<Presence, MongoError> {
    Ok(match collections(open, doing).await? {
        None => Presence::Untold,
        Some(known) if known.iter().any(|known| known == name) => Presence::Present(None),
        Some(_) => Presence::Absent,
    })
}

/// The collections of the database that the account may see; none if the server does not tell.
pub(super) async fn collections(open: &Open, doing: &str) -> Result<Option<Vec<String>>, MongoError> {
    // Whoever may read a collection need not be allowed to see what else there is.
    let command = doc! { "listCollections": 1, "nameOnly": true, "authorizedCollections": true };
    Ok(listed(open, doing, command).await?.map(|reply| names(&reply)))
}

async fn listed(open: &Open, doing: &str, command: Document) -> Result<Option<Document>, MongoError> {
    match open.command(doing, command).await? {
        Ok(reply) => Ok(Some(reply)),
        Err(error) if is_not_allowed(&error) || is_unsupported(&error) => Ok(None),
        Err(error) => Err(open.explain(&error, doing, 1)),
    }
}

/// The names of a reply of `listCollections`, without the server's own.
pub(super) fn names(reply: &Document) -> Vec<String> {
    let names = entries(reply).filter_map(|entry| entry.get_str("name").ok());
    names.filter(|name| !name.starts_with("system.")).map(str::to_owned).collect()
}

fn entries(reply: &Document) -> impl Iterator<Item = &Document> {
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    batch.map(Vec::as_slice).unwrap_or_default().iter().filter_map(Bson::as_document)
}

fn uuid_of(entry: &Document) -> Option<String> {
    match entry.get_document("info").ok()?.get("uuid")? {
        Bson::Binary(uuid) if uuid.subtype == BinarySubtype::Uuid => {
            Some(uuid.bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        }
        _ => None,
    }
}
