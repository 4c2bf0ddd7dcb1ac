//! The MySQL tables as CSV, one module a table, and the row writer that they share.
//!
//! Rows are RFC 4180: a field with a comma, a quote or a line break is quoted. The writer also makes bad rows: a row is
//! begun with a reason, and the first column that can be bad for that reason is.

pub(crate) mod audit_logs;
pub(crate) mod auth_users;
pub(crate) mod sessions;

use crate::json::append_integer;
use crate::random::Random;
use crate::rhythm::Civil;
use crate::summary::Reason;

/// A flaw to build into a row; the serial number chooses among the ways to do so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flaw {
    pub(crate) reason: Reason,
    pub(crate) serial: u64,
}

/// A row under construction.
#[derive(Debug, Default)]
pub(crate) struct Row {
    out: Vec<u8>,
    flaw: Option<Flaw>,
}

impl Row {
    /// Forgets the last row and begins the next.
    pub(crate) fn begin(&mut self, flaw: Option<Flaw>) {
        self.out.clear();
        self.flaw = flaw;
    }

    /// Ends the row and gives its line, line feed included.
    pub(crate) fn end(&mut self) -> &[u8] {
        self.out.pop();
        if let Some(Flaw { reason: Reason::WrongType, serial }) = self.flaw.take() {
            match self.out.iter().rposition(|byte| *byte == b',') {
                // The last column is a time, so the last comma separates.
                Some(comma) if serial.is_multiple_of(2) => self.out.truncate(comma),
                _ => self.out.extend_from_slice(b",surplus"),
            }
        }
        self.out.push(b'\n');
        &self.out
    }

    /// Takes the flaw if it is of this reason.
    fn take_flaw(&mut self, reason: Reason) -> bool {
        self.flaw.take_if(|flaw| flaw.reason == reason).is_some()
    }

    /// The table's key.
    pub(crate) fn id(&mut self, value: &str) {
        let value = if self.take_flaw(Reason::MissingKey) { "" } else { value };
        self.field(value);
    }

    /// Text.
    pub(crate) fn text(&mut self, value: &str) {
        if self.take_flaw(Reason::InvalidUtf8) {
            self.out.push(0xE9);
        }
        self.field(value);
    }

    /// Text or null, which is an empty field.
    pub(crate) fn optional(&mut self, value: Option<&str>) {
        self.field(value.unwrap_or_default());
    }

    /// An integer.
    pub(crate) fn integer(&mut self, value: i64) {
        append_integer(value, &mut self.out);
        self.out.push(b',');
    }

    /// A boolean as 0 or 1.
    pub(crate) fn flag(&mut self, value: bool) {
        let is_flawed =
            self.flaw.is_some_and(|flaw| flaw.serial.is_multiple_of(3)) && self.take_flaw(Reason::WrongType);
        self.field(match (is_flawed, value) {
            (true, _) => "maybe",
            (false, true) => "1",
            (false, false) => "0",
        });
    }

    /// A time in UTC.
    pub(crate) fn time(&mut self, ms: i64) {
        let serial = self.flaw.map_or(0, |flaw| flaw.serial);
        if self.take_flaw(Reason::BadDate) {
            return self.field(["soon", "2025-02-30 10:00:00", "1969-12-31 23:59:59"][(serial % 3) as usize]);
        }
        Civil::from_ms(ms).append(b' ', &mut self.out);
        self.out.push(b',');
    }

    /// A time or null, which is `\N` as MySQL's own export writes it.
    pub(crate) fn optional_time(&mut self, ms: Option<i64>) {
        match ms {
            Some(ms) => self.time(ms),
            None => self.field("\\N"),
        }
    }

    /// A field that is written as it is unless it needs quotes.
    pub(crate) fn field(&mut self, value: &str) {
        if value.contains([',', '"', '\n', '\r']) {
            self.out.push(b'"');
            self.out.extend_from_slice(value.replace('"', "\"\"").as_bytes());
            self.out.push(b'"');
        } else {
            self.out.extend_from_slice(value.as_bytes());
        }
        self.out.push(b',');
    }
}

/// An id in the form of a version 4 UUID.
fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.bits(), random.bits());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFF,
        low >> 52,
        low & 0xFFFF_FFFF_FFFF
    )
}

/// A private or documentation address.
fn ip_address(random: &mut Random) -> String {
    if random.per_mille(100) {
        return format!("2001:db8::{:x}", random.below(65_536));
    }
    format!("{}.{}", random.pick(&["192.0.2", "198.51.100", "203.0.113", "10.0.7"]), random.below(256))
}

/// What the tables must drop: browsers' names, commas included.
const USER_AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "QuickChat/4.2 (iPhone; iOS 19.1)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(flaw: Option<Flaw>) -> Vec<u8> {
        let mut row = Row::default();
        row.begin(flaw);
        row.id("7");
        row.text("a \"b\", c");
        row.flag(true);
        row.optional(None);
        row.optional_time(None);
        row.time(1_769_817_600_000);
        row.end().to_vec()
    }

    #[test]
    fn quotes_and_nulls() {
        assert_eq!(row(None), b"7,\"a \"\"b\"\", c\",1,,\\N,2026-01-31 00:00:00.000\n");
    }

    #[test]
    fn each_flaw_shows_once() {
        let flawed = |reason, serial| row(Some(Flaw { reason, serial }));
        assert!(flawed(Reason::MissingKey, 0).starts_with(b","));
        assert!(std::str::from_utf8(&flawed(Reason::InvalidUtf8, 0)).is_err());
        assert!(flawed(Reason::BadDate, 0).ends_with(b",soon\n"));
        assert!(flawed(Reason::WrongType, 0).ends_with(b",maybe,,\\N,2026-01-31 00:00:00.000\n"));
        assert!(flawed(Reason::WrongType, 1).ends_with(b",surplus\n"));
        assert!(flawed(Reason::WrongType, 2).ends_with(b",1,,\\N\n"));
    }
}
