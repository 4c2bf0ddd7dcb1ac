//! `find`, `getMore` and `count`.

use std::cmp::Ordering;

use bson::{Timestamp, doc};

use crate::answer::Answer;
use crate::batch::Batch;
use crate::command::Command;
use crate::cursor::{Cursor, FIRST_BATCH_DOCUMENTS, Source};
use crate::element::{Elements, Value, field, fixed, kind};
use crate::filter::Filter;
use crate::order::compare;
use crate::projection::Projection;
use crate::refusal::Refusal;
use crate::script::{Deployment, Snapshots};
use crate::server::Server;
use crate::store::Stored;

/// The time at which a command reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadTime {
    pub(crate) time: Timestamp,
    /// Whether the client asked for a snapshot, so that the answer names its time.
    pub(crate) is_snapshot: bool,
}

impl ReadTime {
    pub(crate) fn to_report(self) -> Option<Timestamp> {
        self.is_snapshot.then_some(self.time)
    }
}

pub(crate) fn find(server: &Server, command: &Command<'_>, namespace: &str) -> Result<Answer, Refusal> {
    let read = read_time(server, command)?;
    let limit = command.size("limit")?.filter(|&limit| limit > 0);
    let source = match server.replays.get(namespace) {
        Some(replay) if limit.is_none() => Source::Replay { replay: replay.clone(), sent: 0 },
        _ => {
            let mut documents = find_documents(server, command, namespace, read.time)?;
            documents.drain(..command.size("skip")?.unwrap_or(0).min(documents.len()));
            let knows_its_end = limit.is_some_and(|limit| limit <= documents.len());
            documents.truncate(limit.unwrap_or(usize::MAX));
            let projection = Projection::parse(command.document("projection").unwrap_or_default())?;
            let projected: Vec<_> = documents.iter().map(|stored| projection.apply(&stored.bytes)).collect();
            Source::Documents { documents: projected.into_iter(), knows_its_end }
        }
    };
    let batch_size = command.size("batchSize")?.unwrap_or(FIRST_BATCH_DOCUMENTS);
    let cursor = Cursor { namespace: namespace.to_owned(), source, at_cluster_time: read.to_report() };
    Ok(Answer::Cursor(server.cursors.lock().open(cursor, batch_size, command.flag("singleBatch"))))
}

pub(crate) fn get_more(server: &Server, command: &Command<'_>, namespace: &str) -> Result<Answer, Refusal> {
    let batch_size = command.size("batchSize")?.filter(|&size| size > 0).unwrap_or(usize::MAX);
    server.cursors.lock().more(command.number(), namespace, batch_size).map(Answer::Cursor)
}

pub(crate) fn count(server: &Server, command: &Command<'_>, namespace: &str) -> Result<Answer, Refusal> {
    let read = read_time(server, command)?;
    if read.is_snapshot {
        return Err(Refusal::invalid_options("Command count does not support readConcern snapshot"));
    }
    let filter = Filter::parse(command.document("query").unwrap_or_default())?;
    let store = server.store.lock();
    let found = store.at(namespace, read.time).filter(|stored| filter.matches(stored)).count();
    let found = found.saturating_sub(command.size("skip")?.unwrap_or(0));
    let limit = command.size("limit")?.filter(|&limit| limit > 0).unwrap_or(usize::MAX);
    Ok(Answer::Document(doc! { "n": found.min(limit) as i32 }))
}

/// What a command reads: the present, or the snapshot that it asks for.
pub(crate) fn read_time(server: &Server, command: &Command<'_>) -> Result<ReadTime, Refusal> {
    let now = server.store.lock().now();
    let concern = command.document("readConcern").unwrap_or_default();
    let level = field(concern, "level").and_then(Value::as_str);
    if level == Some("majority") && !server.keeps_majority {
        return Err(Refusal::no_majority());
    }
    if level != Some("snapshot") {
        return Ok(ReadTime { time: now, is_snapshot: false });
    }
    // Wire version 13 is MongoDB 5.0, which brought snapshots outside of transactions.
    let is_known = server.wire_versions.1 >= 13 || command.option("startTransaction").is_some();
    match server.snapshots {
        _ if server.deployment == Deployment::Standalone => {
            let message = "node needs to be a replica set member to use readConcern snapshot";
            Err(Refusal::new(123, "NotAReplicaSet", message))
        }
        Snapshots::Unknown => Err(Refusal::invalid_options("readConcern level snapshot is not supported")),
        _ if !is_known => Err(Refusal::invalid_options("readConcern level snapshot is only valid in a transaction")),
        Snapshots::Unavailable => Err(Refusal::snapshot_unavailable()),
        Snapshots::Supported => {
            let time = field(concern, "atClusterTime").map_or(Ok(now), |asked| past(asked, now))?;
            Ok(ReadTime { time, is_snapshot: true })
        }
    }
}

fn past(asked: Value<'_>, now: Timestamp) -> Result<Timestamp, Refusal> {
    if asked.kind != kind::TIMESTAMP {
        return Err(Refusal::new(14, "TypeMismatch", "atClusterTime must be a timestamp"));
    }
    let asked = u64::from_le_bytes(fixed(asked.bytes));
    let asked = Timestamp { time: (asked >> 32) as u32, increment: asked as u32 };
    if (asked.time, asked.increment) > (now.time, now.increment) {
        return Err(Refusal::invalid_options("atClusterTime must not be greater than the current clusterTime"));
    }
    Ok(asked)
}

/// What matches, sorted; an unsorted find returns documents in the order of their insertion unless a hint names the
/// index of `_id`, so that a reader cannot rely on an order that it did not ask for.
fn find_documents(
    server: &Server,
    command: &Command<'_>,
    namespace: &str,
    time: Timestamp,
) -> Result<Vec<Stored>, Refusal> {
    let filter = Filter::parse(command.document("filter").unwrap_or_default())?;
    let bounds = Bounds::of(command)?;
    let is_asked_for = |stored: &Stored| bounds.hold(stored) && filter.matches(stored);
    let mut documents: Vec<Stored> = match server.replays.get(namespace) {
        // Whoever wants a few documents gets no more, and finds them in the first batch.
        Some(replay) => replay.batches.iter().take(1).flat_map(Batch::stored).filter(is_asked_for).collect(),
        None => server.store.lock().at(namespace, time).filter(|stored| is_asked_for(stored)).cloned().collect(),
    };
    let hint = command.document("hint").filter(|hint| field(hint, "_id").is_some());
    if let Some(keys) = command.document("sort").filter(|sort| sort.len() > 5).or(hint) {
        sort(&mut documents, keys)?;
    }
    Ok(documents)
}

/// `min` (inclusive) and `max` (exclusive): bounds of the index of `_id`, which know no brackets of types.
struct Bounds<'a> {
    lowest: Option<Value<'a>>,
    end: Option<Value<'a>>,
}

impl<'a> Bounds<'a> {
    fn of(command: &Command<'a>) -> Result<Self, Refusal> {
        let bound = |name| command.document(name).and_then(|bound| field(bound, "_id"));
        let bounds = Self { lowest: bound("min"), end: bound("max") };
        if (bounds.lowest.is_some() || bounds.end.is_some()) && command.option("hint").is_none() {
            let message = "When using min()/max() a hint of which index to use must be provided";
            return Err(Refusal::new(51173, "Location51173", message));
        }
        Ok(bounds)
    }

    fn hold(&self, stored: &Stored) -> bool {
        let id = stored.field("_id").unwrap_or(Value::NULL);
        self.lowest.is_none_or(|lowest| compare(id, lowest).is_ge())
            && self.end.is_none_or(|end| compare(id, end).is_lt())
    }
}

/// Sorts by top-level fields; a missing one counts as null.
pub(crate) fn sort(documents: &mut [Stored], keys: &[u8]) -> Result<(), Refusal> {
    let mut sort_keys = Vec::new();
    for key in Elements::new(keys) {
        let name = std::str::from_utf8(key.name).ok().filter(|name| !name.contains(['.', '$']));
        match (name, key.value.as_i64()) {
            (Some(name), Some(direction @ (1 | -1))) => sort_keys.push((name, direction)),
            _ => return Err(Refusal::bad_value("the stand-in sorts by top-level fields, 1 or -1")),
        }
    }
    documents.sort_by(|left, right| {
        sort_keys.iter().fold(Ordering::Equal, |order, &(name, direction)| {
            order.then_with(|| {
                let order = compare(left.field(name).unwrap_or(Value::NULL), right.field(name).unwrap_or(Value::NULL));
                if direction < 0 { order.reverse() } else { order }
            })
        })
    });
    Ok(())
}
