//! The aggregations that a reader needs to plan its ranges: counts, samples and statistics.

use bson::{Document, doc};
use bytes::Bytes;

use crate::answer::Answer;
use crate::command::Command;
use crate::cursor::{Cursor, FIRST_BATCH_DOCUMENTS, Source};
use crate::element::{Element, Elements, Value, field};
use crate::filter::Filter;
use crate::projection::Projection;
use crate::read::{read_time, sort};
use crate::refusal::Refusal;
use crate::script::Deployment;
use crate::server::Server;
use crate::store::Stored;

pub(crate) fn aggregate(server: &Server, command: &Command<'_>, namespace: &str) -> Result<Answer, Refusal> {
    let read = read_time(server, command)?;
    let stages = stages(command)?;
    let is_stats = stages.first().is_some_and(|stage| stage.name == b"$collStats");
    if is_stats && read.is_snapshot {
        let message = "Aggregation stage $collStats cannot run with a readConcern other than 'local'";
        return Err(Refusal::invalid_options(message));
    }
    let mut documents: Vec<Stored> = match server.replays.get(namespace) {
        _ if is_stats => Vec::new(),
        Some(_) => return Err(Refusal::bad_value("the stand-in replays no aggregations")),
        None => server.store.lock().at(namespace, read.time).cloned().collect(),
    };
    for (position, stage) in stages.iter().enumerate() {
        documents = apply(server, namespace, stage, position, documents)?;
    }
    let documents: Vec<Bytes> = documents.into_iter().map(|stored| stored.bytes).collect();
    let batch_size = command.document("cursor").and_then(|cursor| field(cursor, "batchSize")?.as_i64());
    let batch_size = batch_size.and_then(|size| usize::try_from(size).ok()).unwrap_or(FIRST_BATCH_DOCUMENTS);
    let source = Source::Documents { documents: documents.into_iter(), knows_its_end: false };
    let cursor = Cursor { namespace: namespace.to_owned(), source, at_cluster_time: read.to_report() };
    Ok(Answer::Cursor(server.cursors.lock().open(cursor, batch_size, false)))
}

fn stages<'a>(command: &Command<'a>) -> Result<Vec<Element<'a>>, Refusal> {
    let pipeline = command.option("pipeline").and_then(Value::as_array);
    let stages = pipeline.ok_or_else(|| Refusal::bad_value("'pipeline' must be an array"))?;
    let only_field = |stage: Value<'a>| {
        let mut fields = Elements::new(stage.as_document()?);
        fields.next().filter(|_| fields.next().is_none())
    };
    let malformed = || Refusal::new(40323, "Location40323", "A pipeline stage must contain exactly one field.");
    stages.map(|stage| only_field(stage).ok_or_else(malformed)).collect()
}

fn apply(
    server: &Server,
    namespace: &str,
    stage: &Element<'_>,
    position: usize,
    mut documents: Vec<Stored>,
) -> Result<Vec<Stored>, Refusal> {
    let name = String::from_utf8_lossy(stage.name);
    if server.missing.contains(name.as_ref()) {
        return Err(Refusal::unrecognized_stage(&name));
    }
    let operand = stage.value.as_document();
    match (name.as_ref(), operand) {
        ("$match", Some(filter)) => {
            let filter = Filter::parse(filter)?;
            documents.retain(|stored| filter.matches(stored));
        }
        ("$sort", Some(keys)) => sort(&mut documents, keys)?,
        ("$project", Some(projection)) => {
            let projection = Projection::parse(projection)?;
            documents.iter_mut().for_each(|stored| stored.bytes = projection.apply(&stored.bytes));
        }
        ("$sample", Some(sample)) => {
            let size = field(sample, "size").map_or(Ok(0), size)?;
            shuffle(&mut documents);
            documents.truncate(size);
        }
        ("$limit", _) => documents.truncate(size(stage.value)?),
        ("$skip", _) => drop(documents.drain(..size(stage.value)?.min(documents.len()))),
        ("$count", _) => documents = count(stage.value, documents.len())?,
        ("$group", Some(group)) => documents = count_group(group, documents.len())?,
        ("$collStats", Some(_)) if position == 0 => {
            if !server.store.lock().exists(namespace) {
                let message = format!("Unable to retrieve storageStats in $collStats stage: {namespace} not found");
                return Err(Refusal::new(26, "NamespaceNotFound", message));
            }
            documents = vec![Stored::computed(&coll_stats(server, namespace))];
        }
        ("$collStats", Some(_)) => {
            let message = "$collStats is only valid as the first stage in a pipeline";
            return Err(Refusal::new(40602, "Location40602", message));
        }
        _ => return Err(Refusal::unrecognized_stage(&name)),
    }
    Ok(documents)
}

fn size(value: Value<'_>) -> Result<usize, Refusal> {
    let size = value.as_i64().and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| Refusal::bad_value("a stage's size must be a number that is not negative"))
}

/// The same sample for the same documents every time: tests repeat. No order is kept, as a real sample keeps none.
fn shuffle(documents: &mut [Stored]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (1..documents.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        documents.swap(at, (state % (at as u64 + 1)) as usize);
    }
}

/// Like a server, says nothing at all where there is nothing to count.
fn count(name: Value<'_>, documents: usize) -> Result<Vec<Stored>, Refusal> {
    let name = name.as_str().ok_or_else(|| Refusal::bad_value("the count field must be a non-empty string"))?;
    let counted = (documents > 0).then(|| Stored::computed(&doc! { name: documents as i32 }));
    Ok(counted.into_iter().collect())
}

/// `{_id: <constant>, <name>: {$sum: <number>}}`, by which drivers count.
fn count_group(group: &[u8], documents: usize) -> Result<Vec<Stored>, Refusal> {
    let unsupported = || Refusal::bad_value("the stand-in groups by a constant and sums constants");
    let decoded = Document::from_reader(group).map_err(|_| unsupported())?;
    let mut result = Document::new();
    for (name, value) in decoded {
        let is_constant = value.as_str().is_none_or(|text| !text.starts_with('$')) && value.as_document().is_none();
        if name == "_id" && is_constant {
            result.insert(name, value);
            continue;
        }
        let summand = value.as_document().and_then(|operator| operator.get("$sum"));
        let summand = summand.and_then(|summand| summand.as_i32().map(i64::from).or(summand.as_i64()));
        result.insert(name, (summand.ok_or_else(unsupported)? * documents as i64) as i32);
    }
    Ok((documents > 0).then(|| Stored::computed(&result)).into_iter().collect())
}

fn coll_stats(server: &Server, namespace: &str) -> Document {
    let stats = storage_stats(server, namespace);
    let mut document = doc! {
        "ns": namespace,
        "host": server.address.to_string(),
        "localTime": bson::DateTime::now(),
        "count": stats.get("count").cloned(),
        "storageStats": stats,
    };
    if server.deployment == Deployment::Sharded {
        document.insert("shard", "shard0");
    }
    document
}

/// Numbers and sizes of a collection, replayed ones included. What is on disk is taken to be as large as in memory.
pub(crate) fn storage_stats(server: &Server, namespace: &str) -> Document {
    let (count, size) = match server.replays.get(namespace) {
        Some(replay) => replay.extent(),
        None => {
            let store = server.store.lock();
            store
                .at(namespace, store.now())
                .fold((0, 0), |(count, size), stored| (count + 1, size + stored.bytes.len() as u64))
        }
    };
    let mut stats = doc! {
        "ns": namespace, "size": size as i64, "count": count as i64, "storageSize": size as i64,
        "numOrphanDocs": 0, "freeStorageSize": 0, "capped": false, "nindexes": 1,
        "totalIndexSize": 0, "totalSize": size as i64,
    };
    if let Some(average) = size.checked_div(count) {
        stats.insert("avgObjSize", average as i64);
    }
    stats
}
