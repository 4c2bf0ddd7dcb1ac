//! Open cursors: what they have yet to send.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bson::Timestamp;
use bytes::Bytes;

use crate::batch::{Batch, CursorReply};
use crate::refusal::Refusal;

/// The first batch holds so many documents unless the client says otherwise; later ones are bounded by bytes alone.
pub(crate) const FIRST_BATCH_DOCUMENTS: usize = 101;
/// A batch ends before it grows beyond this, unless its first document does.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// Encoded batches that every cursor on a collection sends in turns.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    pub(crate) batches: Arc<[Batch]>,
    /// After so many batches the cursor is exhausted; the batches repeat until then.
    pub(crate) batches_per_cursor: u64,
}

impl Replay {
    /// Documents and bytes that a cursor sends.
    pub(crate) fn extent(&self) -> (u64, u64) {
        let rounds = self.batches_per_cursor as usize / self.batches.len().max(1);
        let rest = self.batches_per_cursor as usize % self.batches.len().max(1);
        let add = |(documents, bytes): (u64, u64), batch: &Batch| {
            (documents + batch.documents() as u64, bytes + batch.bytes() as u64)
        };
        let round = self.batches.iter().fold((0, 0), add);
        let rest = self.batches.iter().take(rest).fold((0, 0), add);
        (round.0 * rounds as u64 + rest.0, round.1 * rounds as u64 + rest.1)
    }
}

#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) namespace: String,
    pub(crate) source: Source,
    pub(crate) at_cluster_time: Option<Timestamp>,
}

#[derive(Debug)]
pub(crate) enum Source {
    Documents {
        documents: std::vec::IntoIter<Bytes>,
        /// A limit tells the server that the end is reached. Otherwise it finds out only when it is asked for more, so
        /// that the last batch of a real cursor may be empty.
        knows_its_end: bool,
    },
    Replay {
        replay: Replay,
        sent: u64,
    },
}

impl Source {
    /// The next batch, and whether it was the last.
    fn next(&mut self, max_documents: usize) -> (Batch, bool) {
        match self {
            Self::Documents { documents, knows_its_end } => {
                let (batch, was_full) = take_batch(documents, max_documents);
                let is_last = documents.as_slice().is_empty() && (*knows_its_end || !was_full);
                (batch, is_last)
            }
            // A cursor is opened without any batch to learn its id first.
            Self::Replay { .. } if max_documents == 0 => (Batch::encode::<&[u8]>([]), false),
            Self::Replay { replay, sent } => {
                let at = *sent as usize % replay.batches.len().max(1);
                let batch = replay.batches.get(at).cloned().unwrap_or_else(|| Batch::encode::<&[u8]>([]));
                *sent += 1;
                (batch, *sent >= replay.batches_per_cursor)
            }
        }
    }
}

/// Takes what fits, and says whether the batch ended because it was full.
fn take_batch(documents: &mut std::vec::IntoIter<Bytes>, max_documents: usize) -> (Batch, bool) {
    let mut taken = Vec::new();
    let mut bytes = 0;
    while let Some(document) = documents.as_slice().first() {
        bytes += document.len();
        if taken.len() == max_documents || (bytes > MAX_BATCH_BYTES && !taken.is_empty()) {
            break;
        }
        taken.extend(documents.next());
    }
    let was_full = taken.len() == max_documents || !documents.as_slice().is_empty();
    (Batch::encode(taken), was_full)
}

/// The cursors that clients may ask for more.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    open: HashMap<i64, Cursor>,
    /// Whose collections are gone, which their clients do not know yet.
    killed: HashSet<i64>,
    opened: i64,
}

impl Cursors {
    /// Sends the first batch, and keeps the cursor if there is more.
    pub(crate) fn open(&mut self, mut cursor: Cursor, batch_size: usize, is_single_batch: bool) -> CursorReply {
        let (batch, is_last) = cursor.source.next(batch_size);
        let (namespace, at_cluster_time) = (cursor.namespace.clone(), cursor.at_cluster_time);
        let mut id = 0;
        if !is_last && !is_single_batch {
            self.opened += 1;
            // A real server's ids are large and random: no client may take them for small numbers.
            id = 0x5eed_0000_0000_0000 + self.opened;
            self.open.insert(id, cursor);
        }
        CursorReply { id, namespace, is_first: true, batch, at_cluster_time }
    }

    pub(crate) fn more(&mut self, id: i64, namespace: &str, batch_size: usize) -> Result<CursorReply, Refusal> {
        if self.killed.remove(&id) {
            return Err(Refusal::query_plan_killed());
        }
        let cursor = self.open.get_mut(&id).ok_or_else(|| Refusal::cursor_not_found(id))?;
        if cursor.namespace != namespace {
            let message = format!("Requested getMore on namespace '{namespace}', but cursor belongs to another");
            return Err(Refusal::unauthorized(message));
        }
        let (batch, is_last) = cursor.source.next(batch_size);
        let at_cluster_time = cursor.at_cluster_time;
        if is_last {
            self.open.remove(&id);
        }
        let id = if is_last { 0 } else { id };
        Ok(CursorReply { id, namespace: namespace.to_owned(), is_first: false, batch, at_cluster_time })
    }

    /// Ends the cursors of a collection that is no longer there under this name.
    pub(crate) fn kill_all_on(&mut self, namespace: &str) {
        let killed = self.open.extract_if(|_, cursor| cursor.namespace == namespace).map(|(id, _)| id);
        self.killed.extend(killed);
    }

    /// Whether there was such a cursor.
    pub(crate) fn kill(&mut self, id: i64) -> bool {
        self.open.remove(&id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}
