//! Looking at a MongoDB server.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use bson::{Bson, Document, doc};

use super::fault::{MongoError, number};
use super::presence::names;
use super::server::{MongoServer, Open};
use crate::health::{Health, ROUND_TRIPS, clock_ahead_millis};
use crate::live::LiveNames;
use crate::{Collection, Origin};

const DOING: &str = "looking at it";
/// Actions on a database that nobody needs who only reads it.
const WRITES: [&str; 6] = ["insert", "update", "remove", "dropCollection", "createCollection", "dropDatabase"];

impl MongoServer {
    /// Where the server is, without user and password; none if its address cannot be understood.
    pub(crate) async fn place(&self) -> Option<String> {
        self.open("MongoDB").await.ok().map(|open| open.place())
    }

    /// What the server says of itself, and of the collections under these names.
    pub(crate) async fn health(&self, names: &BTreeMap<Collection, LiveNames>) -> Result<Health, MongoError> {
        let open = &self.open("MongoDB").await?;
        let hello_sent = SystemTime::now();
        let hello = required(open, doc! { "hello": 1 }).await?;
        let hello_received = SystemTime::now();
        let build = required(open, doc! { "buildInfo": 1 }).await?;
        let mut latency = None;
        for _ in 0..ROUND_TRIPS {
            let sent = Instant::now();
            required(open, doc! { "ping": 1 }).await?;
            latency = latency.into_iter().chain([sent.elapsed()]).min();
        }
        let clock = hello.get_datetime("localTime").ok();
        let mut warnings = rights(open).await?;
        if hello.get("setName").is_none() && hello.get_str("msg").ok() != Some("isdbgrid") {
            warnings
                .push("a server on its own takes no snapshots: a read sees each range as of its own time".to_owned());
        }
        Ok(Health {
            place: open.place(),
            version: build.get_str("version").unwrap_or("unknown").to_owned(),
            counts: counts(open, names).await?,
            latency: latency.unwrap_or_default(),
            clock_ahead_millis: clock
                .and_then(|clock| clock_ahead_millis(clock.timestamp_millis(), hello_sent, hello_received)),
            warnings,
        })
    }
}

async fn required(open: &Open, command: Document) -> Result<Document, MongoError> {
    open.command(DOING, command).await?.map_err(|error| open.explain(&error, DOING, 1))
}

/// What the account may do beyond reading.
async fn rights(open: &Open) -> Result<Vec<String>, MongoError> {
    let status = open.command(DOING, doc! { "connectionStatus": 1, "showPrivileges": true }).await?;
    let Ok(status) = status else {
        return Ok(vec!["the server does not say what this account may do".to_owned()]);
    };
    let info = status.get_document("authInfo").cloned().unwrap_or_default();
    Ok(beyond_reading(&info, &open.database).into_iter().collect())
}

/// What an account may do with a database beyond reading it, by what the server says of who is logged in.
fn beyond_reading(info: &Document, database: &str) -> Option<String> {
    if info.get_array("authenticatedUsers").is_ok_and(Vec::is_empty) {
        return Some("nobody is logged in: the server lets everyone read and write".to_owned());
    }
    let privileges = info.get_array("authenticatedUserPrivileges").cloned().unwrap_or_default();
    let may: Vec<&str> =
        WRITES.into_iter().filter(|action| privileges.iter().any(|it| allows(it, action, database))).collect();
    (!may.is_empty()).then(|| format!("this account may {}; the role `read` is enough", may.join(", ")))
}

/// Whether a privilege allows an action on a database.
fn allows(privilege: &Bson, action: &str, database: &str) -> bool {
    let Some(privilege) = privilege.as_document() else { return false };
    let resource = privilege.get_document("resource").cloned().unwrap_or_default();
    // Of the empty name are all databases; what concerns the cluster has none.
    let is_here = resource.get_str("db").is_ok_and(|name| name.is_empty() || name == database)
        || resource.get_bool("anyResource").is_ok_and(|any| any);
    is_here && privilege.get_array("actions").is_ok_and(|actions| actions.iter().any(|it| it.as_str() == Some(action)))
}

async fn counts(
    open: &Open,
    called: &BTreeMap<Collection, LiveNames>,
) -> Result<Vec<(Collection, Option<u64>)>, MongoError> {
    let listed = open.command(DOING, doc! { "listCollections": 1, "nameOnly": true, "authorizedCollections": true });
    let known = listed.await?.map(|reply| names(&reply)).ok();
    let mut counts = Vec::new();
    for collection in Collection::ALL.into_iter().filter(|collection| collection.origin() == Origin::MongoDb) {
        let given = called.get(&collection).and_then(|names| names.name.clone());
        let name = given.unwrap_or_else(|| collection.name().to_owned());
        let is_there = known.as_ref().is_none_or(|known| known.contains(&name));
        let count = match is_there {
            true => number(&required(open, doc! { "count": name }).await?, "n"),
            false => None,
        };
        counts.push((collection, count));
    }
    Ok(counts)
}
