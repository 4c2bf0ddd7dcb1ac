//! Batches of documents, encoded once: the bytes of the BSON array that a cursor reply holds.
//!
//! A reply is then a few bytes before the array and a few after it. Whole replies were rejected as the unit, because a
//! first batch and a next batch stand under names of different lengths, so that one encoding could not serve both.

use bson::{RawDocumentBuf, Timestamp};
use bytes::Bytes;

use crate::element::Elements;
use crate::store::Stored;
use crate::wire::Reply;

/// Documents of one batch, encoded as the array in which a server sends them. Cloning is free.
#[derive(Clone, Debug)]
pub struct Batch {
    array: Bytes,
    documents: usize,
}

impl Batch {
    /// Encodes documents as they are; nothing checks that they are valid BSON.
    pub fn encode<D: AsRef<[u8]>>(documents: impl IntoIterator<Item = D>) -> Self {
        let mut array = vec![0; 4];
        let mut count = 0;
        for document in documents {
            array.push(crate::element::kind::DOCUMENT);
            array.extend(count.to_string().as_bytes());
            array.push(0);
            array.extend(document.as_ref());
            count += 1;
        }
        array.push(0);
        let length = (array.len() as i32).to_le_bytes();
        array[..4].copy_from_slice(&length);
        Self { array: array.into(), documents: count }
    }

    /// How many documents it holds.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// Its documents, for those who look for some of them.
    pub(crate) fn stored(&self) -> impl Iterator<Item = Stored> {
        Elements::new(&self.array).map(|element| Stored::always(self.array.slice_ref(element.value.bytes)))
    }

    /// How many bytes of the wire it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.array.len()
    }
}

/// What a reply says about its cursor.
#[derive(Debug)]
pub(crate) struct CursorReply {
    /// Zero once the cursor is exhausted.
    pub(crate) id: i64,
    pub(crate) namespace: String,
    pub(crate) is_first: bool,
    pub(crate) batch: Batch,
    pub(crate) at_cluster_time: Option<Timestamp>,
}

impl CursorReply {
    /// Puts the batch between the fields of the cursor and those of the answer as a whole.
    pub(crate) fn into_reply(self, trailer: &RawDocumentBuf) -> Reply {
        let mut cursor = RawDocumentBuf::new();
        cursor.append(bson::raw::cstr!("id"), self.id);
        cursor.append(bson::raw::cstr!("ns"), self.namespace);
        if let Some(time) = self.at_cluster_time {
            cursor.append(bson::raw::cstr!("atClusterTime"), time);
        }
        let cursor_fields = fields(&cursor);
        let array_name: &[u8] = if self.is_first { b"\x04firstBatch\0" } else { b"\x04nextBatch\0" };
        let cursor_bytes = 4 + cursor_fields.len() + array_name.len() + self.batch.array.len() + 1;
        let mut after = vec![0];
        after.extend(fields(trailer));
        after.push(0);
        let name: &[u8] = b"\x03cursor\0";
        let total_bytes = 4 + name.len() + cursor_bytes + after.len() - 1;
        let mut before = Vec::with_capacity(128);
        before.extend((total_bytes as i32).to_le_bytes());
        before.extend(name);
        before.extend((cursor_bytes as i32).to_le_bytes());
        before.extend(cursor_fields);
        before.extend(array_name);
        Reply { before, batch: self.batch.array, after }
    }
}

/// A document's elements without its length and its terminator.
fn fields(document: &RawDocumentBuf) -> &[u8] {
    let bytes = document.as_bytes();
    &bytes[4..bytes.len() - 1]
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc, rawdoc};

    use super::*;

    #[test]
    fn a_reply_in_pieces_is_one_valid_document() {
        let batch = Batch::encode([rawdoc! { "_id": 1 }.as_bytes(), rawdoc! { "_id": 2 }.as_bytes()]);
        let at_cluster_time = Some(Timestamp { time: 1, increment: 2 });
        let reply = CursorReply { id: 9, namespace: "a.b".into(), is_first: true, batch, at_cluster_time }
            .into_reply(&rawdoc! { "ok": 1.0 });
        let length = reply.len();
        let bytes = [reply.before, reply.batch.to_vec(), reply.after].concat();
        assert_eq!(bytes.len(), length);
        let expected = doc! {
            "cursor": {
                "id": 9_i64, "ns": "a.b", "atClusterTime": at_cluster_time,
                "firstBatch": [{ "_id": 1 }, { "_id": 2 }],
            },
            "ok": 1.0,
        };
        assert_eq!(Document::from_reader(bytes.as_slice()).unwrap(), expected);
    }
}
