//! Rejected lines without their secrets.
//!
//! A line that parses loses its secret members at every depth; without any it is kept byte for byte, otherwise it is
//! written compactly with keys, order and the text of values as they were. A line that does not parse cannot be
//! told apart into members, so it is cut before the first thing that looks like a secret key. That errs on the side
//! of cutting: quotes may be missing, so any name before a colon counts.

use std::borrow::Cow;

use super::scan::{Scalar, Sink, scan, unescape};
use super::secret::is_secret;

/// Marks the place where a text was cut.
const CUT: &str = "…[cut]";
/// A rejected document is kept whole up to this size.
pub(crate) const MAX_RAW_BYTES: usize = 16 << 20;
/// How far back from a colon a key is searched in a line that does not parse.
const LONGEST_KEY: usize = 1_024;

/// The text under which a rejected line is stored. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn line(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut redactor = Redactor::default();
    let safe = match scan(&text, &mut redactor) {
        Ok(()) if redactor.removed => Cow::Owned(redactor.out),
        Ok(()) => text,
        Err(_) => match first_secret_key(&text) {
            Some(at) => Cow::Owned(format!("{}{CUT}", &text[..at])),
            None => text,
        },
    };
    bounded(safe.into_owned())
}

/// The text under which the beginning of a line too long to be read is stored.
pub(crate) fn beginning(prefix: &[u8]) -> String {
    let text = String::from_utf8_lossy(prefix);
    let end = first_secret_key(&text).unwrap_or(text.len());
    let mut text = text.into_owned();
    text.truncate(end);
    text = bounded(text);
    if !text.ends_with(CUT) {
        text.push_str(CUT);
    }
    text
}

/// Cuts a text at [`MAX_RAW_BYTES`].
pub(crate) fn bounded(mut text: String) -> String {
    if text.len() > MAX_RAW_BYTES {
        text.truncate(text.floor_char_boundary(MAX_RAW_BYTES));
        text.push_str(CUT);
    }
    text
}

/// Where the first name before a colon that is secret begins, its quote included.
fn first_secret_key(text: &str) -> Option<usize> {
    memchr::memchr_iter(b':', text.as_bytes()).find_map(|colon| {
        let start = key_before(text, colon);
        let mut name = String::new();
        unescape(text.get(start..colon)?.trim_matches(is_quote_or_space), &mut name);
        is_secret(&name).then_some(start)
    })
}

fn is_quote_or_space(character: char) -> bool {
    matches!(character, '"' | '\'') || character.is_ascii_whitespace()
}

/// Where the name that ends at a colon begins.
fn key_before(text: &str, colon: usize) -> usize {
    let floor = text.floor_char_boundary(colon.saturating_sub(LONGEST_KEY));
    let window = &text.as_bytes()[floor..colon];
    let trimmed = window.trim_ascii_end();
    let start = match trimmed.split_last() {
        Some((quote @ (b'"' | b'\''), inner)) => memchr::memrchr(*quote, inner),
        _ => trimmed
            .iter()
            .rposition(|byte| byte.is_ascii_whitespace() || matches!(byte, b'{' | b'[' | b',' | b'"' | b'\''))
            .map(|at| at + 1),
    };
    floor + start.unwrap_or(0)
}

/// Writes the document again without its secret members.
#[derive(Default)]
struct Redactor {
    out: String,
    removed: bool,
    /// For each open object or array that is written: whether it is an object, and whether it has a member yet.
    levels: Vec<(bool, bool)>,
    /// The next value belongs to a secret key.
    drop_next: bool,
    /// How many objects and arrays are open inside the value that is being dropped.
    dropping: usize,
}

impl Redactor {
    /// Writes what stands before a value; false when the value is dropped.
    fn begin_value(&mut self) -> bool {
        if self.dropping > 0 {
            return false;
        }
        if std::mem::take(&mut self.drop_next) {
            return false;
        }
        if let Some((false, started)) = self.levels.last_mut()
            && std::mem::replace(started, true)
        {
            self.out.push(',');
        }
        true
    }
}

impl Sink for Redactor {
    fn open(&mut self, object: bool) {
        if self.begin_value() {
            self.levels.push((object, false));
            self.out.push(if object { '{' } else { '[' });
        } else {
            self.dropping += 1;
        }
    }

    fn close(&mut self) {
        if self.dropping > 0 {
            self.dropping -= 1;
        } else if let Some((object, _)) = self.levels.pop() {
            self.out.push(if object { '}' } else { ']' });
        }
    }

    fn key(&mut self, text: &str) {
        if self.dropping > 0 {
            return;
        }
        let mut name = String::new();
        unescape(text, &mut name);
        if is_secret(&name) {
            self.removed = true;
            self.drop_next = true;
            return;
        }
        if let Some((_, started)) = self.levels.last_mut()
            && std::mem::replace(started, true)
        {
            self.out.push(',');
        }
        self.out.push_str(text);
        self.out.push(':');
    }

    fn scalar(&mut self, _kind: Scalar, text: &str) {
        if self.begin_value() {
            self.out.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        line(text.as_bytes())
    }

    #[test]
    fn a_document_without_secrets_is_kept_byte_for_byte() {
        for text in
            [r#"{ "a" : 1.50, "b":"\ud800\u0041" , "a":[ ] }"#, r#"{"twoFactorEnabled":true}"#, "[1, 2]", "{broken"]
        {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn secret_members_go_at_every_depth() {
        for (text, expected) in [
            (r#"{"password":"x"}"#, "{}"),
            (r#"{ "a" : 1, "password" : {"b":[1,{"c":2}]}, "d" : 1.50 }"#, r#"{"a":1,"d":1.50}"#),
            (
                r#"{"u":{"devices":[{"pushToken":"t","id":1},{"id":2,"otp":[]}]}}"#,
                r#"{"u":{"devices":[{"id":1},{"id":2}]}}"#,
            ),
            (r#"[{"secret":1},[{"secret":2,"k":"\ud800"}],3]"#, r#"[{},[{"k":"\ud800"}],3]"#),
            (r#"{"pass\u0077ord":"x","b":1}"#, r#"{"b":1}"#),
            (r#"{"token":{"a":1},"a":{"token":[[]],"b":{}}}"#, r#"{"a":{"b":{}}}"#),
        ] {
            assert_eq!(redacted(text), expected, "{text}");
        }
    }

    #[test]
    fn a_line_that_does_not_parse_is_cut_before_the_first_secret_key() {
        for (text, expected) in [
            (r#"{"a":1,"password":"hunter2""#, r#"{"a":1,…[cut]"#),
            (r#"{"a":"b, "accessToken" : "t"}"#, r#"{"a":"b, …[cut]"#),
            (r#"{a:1,password:'x'}"#, r#"{a:1,…[cut]"#),
            (r#"{'otp': 1}"#, r#"{…[cut]"#),
            (r#"{"pass\u0077ord":"x"#, r#"{…[cut]"#),
            (r#"{"a":"{\"secret\":\"x\"}""#, r#"{"a":"{\…[cut]"#),
            (r#"{"a":1,"twoFactorEnabled":1"#, r#"{"a":1,"twoFactorEnabled":1"#),
            (r#"{"time":"10:30","b":"#, r#"{"time":"10:30","b":"#),
        ] {
            assert_eq!(redacted(text), expected, "{text}");
        }
    }

    #[test]
    fn bad_bytes_become_replacement_characters() {
        assert_eq!(line(b"{\"a\":\"\xff\xfe\",\"otp\":1}"), "{\"a\":\"\u{fffd}\u{fffd}\"}");
        assert_eq!(line(b"{\"password\":\"\xff"), "{…[cut]");
    }

    #[test]
    fn huge_documents_are_cut() {
        let text = format!("{{\"a\":\"{}\"}}", "é".repeat(MAX_RAW_BYTES / 2));
        let raw = redacted(&text);
        assert!(raw.len() <= MAX_RAW_BYTES + CUT.len());
        assert!(raw.ends_with("é…[cut]"));
        assert_eq!(beginning(b"{\"a\":1,\"token\":\"x"), "{\"a\":1,…[cut]");
        assert_eq!(beginning(b"{\"a\":\"x"), "{\"a\":\"x…[cut]");
    }

    #[test]
    fn any_depth_is_redacted_without_recursion() {
        let deep = 200_000;
        let text = format!("{{\"otp\":1,\"x\":{}{}}}", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(redacted(&text), text.replace("\"otp\":1,", ""));
    }
}
