//! An exact, iterative reader of JSON text: grammar of RFC 8259, any depth, no recursion, no number range, escapes
//! of lone surrogates allowed. It only names tokens; what they mean is the sink's business.

/// What a token is, apart from brackets and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    String,
    Number,
    True,
    False,
    Null,
}

/// Receives the tokens of a document in order.
pub(super) trait Sink {
    /// An object or array begins.
    fn open(&mut self, object: bool);
    /// The innermost object or array ends.
    fn close(&mut self);
    /// A key, with its quotes.
    fn key(&mut self, text: &str);
    /// A value that is no object and no array; strings have their quotes.
    fn scalar(&mut self, kind: Scalar, text: &str);
}

/// The text is not one JSON value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// Reads one JSON value with white space around it.
pub(super) fn scan(text: &str, sink: &mut impl Sink) -> Result<(), Invalid> {
    let bytes = text.as_bytes();
    let mut open: Vec<bool> = Vec::new();
    let mut expect = Expect::Value;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let in_object = open.last().copied();
        match (byte, expect) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => at += 1,
            (b'{' | b'[', Expect::Value | Expect::ValueOrEnd) => {
                let object = byte == b'{';
                sink.open(object);
                open.push(object);
                expect = if object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
                at += 1;
            }
            (b'}', Expect::KeyOrEnd | Expect::CommaOrEnd) if in_object == Some(true) => {
                sink.close();
                open.pop();
                expect = after_value(&open);
                at += 1;
            }
            (b']', Expect::ValueOrEnd | Expect::CommaOrEnd) if in_object == Some(false) => {
                sink.close();
                open.pop();
                expect = after_value(&open);
                at += 1;
            }
            (b',', Expect::CommaOrEnd) => {
                expect = if in_object == Some(true) { Expect::Key } else { Expect::Value };
                at += 1;
            }
            (b':', Expect::Colon) => {
                expect = Expect::Value;
                at += 1;
            }
            (b'"', Expect::Key | Expect::KeyOrEnd) => {
                let end = string_end(bytes, at)?;
                sink.key(text.get(at..end).ok_or(Invalid)?);
                expect = Expect::Colon;
                at = end;
            }
            (_, Expect::Value | Expect::ValueOrEnd) => {
                let (kind, end) = scalar_end(bytes, at)?;
                sink.scalar(kind, text.get(at..end).ok_or(Invalid)?);
                expect = after_value(&open);
                at = end;
            }
            _ => return Err(Invalid),
        }
    }
    if expect == Expect::Nothing { Ok(()) } else { Err(Invalid) }
}

fn after_value(open: &[bool]) -> Expect {
    if open.is_empty() { Expect::Nothing } else { Expect::CommaOrEnd }
}

fn scalar_end(bytes: &[u8], at: usize) -> Result<(Scalar, usize), Invalid> {
    let word = |word: &[u8], kind| {
        if bytes[at..].starts_with(word) { Ok((kind, at + word.len())) } else { Err(Invalid) }
    };
    match bytes[at] {
        b'"' => Ok((Scalar::String, string_end(bytes, at)?)),
        b't' => word(b"true", Scalar::True),
        b'f' => word(b"false", Scalar::False),
        b'n' => word(b"null", Scalar::Null),
        b'-' | b'0'..=b'9' => Ok((Scalar::Number, number_end(bytes, at)?)),
        _ => Err(Invalid),
    }
}

/// The position after the closing quote of the string that opens at `at`.
fn string_end(bytes: &[u8], at: usize) -> Result<usize, Invalid> {
    let mut at = at + 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') if bytes.len() >= at + 6 && bytes[at + 2..at + 6].iter().all(u8::is_ascii_hexdigit) => {
                    at += 6;
                }
                _ => return Err(Invalid),
            },
            Some(0..=0x1f) | None => return Err(Invalid),
            Some(_) => at += 1,
        }
    }
}

fn number_end(bytes: &[u8], mut at: usize) -> Result<usize, Invalid> {
    let digits = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if bytes[at] == b'-' {
        at += 1;
    }
    match digits(at) {
        0 => return Err(Invalid),
        count if count > 1 && bytes[at] == b'0' => return Err(Invalid),
        count => at += count,
    }
    if bytes.get(at) == Some(&b'.') {
        let count = digits(at + 1);
        if count == 0 {
            return Err(Invalid);
        }
        at += 1 + count;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        match digits(at) {
            0 => return Err(Invalid),
            count => at += count,
        }
    }
    Ok(at)
}

/// The content of a string token without its quotes, escapes resolved. The second value is whether it holds the
/// escape of a lone surrogate, in whose place U+FFFD stands.
pub(super) fn unescape(quoted: &str, out: &mut String) -> bool {
    let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(quoted);
    let mut lone = false;
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let (resolved, length) = escape(&rest[at..]);
        lone |= resolved.is_none();
        out.push(resolved.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = rest.get(at + length..).unwrap_or_default();
    }
    out.push_str(rest);
    lone
}

/// The character of the escape at the start of `text`, and the length of the escape.
fn escape(text: &str) -> (Option<char>, usize) {
    let simple = match text.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(text),
        Some(&other) if other.is_ascii() => char::from(other),
        _ => return (None, 1),
    };
    (Some(simple), 2)
}

fn unicode_escape(text: &str) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let tail = text.get(at..)?.strip_prefix("\\u")?;
        u32::from_str_radix(tail.get(..4)?, 16).ok()
    };
    let Some(first) = unit(0) else {
        return (None, 2);
    };
    if let Some(character) = char::from_u32(first) {
        return (Some(character), 6);
    }
    match unit(6) {
        Some(second) if first < 0xdc00 && (0xdc00..0xe000).contains(&second) => {
            let point = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (char::from_u32(point), 12)
        }
        _ => (None, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ignore;
    impl Sink for Ignore {
        fn open(&mut self, _object: bool) {}
        fn close(&mut self) {}
        fn key(&mut self, _text: &str) {}
        fn scalar(&mut self, _kind: Scalar, _text: &str) {}
    }

    fn valid(text: &str) -> bool {
        scan(text, &mut Ignore).is_ok()
    }

    #[test]
    fn grammar() {
        for text in [
            "{}",
            " [ ] ",
            "[1,-0,0.5,1e5,1E-5,-2.5e+10]",
            r#"{"a":{"b":[true,false,null]}}"#,
            r#""\u00e9\"\\\/\b\f\n\r\t\ud800""#,
            "1e400",
            "3",
            "\"\u{7f}\"",
            "123456789012345678901234567890123456789012",
        ] {
            assert!(valid(text), "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "[,1]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "{1:2}",
            "[1 2]",
            "{} {}",
            "{}x",
            "NaN",
            "[Infinity]",
            "[-Infinity]",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "nul",
            "tru",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\u12"#,
            "\"\u{1}\"",
            "\"\n\"",
            "\"abc",
            "'a'",
            "// c\n{}",
            "{/**/}",
            "[}",
            "{]",
            r#"{"a":1]"#,
            "\u{feff}{}",
            r#"{"a":1 "b":2}"#,
            r#"{"a" 1}"#,
        ] {
            assert!(!valid(text), "{text}");
        }
    }

    #[test]
    fn agrees_with_serde_json_on_mutated_documents() {
        use rand::{RngExt, SeedableRng, rngs::StdRng};
        let seed = br#"{"a":[1,2.5e-3,true,null,"x\u00e9\n"],"b":{"c":{},"d":[]},"e":-0}"#;
        let alphabet = br#"{}[]",:0123456789.eE+-\ntrufals x"#;
        let mut random = StdRng::seed_from_u64(7);
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut bytes = seed.to_vec();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = alphabet[random.random_range(0..alphabet.len())],
                    1 => bytes.insert(at, alphabet[random.random_range(0..alphabet.len())]),
                    _ => drop(bytes.remove(at)),
                }
            }
            let text = String::from_utf8(bytes).unwrap();
            let expected = match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
                Ok(_) => true,
                // Not grammar: serde_json checks the range of numbers and surrogates even in raw values.
                Err(error) => {
                    let message = error.to_string();
                    message.contains("out of range") || message.contains("surrogate")
                }
            };
            assert_eq!(valid(&text), expected, "{text}");
            accepted += usize::from(expected);
        }
        assert!(accepted > 1_000, "the mutations must leave some documents valid");
    }

    #[test]
    fn unescapes() {
        let text = |quoted: &str| {
            let mut out = String::new();
            let lone = unescape(quoted, &mut out);
            (out, lone)
        };
        assert_eq!(text(r#""a\"\\\/\b\f\n\r\tz""#), ("a\"\\/\u{8}\u{c}\n\r\tz".into(), false));
        assert_eq!(text(r#""\u00e9\u0000\ud83d\ude00""#), ("é\0😀".into(), false));
        assert_eq!(text(r#""\ud800x""#), ("\u{fffd}x".into(), true));
        assert_eq!(text(r#""\udc00\ud800""#), ("\u{fffd}\u{fffd}".into(), true));
        assert_eq!(text(r#""\ud800\ud83d\ude00""#), ("\u{fffd}😀".into(), true));
    }
}
