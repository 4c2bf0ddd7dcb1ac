//! From a line to a [`Document`]: the fast way through simd-json, the exact way for what it refuses.

use simd_json::{Buffers, Node, StaticNode, Tape};

use super::doubt::Doubt;
use super::scan::{Scalar, Sink, scan, unescape};
use crate::decode::{Failure, Reason};

/// How deeply objects and arrays may nest, the outermost included; MongoDB's own limit.
pub(crate) const MAX_DEPTH: usize = 100;

/// Buffers above this size are given back after the document that needed them, so that one huge document does not
/// keep its memory for the rest of the run.
const KEEP_BYTES: usize = 4 << 20;

/// A parsed object as a flat sequence of nodes: the object, then alternating keys and values, depth first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'t> {
    nodes: &'t [Node<'t>],
    /// Positions of the strings that hold the escape of a lone surrogate, ascending.
    lone: &'t [u32],
}

/// A parser with its reused buffers.
pub(crate) struct Parser {
    scratch: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
    open: Vec<usize>,
    doubt: Doubt,
}

impl Parser {
    pub(crate) fn new() -> Self {
        Self {
            scratch: Vec::new(),
            buffers: Buffers::default(),
            tape: Tape(Vec::new()),
            open: Vec::new(),
            doubt: Doubt::new(),
        }
    }

    /// Parses a line and hands the document to `read`.
    pub(crate) fn parse<T>(
        &mut self,
        line: &[u8],
        read: impl FnOnce(Document<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        // The parser writes into its input, and the line is still needed if the document is rejected.
        self.scratch.clear();
        self.scratch.extend_from_slice(line);
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed =
            !self.doubt.about(line) && simd_json::fill_tape(&mut self.scratch, &mut self.buffers, &mut tape).is_ok();
        let result = if parsed {
            check(&tape.0, &mut self.open).and_then(|()| read(Document { nodes: &tape.0, lone: &[] }))
        } else {
            parse_exactly(line, &mut self.open, read)
        };
        self.tape = tape.reset();
        if self.scratch.capacity() > KEEP_BYTES {
            *self = Self::new();
        }
        result
    }
}

/// The same as the fast way, for documents that simd-json refuses, and the reason when they are bad indeed.
fn parse_exactly<T>(
    line: &[u8],
    open: &mut Vec<usize>,
    read: impl FnOnce(Document<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let text = std::str::from_utf8(line).map_err(|_| Failure::whole(Reason::InvalidUtf8))?;
    // Depth first, without keeping tokens: a line of brackets must not become a tape many times its size.
    let mut depth = Depth::default();
    scan(text, &mut depth).map_err(|_| Failure::whole(Reason::InvalidJson))?;
    if depth.greatest > MAX_DEPTH {
        return Err(Failure::whole(Reason::TooDeep));
    }
    let mut builder = TapeBuilder::default();
    scan(text, &mut builder).map_err(|_| Failure::whole(Reason::InvalidJson))?;
    let nodes = builder.nodes();
    check(&nodes, open)?;
    read(Document { nodes: &nodes, lone: &builder.lone })
}

/// Depth and kind of the outermost value.
fn check(nodes: &[Node<'_>], open: &mut Vec<usize>) -> Result<(), Failure> {
    if nodes.len() > MAX_DEPTH && deeper_than_allowed(nodes, open) {
        return Err(Failure::whole(Reason::TooDeep));
    }
    match nodes.first() {
        Some(Node::Object { .. }) => Ok(()),
        _ => Err(Failure::whole(Reason::NotAnObject)),
    }
}

fn deeper_than_allowed(nodes: &[Node<'_>], open: &mut Vec<usize>) -> bool {
    open.clear();
    for (at, node) in nodes.iter().enumerate() {
        while open.last().is_some_and(|&end| at >= end) {
            open.pop();
        }
        if let Node::Object { count, .. } | Node::Array { count, .. } = node {
            open.push(at + 1 + count);
            if open.len() > MAX_DEPTH {
                return true;
            }
        }
    }
    false
}

#[derive(Default)]
struct Depth {
    now: usize,
    greatest: usize,
}

impl Sink for Depth {
    fn open(&mut self, _object: bool) {
        self.now += 1;
        self.greatest = self.greatest.max(self.now);
    }
    fn close(&mut self) {
        self.now -= 1;
    }
    fn key(&mut self, _text: &str) {}
    fn scalar(&mut self, _kind: Scalar, _text: &str) {}
}

/// Builds the tape that simd-json would have built. Strings are kept as ranges until the text no longer grows.
#[derive(Default)]
struct TapeBuilder {
    text: String,
    tokens: Vec<Token>,
    open: Vec<usize>,
    lone: Vec<u32>,
}

enum Token {
    String { start: usize, end: usize },
    Static(StaticNode),
    Open { object: bool, len: usize, count: usize },
}

impl TapeBuilder {
    fn string(&mut self, quoted: &str) {
        let start = self.text.len();
        if unescape(quoted, &mut self.text) {
            // A line has fewer tokens than bytes, and lines are bounded far below 4 GiB.
            self.lone.push(u32::try_from(self.tokens.len()).unwrap_or(u32::MAX));
        }
        let end = self.text.len();
        self.tokens.push(Token::String { start, end });
    }

    fn count_child(&mut self) {
        if let Some(&parent) = self.open.last()
            && let Some(Token::Open { len, .. }) = self.tokens.get_mut(parent)
        {
            *len += 1;
        }
    }

    fn nodes(&self) -> Vec<Node<'_>> {
        self.tokens
            .iter()
            .map(|token| match *token {
                Token::String { start, end } => Node::String(&self.text[start..end]),
                Token::Static(value) => Node::Static(value),
                Token::Open { object: true, len, count } => Node::Object { len, count },
                Token::Open { len, count, .. } => Node::Array { len, count },
            })
            .collect()
    }
}

impl Sink for TapeBuilder {
    fn open(&mut self, object: bool) {
        self.count_child();
        self.open.push(self.tokens.len());
        self.tokens.push(Token::Open { object, len: 0, count: 0 });
    }

    fn close(&mut self) {
        let end = self.tokens.len();
        if let Some(start) = self.open.pop()
            && let Some(Token::Open { count, .. }) = self.tokens.get_mut(start)
        {
            *count = end - start - 1;
        }
    }

    fn key(&mut self, text: &str) {
        self.string(text);
    }

    fn scalar(&mut self, kind: Scalar, text: &str) {
        self.count_child();
        let value = match kind {
            Scalar::String => return self.string(text),
            Scalar::Number => number(text),
            Scalar::True => StaticNode::Bool(true),
            Scalar::False => StaticNode::Bool(false),
            Scalar::Null => StaticNode::Null,
        };
        self.tokens.push(Token::Static(value));
    }
}

/// Numbers beyond 64 bits become floats, and those beyond floats infinite, which every kind of column refuses.
fn number(text: &str) -> StaticNode {
    if let Ok(value) = text.parse::<u64>() {
        StaticNode::U64(value)
    } else if let Ok(value) = text.parse::<i64>() {
        StaticNode::I64(value)
    } else {
        StaticNode::F64(text.parse().unwrap_or(f64::INFINITY))
    }
}

impl<'t> Document<'t> {
    /// The node at a position; null past the end.
    pub(crate) fn node(&self, at: usize) -> Node<'t> {
        self.nodes.get(at).copied().unwrap_or(Node::Static(StaticNode::Null))
    }

    /// The string at a position, if it is one; empty otherwise.
    pub(crate) fn string(&self, at: usize) -> &'t str {
        match self.nodes.get(at) {
            Some(Node::String(text)) => text,
            _ => "",
        }
    }

    /// Whether the string at a position holds the escape of a lone surrogate.
    pub(crate) fn has_lone_surrogate(&self, at: usize) -> bool {
        !self.lone.is_empty() && u32::try_from(at).is_ok_and(|at| self.lone.binary_search(&at).is_ok())
    }

    /// The position after the value at a position.
    pub(crate) fn after(&self, at: usize) -> usize {
        match self.nodes.get(at) {
            Some(Node::Object { count, .. } | Node::Array { count, .. }) => at + 1 + count,
            _ => at + 1,
        }
    }

    /// Calls `visit` with the key and the position of the value of each member of the object at a position.
    pub(crate) fn members(&self, at: usize, mut visit: impl FnMut(&'t str, usize)) {
        if let Some(Node::Object { len, .. }) = self.nodes.get(at) {
            let mut key = at + 1;
            for _ in 0..*len {
                visit(self.string(key), key + 1);
                key = self.after(key + 1);
            }
        }
    }

    /// The key and value of an object all of whose members have one name; of duplicates the last.
    pub(crate) fn only_member(&self, at: usize) -> Option<(&'t str, usize)> {
        let mut found: Option<(&'t str, usize)> = None;
        let mut single = true;
        self.members(at, |key, value| {
            single &= found.is_none_or(|(known, _)| known == key);
            found = Some((key, value));
        });
        found.filter(|_| single)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tape of the exact way, rendered, or the reason.
    fn exactly(text: &str) -> Result<String, Failure> {
        parse_exactly(text.as_bytes(), &mut Vec::new(), |document| Ok(format!("{:?}", document.nodes)))
    }

    fn quickly(text: &str) -> Option<Result<String, Failure>> {
        if Doubt::new().about(text.as_bytes()) {
            return None;
        }
        let mut bytes = text.as_bytes().to_vec();
        let tape = simd_json::to_tape(&mut bytes).ok()?;
        Some(check(&tape.0, &mut Vec::new()).map(|()| format!("{:?}", tape.0)))
    }

    #[test]
    fn both_ways_give_one_tape() {
        for text in [
            "{}",
            r#"{"a":1,"a":2,"b":[],"c":{},"d":[{"e":[1,2,[3]]},"x"],"f":null}"#,
            r#"{"a":-0,"b":1.5,"c":184467440737095516,"d":-922337203685477580,"e":1e5,"f":0.1}"#,
            r#"{"k\u00e9y":"v\n\ud83d\ude00\u0000"}"#,
            " {\"a\" : [ true , false ] } ",
            "[]",
            "3",
        ] {
            assert_eq!(quickly(text), Some(exactly(text)), "{text}");
        }
    }

    #[test]
    fn the_fast_way_never_accepts_what_the_exact_way_refuses() {
        use rand::{RngExt, SeedableRng, rngs::StdRng};
        let seed = r#"{"_id":{"$oid":"65d4f0a1b2c3d4e5f6a7b8c9"},"n":[1,-2.5e-3,123456789012345678,0.12345678901234567,true,null],"s":"x\u00e9\n\\","o":{"c":{},"d":[]},"e":-0,"u":"\ud83d\ude00x\uD83D\uDE00"}"#;
        let alphabet = b"{}[]\",:0123456789.eE+-\\ntrufals xudD8cC\x01\x7f";
        let mut random = StdRng::seed_from_u64(11);
        let mut accepted = 0;
        for _ in 0..60_000 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = alphabet[random.random_range(0..alphabet.len())],
                    1 => bytes.insert(at, alphabet[random.random_range(0..alphabet.len())]),
                    _ => drop(bytes.remove(at)),
                }
            }
            let text = String::from_utf8(bytes).unwrap();
            if let Some(fast) = quickly(&text) {
                assert_eq!(fast, exactly(&text), "{text}");
                accepted += 1;
            }
        }
        assert!(accepted > 1_000, "the mutations must leave some documents valid");
    }

    #[test]
    fn depth_is_counted_with_the_outermost_object() {
        for (deep, expected) in [
            (MAX_DEPTH - 1, None),
            (MAX_DEPTH, Some(Reason::TooDeep)),
            (200, Some(Reason::TooDeep)),
            (100_000, Some(Reason::TooDeep)),
        ] {
            let text = format!("{{\"x\":{}{}}}", "[".repeat(deep), "]".repeat(deep));
            let mut parser = Parser::new();
            let result = parser.parse(text.as_bytes(), |_| Ok(()));
            assert_eq!(result.err().map(|failure| failure.reason), expected, "{deep}");
            assert_eq!(exactly(&text).err().map(|failure| failure.reason), expected);
        }
        // Wide is not deep.
        let wide = format!("{{\"x\":[{}[]]}}", "[],".repeat(1_000));
        assert!(Parser::new().parse(wide.as_bytes(), |_| Ok(())).is_ok());
    }

    #[test]
    fn reasons_of_what_cannot_be_parsed() {
        let mut parser = Parser::new();
        for (line, reason) in [
            (&b"{\"a\":\"\xff\"}"[..], Reason::InvalidUtf8),
            (b"{\"a\":NaN}", Reason::InvalidJson),
            (b"{\"a\":Infinity}", Reason::InvalidJson),
            (b"{} // comment", Reason::InvalidJson),
            (b"{} {}", Reason::InvalidJson),
            (b"{\"a\":1", Reason::InvalidJson),
            (b"\"a\"", Reason::NotAnObject),
            (b"[{}]", Reason::NotAnObject),
            (b"null", Reason::NotAnObject),
            (b"12", Reason::NotAnObject),
            (b"1e999", Reason::NotAnObject),
        ] {
            let failure = parser.parse(line, |_| Ok(())).unwrap_err();
            assert_eq!(failure.reason, reason, "{}", String::from_utf8_lossy(line));
        }
    }
}
