//! BSON as it comes from the wire, decoded without a copy.
//!
//! A document is checked once: every length lies inside its parent, every type is known, nothing nests too deeply. On
//! that way its own members are noted, so that they need not be looked for again; accessors of what is inside them walk
//! the same bytes without allocating. A position is the offset of a value, with the value's type in its low byte, so
//! that a value is found again without looking for its name.
//!
//! Rejected: the `bson` crate's `RawDocument`. It is made for looking up a few fields: each access scans the document
//! from its start and checks the text of names on its way, which costs several times what decoding does. It serves
//! where speed does not matter, for showing rejected documents.

mod redact;
#[cfg(test)]
mod tests;

pub(crate) use redact::{id_text, redacted};

use crate::decode::{Failure, OBJECT_ID_DIGITS, Reason, Shape, Strings, Text, Tree, integral};
use crate::instant;
use crate::json::MAX_DEPTH;

/// Types of values, as the specification numbers them.
mod element {
    pub(super) const DOUBLE: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const DOCUMENT: u8 = 0x03;
    pub(super) const ARRAY: u8 = 0x04;
    pub(super) const BINARY: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const OBJECT_ID: u8 = 0x07;
    pub(super) const BOOLEAN: u8 = 0x08;
    pub(super) const DATE: u8 = 0x09;
    pub(super) const NULL: u8 = 0x0A;
    pub(super) const REGEX: u8 = 0x0B;
    pub(super) const POINTER: u8 = 0x0C;
    pub(super) const CODE: u8 = 0x0D;
    pub(super) const SYMBOL: u8 = 0x0E;
    pub(super) const SCOPED_CODE: u8 = 0x0F;
    pub(super) const INT32: u8 = 0x10;
    pub(super) const TIMESTAMP: u8 = 0x11;
    pub(super) const INT64: u8 = 0x12;
    pub(super) const DECIMAL128: u8 = 0x13;
    pub(super) const MAX_KEY: u8 = 0x7F;
    pub(super) const MIN_KEY: u8 = 0xFF;
}

/// The smallest document: its length and the byte that ends it.
const EMPTY_DOCUMENT: usize = 5;

/// Where a member of a document stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    /// Where its name begins, and how many bytes it has.
    name: (usize, usize),
    /// The position of its value.
    value: usize,
}

/// A checked document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BsonDocument<'b> {
    bytes: &'b [u8],
    /// Its own members, in their order.
    members: &'b [Member],
}

impl<'b> BsonDocument<'b> {
    /// Checks the structure of a document, in unknown fields too, but for the text of its strings. `members` is room
    /// for noting its members, reused from document to document.
    pub(crate) fn check(bytes: &'b [u8], members: &'b mut Vec<Member>) -> Result<Self, Failure> {
        members.clear();
        let invalid = || Failure::whole(Reason::InvalidBson);
        if length_at(bytes, 0, bytes.len()) != Some(bytes.len()) {
            return Err(invalid());
        }
        // Where each open document ends; the byte that ends it included.
        let mut ends = [0; MAX_DEPTH];
        ends[0] = bytes.len();
        let (mut depth, mut at) = (1, 4);
        loop {
            let end = ends[depth - 1];
            let Some(&kind) = bytes.get(at).filter(|_| at < end) else { return Err(invalid()) };
            at += 1;
            if kind == 0 {
                if at != end {
                    return Err(invalid());
                }
                depth -= 1;
                if depth == 0 {
                    return Ok(Self { bytes, members });
                }
                continue;
            }
            let name = at;
            at = after_name(bytes, at, end).ok_or_else(invalid)?;
            if depth == 1 {
                members.push(Member { name: (name, at - 1 - name), value: position(at, kind) });
            }
            let size = size_of(bytes, kind, at, end).ok_or_else(invalid)?;
            if !matches!(kind, element::DOCUMENT | element::ARRAY) {
                at += size;
                continue;
            }
            if depth == MAX_DEPTH {
                return Err(Failure::whole(Reason::TooDeep));
            }
            ends[depth] = at + size;
            depth += 1;
            at += 4;
        }
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at + N)?.try_into().ok()
    }

    /// The bytes of the string at an offset, without the byte that ends it.
    fn string_bytes(&self, at: usize) -> &'b [u8] {
        let len = self.array(at).map_or(1, u32::from_le_bytes) as usize;
        self.bytes.get(at + 4..(at + 4 + len).saturating_sub(1)).unwrap_or_default()
    }

    /// The element that begins at an offset, as name and position of its value; `None` at the end of its document.
    fn element(&self, start: usize) -> Option<(&'b [u8], usize)> {
        let kind = *self.bytes.get(start).filter(|kind| **kind != 0)?;
        let name = self.bytes.get(start + 1..)?;
        let len = name_len(name)?;
        Some((&name[..len], position(start + len + 2, kind)))
    }

    /// The offset after the value at a position.
    fn end_of(&self, at: usize) -> usize {
        let (offset, kind) = parts(at);
        offset + size_of(self.bytes, kind, offset, self.bytes.len()).unwrap_or(self.bytes.len())
    }

    fn each(&self, at: usize, mut visit: impl FnMut(&'b [u8], usize)) {
        let (offset, _) = parts(at);
        let mut start = offset + 4;
        while let Some((name, value)) = self.element(start) {
            visit(name, value);
            start = self.end_of(value);
        }
    }
}

const fn position(offset: usize, kind: u8) -> usize {
    offset << 8 | kind as usize
}

const fn parts(position: usize) -> (usize, u8) {
    (position >> 8, position.to_le_bytes()[0])
}

fn after_name(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    Some(at + name_len(bytes.get(at..end)?)? + 1)
}

/// How many bytes come before the first that is zero. Names are short, so that taking eight bytes at a time beats a
/// vectorised search, whose start costs more than its end.
fn name_len(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let (eights, rest) = bytes.as_chunks::<8>();
    for (index, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        // The top bit of the lowest byte that is zero, and of none below it.
        let zeros = word.wrapping_sub(ONES) & !word & TOPS;
        if zeros != 0 {
            return Some(index * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == 0).map(|at| eights.len() * 8 + at)
}

/// The length that stands at an offset, if it is that of a value that ends within `end`.
fn length_at(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
    (length >= EMPTY_DOCUMENT && length <= end.checked_sub(at)?).then_some(length)
}

/// The bytes that a value takes; `None` if it does not end before `end`, or is not ended as its type demands.
fn size_of(bytes: &[u8], kind: u8, at: usize, end: usize) -> Option<usize> {
    let prefixed = |overhead: usize| -> Option<usize> {
        let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        length.checked_add(overhead)
    };
    let string = |at: usize| -> Option<usize> {
        let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        (length > 0 && bytes.get(at + 3 + length) == Some(&0)).then_some(4 + length)
    };
    let size = match kind {
        element::DOUBLE | element::DATE | element::TIMESTAMP | element::INT64 => 8,
        element::STRING | element::CODE | element::SYMBOL => string(at)?,
        element::DOCUMENT | element::ARRAY => length_at(bytes, at, end)?,
        element::BINARY => prefixed(5)?,
        element::UNDEFINED | element::NULL | element::MIN_KEY | element::MAX_KEY => 0,
        element::OBJECT_ID => 12,
        element::BOOLEAN => (*bytes.get(at)? <= 1).then_some(1)?,
        element::REGEX => after_name(bytes, after_name(bytes, at, end)?, end)? - at,
        element::POINTER => string(at)? + 12,
        element::SCOPED_CODE => {
            let whole = length_at(bytes, at, end)?;
            let code = string(at + 4)?;
            let scope = length_at(bytes, at + 4 + code, end)?;
            (whole == 4 + code + scope).then_some(whole)?
        }
        element::INT32 => 4,
        element::DECIMAL128 => 16,
        _ => return None,
    };
    (size <= end.checked_sub(at)?).then_some(size)
}

impl Strings for BsonDocument<'_> {
    fn at(&self, position: usize) -> &str {
        // Checked when it was decoded.
        std::str::from_utf8(self.bytes_at(position)).unwrap_or_default()
    }

    fn bytes_at(&self, position: usize) -> &[u8] {
        self.string_bytes(parts(position).0)
    }

    fn object_id(&self, position: usize) -> [u8; OBJECT_ID_DIGITS] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let id: [u8; 12] = self.array(parts(position).0).unwrap_or_default();
        let mut digits = [b'0'; OBJECT_ID_DIGITS];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(id) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        digits
    }
}

impl Tree for BsonDocument<'_> {
    fn root(&self) -> usize {
        position(0, element::DOCUMENT)
    }

    fn shape(&self, at: usize) -> Shape {
        match parts(at).1 {
            element::NULL => Shape::Null,
            element::DOCUMENT => Shape::Object,
            element::ARRAY => {
                let mut len = 0;
                self.each(at, |_, _| len += 1);
                Shape::List(len)
            }
            _ => Shape::Value,
        }
    }

    fn members(&self, at: usize, mut visit: impl FnMut(&[u8], usize)) {
        if at != self.root() {
            return self.each(at, visit);
        }
        for Member { name: (start, len), value } in self.members {
            visit(self.bytes.get(*start..start + len).unwrap_or_default(), *value);
        }
    }

    fn first(&self, list: usize) -> usize {
        self.element(parts(list).0 + 4).map_or(list, |(_, value)| value)
    }

    fn next(&self, at: usize) -> usize {
        self.element(self.end_of(at)).map_or(at, |(_, value)| value)
    }

    fn id(&self, at: usize) -> Result<Text, Reason> {
        match parts(at).1 {
            element::OBJECT_ID => Ok(Text::ObjectId(at)),
            _ => self.text(at),
        }
    }

    fn text(&self, at: usize) -> Result<Text, Reason> {
        let (offset, kind) = parts(at);
        if kind != element::STRING {
            return Err(Reason::WrongType);
        }
        let bytes = self.string_bytes(offset);
        // Most texts are short and ASCII, which is told sooner than by the general check.
        match bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
            true => Ok(Text::At(at)),
            false => Err(Reason::InvalidUtf8),
        }
    }

    fn boolean(&self, at: usize) -> Option<bool> {
        let (offset, kind) = parts(at);
        (kind == element::BOOLEAN).then(|| self.bytes.get(offset) == Some(&1))
    }

    fn integer(&self, at: usize) -> Option<i64> {
        let (offset, kind) = parts(at);
        match kind {
            element::INT32 => Some(i32::from_le_bytes(self.array(offset)?).into()),
            element::INT64 => Some(i64::from_le_bytes(self.array(offset)?)),
            element::DOUBLE => integral(f64::from_le_bytes(self.array(offset)?)),
            _ => None,
        }
    }

    // Precision is lost only where the source's own number has more digits than a double.
    #[allow(clippy::cast_precision_loss)]
    fn double(&self, at: usize) -> Option<f64> {
        let (offset, kind) = parts(at);
        match kind {
            element::DOUBLE => Some(f64::from_le_bytes(self.array(offset)?)),
            _ => self.integer(at).map(|value| value as f64),
        }
    }

    fn time(&self, at: usize) -> Result<i64, Reason> {
        let (offset, kind) = parts(at);
        let micros = match kind {
            element::DATE => self.array(offset).map(i64::from_le_bytes).and_then(instant::from_millis),
            element::STRING => {
                let text = std::str::from_utf8(self.string_bytes(offset)).map_err(|_| Reason::InvalidUtf8)?;
                instant::from_iso(text)
            }
            _ => self.integer(at).and_then(instant::from_millis),
        };
        micros.ok_or(Reason::BadDate)
    }
}
