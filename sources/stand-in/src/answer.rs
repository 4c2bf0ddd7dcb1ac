//! Answers of commands, and the fields that a server adds to each of them.

use bson::raw::{RawBson, cstr};
use bson::spec::BinarySubtype;
use bson::{Binary, Document, RawDocumentBuf, doc};

use crate::batch::CursorReply;
use crate::refusal::Refusal;
use crate::script::Deployment;
use crate::server::Server;
use crate::wire::Reply;

/// What a command that worked answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Document(Document),
    Cursor(CursorReply),
}

/// Encodes an answer or an error.
pub(crate) fn encode(server: &Server, answer: Result<Answer, Refusal>) -> Reply {
    match answer {
        Ok(Answer::Cursor(cursor)) => cursor.into_reply(&trailer(server)),
        Ok(Answer::Document(document)) => whole(server, document, true),
        Err(refusal) => whole(server, refused(server, &refusal), false),
    }
}

/// A change of role is counted: a driver ignores errors that are older than what it knows.
fn refused(server: &Server, refusal: &Refusal) -> Document {
    let mut document = refusal.to_document();
    if refusal.is_state_change() && server.deployment != Deployment::Standalone {
        server.role.send_modify(|role| role.changes += 1);
        document.insert("topologyVersion", topology_version(server));
    }
    document
}

fn whole(server: &Server, mut document: Document, is_ok: bool) -> Reply {
    if is_ok {
        document.insert("ok", 1.0);
    }
    document.extend(cluster_times(server));
    // A document of the `bson` crate can always be written.
    let before = document.to_vec().unwrap_or_default();
    Reply { before, batch: bytes::Bytes::new(), after: Vec::new() }
}

fn trailer(server: &Server) -> RawDocumentBuf {
    let mut trailer = RawDocumentBuf::new();
    trailer.append(cstr!("ok"), 1.0);
    if let Ok(RawBson::Document(times)) = bson::Bson::Document(cluster_times(server)).try_into() {
        for (name, value) in times.iter().flatten() {
            trailer.append(name, value);
        }
    }
    trailer
}

fn cluster_times(server: &Server) -> Document {
    if server.deployment == Deployment::Standalone {
        return Document::new();
    }
    let now = server.store.lock().now();
    let hash = Binary { subtype: BinarySubtype::Generic, bytes: vec![0; 20] };
    doc! {
        "$clusterTime": { "clusterTime": now, "signature": { "hash": hash, "keyId": 0_i64 } },
        "operationTime": now,
    }
}

pub(crate) fn topology_version(server: &Server) -> Document {
    doc! { "processId": server.process, "counter": server.role.borrow().changes }
}
