//! The greeting, in which a server says what it is.

use std::time::Duration;

use bson::{DateTime, Document, doc};

use crate::answer::topology_version;
use crate::command::Command;
use crate::element::{Value, field};
use crate::script::Deployment;
use crate::server::Server;
use crate::wire::MAX_MESSAGE_BYTES;

/// Answers at once, or, if the client already knows the server's present role, when it changes or the client's patience
/// ends.
pub(crate) async fn hello(server: &Server, command: &Command<'_>, connection: u64) -> Document {
    if let Some(patience) = patience(command) {
        let known = command.document("topologyVersion").and_then(|known| field(known, "counter")?.as_i64());
        let mut role = server.role.subscribe();
        let changed = role.wait_for(|role| Some(role.changes) != known);
        // Both a change and the end of the patience lead to the same answer.
        let _either = tokio::time::timeout(patience, changed).await;
    }
    describe(server, command, connection)
}

fn patience(command: &Command<'_>) -> Option<Duration> {
    let millis = command.option("maxAwaitTimeMS").and_then(Value::as_i64)?;
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

fn describe(server: &Server, command: &Command<'_>, connection: u64) -> Document {
    let (lowest, highest) = server.wire_versions;
    let is_primary = server.role.borrow().is_primary;
    let mut hello = doc! {
        "helloOk": true,
        "ismaster": is_primary,
        "isWritablePrimary": is_primary,
        "maxBsonObjectSize": 16 << 20,
        "maxMessageSizeBytes": MAX_MESSAGE_BYTES,
        "maxWriteBatchSize": 100_000,
        "localTime": DateTime::now(),
        "logicalSessionTimeoutMinutes": 30,
        "connectionId": (connection + 1) as i32,
        "minWireVersion": lowest,
        "maxWireVersion": highest,
        "readOnly": false,
        "topologyVersion": topology_version(server),
    };
    match &server.deployment {
        Deployment::ReplicaSet(name) => hello.extend(membership(server, name, is_primary)),
        Deployment::Sharded => {
            hello.insert("msg", "isdbgrid");
        }
        Deployment::Standalone => {}
    }
    if command.option("saslSupportedMechs").is_some() {
        hello.insert("saslSupportedMechs", ["SCRAM-SHA-256"].as_slice());
    }
    hello
}

fn membership(server: &Server, set: &str, is_primary: bool) -> Document {
    let address = server.address.to_string();
    let mut membership = doc! {
        "setName": set,
        "setVersion": 1,
        "hosts": server.members.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "me": &address,
        "secondary": !is_primary,
        "lastWrite": { "lastWriteDate": DateTime::now() },
    };
    if is_primary {
        membership.insert("primary", &address);
        membership.insert("electionId", bson::oid::ObjectId::from_bytes([0x7f; 12]));
    }
    membership
}
