//! Keys: how their values stand in SQL, and how a table is cut into ranges of them.

use serde::{Deserialize, Serialize};

use crate::decode::hex;

/// How the values of a key are written and compared. A key of another type, or one without an index, gives no ranges: its
/// table is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyKind {
    Number,
    /// Text, compared as the column's collation says.
    Text,
    Bytes,
}

impl KeyKind {
    pub(super) fn of(data_type: &str) -> Option<Self> {
        match data_type {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Some(Self::Number),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "uuid" => Some(Self::Text),
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" => Some(Self::Bytes),
            _ => None,
        }
    }

    /// The value as SQL, whatever it holds; none if a number is none.
    pub(super) fn literal(self, value: &[u8]) -> Option<String> {
        match self {
            Self::Number => std::str::from_utf8(value).ok()?.parse::<i128>().ok().map(|number| number.to_string()),
            Self::Text => Some(format!("_utf8mb4 X'{}'", hex(value))),
            Self::Bytes => Some(format!("X'{}'", hex(value))),
        }
    }
}

/// A part of a key's values: those after one, up to another one that is included. The first part has no lower end and
/// the last no upper one, so what is written while the table is read belongs to a part too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyRange {
    /// As the server writes it, in hexadecimal digits.
    pub(super) after: Option<String>,
    pub(super) up_to: Option<String>,
}

impl KeyRange {
    /// The parts between these values, which ascend.
    pub(super) fn between(values: &[Vec<u8>]) -> Vec<Self> {
        let ends: Vec<String> = values.iter().map(|value| hex(value)).collect();
        let lower = std::iter::once(None).chain(ends.iter().cloned().map(Some));
        let upper = ends.iter().cloned().map(Some).chain(std::iter::once(None));
        lower.zip(upper).map(|(after, up_to)| Self { after, up_to }).collect()
    }
}

/// Numbers that cut the span from the least to the greatest into so many equal parts.
pub(super) fn interpolate(least: i128, greatest: i128, parts: u32) -> Vec<Vec<u8>> {
    let span = greatest.saturating_sub(least);
    let mut cuts: Vec<i128> = (1..parts)
        .map(|part| {
            least
                + span / i128::from(parts) * i128::from(part)
                + span % i128::from(parts) * i128::from(part) / i128::from(parts)
        })
        .filter(|cut| (least..greatest).contains(cut))
        .collect();
    cuts.dedup();
    cuts.into_iter().map(|cut| cut.to_string().into_bytes()).collect()
}

/// The bytes of hexadecimal digits; none if they are no such.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(cuts: &[Vec<u8>]) -> Vec<String> {
        cuts.iter().map(|cut| String::from_utf8(cut.clone()).unwrap()).collect()
    }

    #[test]
    fn spans_are_cut_evenly() {
        assert_eq!(numbers(&interpolate(1, 100, 4)), ["25", "50", "75"]);
        assert_eq!(numbers(&interpolate(-10, 10, 2)), ["0"]);
        assert_eq!(numbers(&interpolate(0, i128::from(u64::MAX), 2)), ["9223372036854775807"]);
        assert_eq!(interpolate(i128::from(i64::MIN), i128::from(u64::MAX), 4_096).len(), 4_095);
        // No more parts than numbers.
        assert_eq!(numbers(&interpolate(7, 9, 100)), ["7", "8"]);
        assert!(interpolate(7, 7, 100).is_empty());
        assert!(interpolate(1, 100, 1).is_empty());
    }

    #[test]
    fn parts_leave_nothing_out() {
        assert_eq!(KeyRange::between(&[]), [KeyRange::default()]);
        let parts = KeyRange::between(&[b"5".to_vec(), b"9".to_vec()]);
        let (five, nine) = (Some("35".to_owned()), Some("39".to_owned()));
        assert_eq!(
            parts,
            [
                KeyRange { after: None, up_to: five.clone() },
                KeyRange { after: five, up_to: nine.clone() },
                KeyRange { after: nine, up_to: None },
            ]
        );
    }

    #[test]
    fn values_cannot_leave_their_literal() {
        assert_eq!(KeyKind::Number.literal(b"18446744073709551615").unwrap(), "18446744073709551615");
        assert_eq!(KeyKind::Number.literal(b"1 OR 1"), None);
        assert_eq!(KeyKind::Text.literal("a'\\\u{e9}".as_bytes()).unwrap(), "_utf8mb4 X'61275cc3a9'");
        assert_eq!(KeyKind::Bytes.literal(&[0, 255]).unwrap(), "X'00ff'");
        assert_eq!(unhex("00ff").unwrap(), [0, 255]);
        assert_eq!((unhex("0"), unhex("zz")), (None, None));
    }
}
