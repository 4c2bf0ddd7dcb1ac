//! Writes one document as extended JSON into a byte buffer that is used again and again.
//!
//! There is no tree: each call appends text. A separator is due unless the last byte opened something, which holds
//! because no value ends in `{` or `[` (braces within strings are followed by the closing quote).

use crate::object_id::{HEX, ObjectId};
use crate::rhythm::Civil;
use crate::style::{DateForm, Style};

/// A document under construction.
#[derive(Debug)]
pub(crate) struct Json {
    out: Vec<u8>,
    style: Style,
}

impl Json {
    /// A writer whose first document is begun with [`Json::begin`].
    pub(crate) fn new(style: Style) -> Self {
        Self { out: Vec::with_capacity(4096), style }
    }

    /// Forgets the last document and begins the next.
    pub(crate) fn begin(&mut self, style: Style) {
        self.out.clear();
        self.style = style;
        self.out.push(b'{');
    }

    /// Ends the document and gives its line, line feed included.
    pub(crate) fn end(&mut self) -> &[u8] {
        self.out.extend_from_slice(b"}\n");
        &self.out
    }

    fn separate(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A string.
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.string(value);
    }

    /// A string put together from parts.
    pub(crate) fn parts(&mut self, key: &str, parts: &[&str]) {
        self.key(key);
        self.out.push(b'"');
        for part in parts {
            escape(part, self.style.ascii, &mut self.out);
        }
        self.out.push(b'"');
    }

    /// `null`.
    pub(crate) fn null(&mut self, key: &str) {
        self.key(key);
        self.out.extend_from_slice(b"null");
    }

    /// A boolean.
    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A 32-bit integer.
    pub(crate) fn int(&mut self, key: &str, value: i64) {
        self.key(key);
        self.number("$numberInt", |out| append_integer(value, out));
    }

    /// A 64-bit integer.
    pub(crate) fn long(&mut self, key: &str, value: i64) {
        self.key(key);
        self.number("$numberLong", |out| append_integer(value, out));
    }

    /// A double, given in tenths, not negative.
    pub(crate) fn tenths(&mut self, key: &str, value: i64) {
        self.key(key);
        self.number("$numberDouble", |out| {
            append_integer(value / 10, out);
            out.push(b'.');
            append_integer(value % 10, out);
        });
    }

    /// The document's own id, always an ObjectId.
    pub(crate) fn id(&mut self, value: ObjectId) {
        self.key("_id");
        self.object_id(value);
    }

    /// The id of another document.
    pub(crate) fn reference(&mut self, key: &str, value: ObjectId) {
        self.key(key);
        self.reference_value(value);
    }

    /// A date.
    pub(crate) fn date(&mut self, key: &str, ms: i64) {
        self.key(key);
        match (self.style.dates, self.style.canonical) {
            (DateForm::Bson, true) => {
                self.out.extend_from_slice(b"{\"$date\":{\"$numberLong\":\"");
                append_integer(ms, &mut self.out);
                self.out.extend_from_slice(b"\"}}");
            }
            (DateForm::Bson, false) => {
                self.out.extend_from_slice(b"{\"$date\":\"");
                Civil::from_ms(ms).append(b'T', &mut self.out);
                self.out.extend_from_slice(b"Z\"}");
            }
            (DateForm::Iso, _) => {
                self.out.push(b'"');
                Civil::from_ms(ms).append(b'T', &mut self.out);
                self.out.extend_from_slice(b"Z\"");
            }
            (DateForm::Epoch, _) => self.number("$numberLong", |out| append_integer(ms, out)),
        }
    }

    /// Opens an object as a field.
    pub(crate) fn open_object(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'{');
    }

    /// Opens an object as an element of a list.
    pub(crate) fn open_item(&mut self) {
        self.separate();
        self.out.push(b'{');
    }

    /// Closes the innermost object.
    pub(crate) fn close_object(&mut self) {
        self.out.push(b'}');
    }

    /// Opens a list.
    pub(crate) fn open_list(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'[');
    }

    /// Closes the innermost list.
    pub(crate) fn close_list(&mut self) {
        self.out.push(b']');
    }

    /// An id as an element of a list.
    pub(crate) fn item_reference(&mut self, value: ObjectId) {
        self.separate();
        self.reference_value(value);
    }

    /// A string as an element of a list.
    pub(crate) fn item_text(&mut self, value: &str) {
        self.separate();
        self.string(value);
    }

    fn string(&mut self, value: &str) {
        self.out.push(b'"');
        escape(value, self.style.ascii, &mut self.out);
        self.out.push(b'"');
    }

    fn reference_value(&mut self, value: ObjectId) {
        if self.style.plain_references {
            self.out.push(b'"');
            self.out.extend_from_slice(&value.hex());
            self.out.push(b'"');
        } else {
            self.object_id(value);
        }
    }

    fn object_id(&mut self, value: ObjectId) {
        self.out.extend_from_slice(b"{\"$oid\":\"");
        self.out.extend_from_slice(&value.hex());
        self.out.extend_from_slice(b"\"}");
    }

    fn number(&mut self, wrapper: &str, append: impl FnOnce(&mut Vec<u8>)) {
        if self.style.canonical {
            self.out.extend_from_slice(b"{\"");
            self.out.extend_from_slice(wrapper.as_bytes());
            self.out.extend_from_slice(b"\":\"");
            append(&mut self.out);
            self.out.extend_from_slice(b"\"}");
        } else {
            append(&mut self.out);
        }
    }
}

/// Appends an integer in decimal digits.
pub(crate) fn append_integer(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends the inside of a JSON string. Runs that need no escape are copied as a whole.
fn escape(value: &str, ascii: bool, out: &mut Vec<u8>) {
    let mut rest = value;
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\' || (ascii && byte >= 0x80);
    while let Some(run) = rest.bytes().position(special) {
        out.extend_from_slice(&rest.as_bytes()[..run]);
        // A special byte is ASCII or, where multi-byte characters are escaped, the first byte of one.
        let mut characters = rest[run..].chars();
        if let Some(character) = characters.next() {
            escape_character(character, out);
        }
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn escape_character(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(HEX[usize::from(*unit >> shift & 15)]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object_id::{IdMint, Kind};
    use crate::style::Shape;

    fn style(canonical: bool, dates: DateForm, ascii: bool) -> Style {
        Style { shape: Shape::App, canonical, dates, plain_references: canonical, ascii }
    }

    fn document(style: Style) -> Value {
        let id = IdMint::new(1).id(Kind::User, 1000, 1);
        let mut json = Json::new(style);
        json.begin(style);
        json.id(id);
        json.reference("other", id);
        json.int("int", -7);
        json.long("long", i64::MIN);
        json.tenths("double", 125);
        json.date("date", 1_769_817_600_005);
        json.open_list("list");
        json.open_item();
        json.close_object();
        json.item_text("{");
        json.close_list();
        json.parts("parts", &["a\"", "\u{1}b"]);
        serde_json::from_slice(json.end()).unwrap()
    }

    #[test]
    fn relaxed() {
        let value = document(style(false, DateForm::Bson, false));
        assert_eq!(value["int"], json!(-7));
        assert_eq!(value["long"], json!(i64::MIN));
        assert_eq!(value["double"], json!(12.5));
        assert_eq!(value["date"], json!({"$date": "2026-01-31T00:00:00.005Z"}));
        assert_eq!(value["other"], value["_id"]);
        assert_eq!(value["list"], json!([{}, "{"]));
        assert_eq!(value["parts"], json!("a\"\u{1}b"));
    }

    #[test]
    fn canonical() {
        let value = document(style(true, DateForm::Bson, false));
        assert_eq!(value["int"], json!({"$numberInt": "-7"}));
        assert_eq!(value["double"], json!({"$numberDouble": "12.5"}));
        assert_eq!(value["date"], json!({"$date": {"$numberLong": "1769817600005"}}));
        assert_eq!(value["other"], value["_id"]["$oid"]);
    }

    #[test]
    fn escapes_survive_a_round_trip() {
        for ascii in [false, true] {
            for text in ["", "plain", "\"\\\n\r\t\u{7f}\u{0}", "naïve 😀 漢字 👩‍👩‍👧", "\u{ffff}é\"é"]
            {
                let mut out = vec![b'"'];
                escape(text, ascii, &mut out);
                out.push(b'"');
                assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
                assert!(!ascii || out.is_ascii());
            }
        }
    }
}
