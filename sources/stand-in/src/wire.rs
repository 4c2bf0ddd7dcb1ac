//! MongoDB's wire protocol: messages in, messages out.
//!
//! Requests come as OP_MSG, or as OP_QUERY when an old client opens the conversation. A reply is written as three pieces
//! (what stands before the batch, the batch, what stands after it), so that a batch that was encoded once goes out
//! without being copied.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use bson::{Bson, Document};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::element::{c_string_len, fixed};

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;
const HEADER_BYTES: usize = 16;
/// MongoDB's own limit for a message.
pub(crate) const MAX_MESSAGE_BYTES: i32 = 48_000_000;

const CHECKSUM_PRESENT: u32 = 1;
const MORE_TO_COME: u32 = 1 << 1;
/// Of the flags that a server has to know, these are all.
const REQUIRED_FLAGS: u32 = 0xffff;

/// In which form a client asked, and hence wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Message,
    LegacyQuery,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Message {
    id: i32,
    form: Form,
    /// The command: a whole document.
    pub(crate) body: Bytes,
    /// Documents that stand outside the command's own, under the name of the field that they belong to.
    pub(crate) sequences: Vec<(String, Vec<Bytes>)>,
    /// Whether the client does not wait for an answer.
    pub(crate) wants_no_reply: bool,
}

impl Message {
    /// The next request, or `None` if the client has gone.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut header = [0; HEADER_BYTES];
        match stream.read_exact(&mut header).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        };
        let [length, id, _, code] = [0, 4, 8, 12].map(|at| i32::from_le_bytes(fixed(&header[at..])));
        if !(HEADER_BYTES as i32..=MAX_MESSAGE_BYTES).contains(&length) {
            return Err(invalid("a message's length is out of bounds"));
        }
        let mut rest = vec![0; length as usize - HEADER_BYTES];
        stream.read_exact(&mut rest).await?;
        let message = match code {
            OP_MSG => Self::parse_message(id, rest.into()),
            OP_QUERY => Self::parse_query(id, rest.into()),
            _ => return Err(invalid("an operation that the stand-in does not speak")),
        };
        message.map(Some).ok_or_else(|| invalid("a message ends too early"))
    }

    fn parse_message(id: i32, mut rest: Bytes) -> Option<Self> {
        let flags = rest.try_get_u32_le().ok()?;
        if flags & REQUIRED_FLAGS & !(CHECKSUM_PRESENT | MORE_TO_COME) != 0 {
            return None;
        }
        if flags & CHECKSUM_PRESENT != 0 {
            rest.truncate(rest.len().checked_sub(4)?);
        }
        let (mut body, mut sequences) = (None, Vec::new());
        while rest.has_remaining() {
            match rest.try_get_u8().ok()? {
                0 => body = Some(take_document(&mut rest)?),
                1 => sequences.push(take_sequence(&mut rest)?),
                _ => return None,
            }
        }
        let wants_no_reply = flags & MORE_TO_COME != 0;
        Some(Self { id, form: Form::Message, body: body?, sequences, wants_no_reply })
    }

    fn parse_query(id: i32, mut rest: Bytes) -> Option<Self> {
        let collection = c_string_len(rest.get(4..)?)?;
        let skipped = 4 + collection + 1 + 8;
        (rest.len() >= skipped).then(|| rest.advance(skipped))?;
        let body = take_document(&mut rest)?;
        Some(Self { id, form: Form::LegacyQuery, body, sequences: Vec::new(), wants_no_reply: false })
    }

    pub(crate) fn is_legacy(&self) -> bool {
        self.form == Form::LegacyQuery
    }

    /// The command as one document, its sequences folded in; what cannot be decoded is left out.
    pub(crate) fn document(&self) -> Document {
        let mut document = Document::from_reader(self.body.as_ref()).unwrap_or_default();
        for (name, documents) in &self.sequences {
            let decoded = documents.iter().filter_map(|bytes| Document::from_reader(bytes.as_ref()).ok());
            document.insert(name, decoded.map(Bson::Document).collect::<Vec<_>>());
        }
        document
    }

    /// Puts the answer into the form in which the client asked.
    pub(crate) fn frame(&self, reply: Reply) -> Frame {
        static NEXT_ID: AtomicI32 = AtomicI32::new(1);
        let fixed_part: &[u8] = match self.form {
            // No flags, then a section of the kind that is a single document.
            Form::Message => &[0; 5],
            // Flags (await capable), no cursor, from the start, one document.
            Form::LegacyQuery => &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        };
        let code = if self.form == Form::Message { OP_MSG } else { OP_REPLY };
        let length = HEADER_BYTES + fixed_part.len() + reply.len();
        let mut head = Vec::with_capacity(length - reply.batch.len() - reply.after.len());
        for number in [length as i32, NEXT_ID.fetch_add(1, Ordering::Relaxed), self.id, code] {
            head.extend(number.to_le_bytes());
        }
        head.extend(fixed_part);
        head.extend(reply.before);
        Frame { head: head.into(), batch: reply.batch, after: reply.after.into() }
    }
}

/// A reply's document in three pieces.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) before: Vec<u8>,
    pub(crate) batch: Bytes,
    pub(crate) after: Vec<u8>,
}

impl Reply {
    pub(crate) fn len(&self) -> usize {
        self.before.len() + self.batch.len() + self.after.len()
    }
}

/// A reply with its header: what goes onto the wire.
#[derive(Debug)]
pub(crate) struct Frame {
    head: Bytes,
    batch: Bytes,
    after: Bytes,
}

impl Frame {
    pub(crate) fn into_buf(self) -> impl Buf {
        self.head.chain(self.batch).chain(self.after)
    }
}

fn take_document(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(i32::from_le_bytes(*rest.first_chunk()?)).ok()?;
    (length >= 5 && length <= rest.len()).then(|| rest.split_to(length))
}

fn take_sequence(rest: &mut Bytes) -> Option<(String, Vec<Bytes>)> {
    let length = usize::try_from(i32::from_le_bytes(*rest.first_chunk()?)).ok()?;
    let mut section = (length >= 4 && length <= rest.len()).then(|| rest.split_to(length))?.slice(4..);
    let name = section.split_to(c_string_len(&section)?);
    section.advance(1);
    let mut documents = Vec::new();
    while section.has_remaining() {
        documents.push(take_document(&mut section)?);
    }
    Some((String::from_utf8_lossy(&name).into_owned(), documents))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
