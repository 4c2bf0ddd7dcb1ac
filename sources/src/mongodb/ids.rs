//! Ranges of `_id`.
//!
//! A comparison in a query matches values of one type only, so a range is of one type: ObjectIds, texts, or all the
//! rest together. The first range of a type has no lower bound and the last no upper one: what is written between
//! planning and reading falls into some range all the same.

use std::str::FromStr;

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use serde::{Deserialize, Serialize};

/// A part of all values of `_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum IdRange {
    /// ObjectIds; bounds as hex digits.
    ObjectIds(Span),
    /// Texts.
    Texts(Span),
    /// Everything that is neither. The contract takes no such document, so they will be put aside; but not unread.
    Others,
}

/// Bounds: the lower one belongs to the span, the upper one does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) from: Option<String>,
    pub(super) until: Option<String>,
}

/// The types that are cut into ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdType {
    ObjectId,
    Text,
}

impl IdType {
    pub(super) const ALL: [Self; 2] = [Self::ObjectId, Self::Text];

    /// The type of a value, if it is one of these.
    pub(super) fn of(id: &Bson) -> Option<Self> {
        match id {
            Bson::ObjectId(_) => Some(Self::ObjectId),
            Bson::String(_) => Some(Self::Text),
            _ => None,
        }
    }

    /// The least value.
    fn least(self) -> Bson {
        match self {
            Self::ObjectId => ObjectId::from_bytes([0; 12]).into(),
            Self::Text => "".into(),
        }
    }

    /// All values of the type, cut at these values, which ascend.
    pub(super) fn cut(self, bounds: &[String]) -> Vec<IdRange> {
        let from = std::iter::once(None).chain(bounds.iter().map(Some));
        let until = bounds.iter().map(Some).chain([None]);
        let spans = from.zip(until).map(|(from, until)| Span { from: from.cloned(), until: until.cloned() });
        match self {
            Self::ObjectId => spans.map(IdRange::ObjectIds).collect(),
            Self::Text => spans.map(IdRange::Texts).collect(),
        }
    }

    /// The filter of all values.
    pub(super) fn filter(self) -> Document {
        doc! { "_id": { "$gte": self.least() } }
    }
}

impl IdRange {
    /// The filter of the range, or of what lies behind a value in it.
    pub(super) fn filter(&self, after: Option<&Bson>) -> Document {
        let (kind, span) = match self {
            Self::ObjectIds(span) => (IdType::ObjectId, span),
            Self::Texts(span) => (IdType::Text, span),
            // By comparisons, since an index knows where values of a type begin and end; of `$type` it does not know
            // where they are not.
            Self::Others => {
                let not_of = |kind: IdType| doc! { "_id": { "$not": { "$gte": kind.least() } } };
                return doc! { "$and": IdType::ALL.map(not_of).to_vec() };
            }
        };
        let bound = |text: &String| match kind {
            IdType::ObjectId => ObjectId::from_str(text).map_or(kind.least(), Bson::from),
            IdType::Text => text.into(),
        };
        let mut comparison = match (after, &span.from) {
            (Some(after), _) => doc! { "$gt": after },
            (None, Some(from)) => doc! { "$gte": bound(from) },
            (None, None) => doc! { "$gte": kind.least() },
        };
        if let Some(until) = &span.until {
            comparison.insert("$lt", bound(until));
        }
        doc! { "_id": comparison }
    }

    /// Whether reading can go on behind a value: only among values of one type does "behind" mean something.
    pub(super) fn is_resumable(&self) -> bool {
        !matches!(self, Self::Others)
    }
}

/// A value as the text of a bound.
pub(super) fn bound_text(id: &Bson) -> Option<String> {
    match id {
        Bson::ObjectId(id) => Some(id.to_hex()),
        Bson::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// Bounds between two values of one type that cut what lies between them into so many parts, as if values were spread
/// evenly: the way out for servers that cannot be asked for a sample.
pub(super) fn interpolate(least: &Bson, greatest: &Bson, parts: u32) -> Vec<String> {
    let mut bounds = match (least, greatest) {
        (Bson::ObjectId(least), Bson::ObjectId(greatest)) => {
            between(number(&least.bytes()), number(&greatest.bytes()), parts)
                .map(|bound| ObjectId::from_bytes(bytes_of(bound)).to_hex())
                .collect()
        }
        (Bson::String(least), Bson::String(greatest)) => texts_between(least, greatest, parts),
        _ => Vec::new(),
    };
    bounds.dedup();
    bounds
}

fn between(least: u128, greatest: u128, parts: u32) -> impl Iterator<Item = u128> {
    let width = greatest.saturating_sub(least);
    let parts = u128::from(parts.max(1));
    // An id has 96 bits and there are fewer than 2^32 parts: the product fits.
    (1..parts).map(move |part| least + width * part / parts)
}

fn number(bytes: &[u8; 12]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn bytes_of(number: u128) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&number.to_be_bytes()[4..]);
    bytes
}

/// How many characters after the common beginning tell texts apart.
const DIGITS: u32 = 6;
const FIRST_CHARACTER: u8 = b' ';
const CHARACTERS: u128 = 95;

/// Texts as numbers whose digits are the printable ASCII characters behind their common beginning.
fn texts_between(least: &str, greatest: &str, parts: u32) -> Vec<String> {
    let common: usize = least
        .chars()
        .zip(greatest.chars())
        .take_while(|(a, b)| a == b)
        .map(|(character, _)| character.len_utf8())
        .sum();
    let digits = |text: &str| {
        let mut bytes = text.as_bytes()[common..].iter();
        (0..DIGITS).fold(0, |number: u128, _| {
            let byte = bytes.next().copied().unwrap_or(FIRST_CHARACTER);
            let digit = u128::from(byte.saturating_sub(FIRST_CHARACTER)).min(CHARACTERS - 1);
            number * CHARACTERS + digit
        })
    };
    let text = |mut number: u128| {
        let mut behind = [FIRST_CHARACTER; DIGITS as usize];
        for place in behind.iter_mut().rev() {
            // Less than 95, so it stays ASCII.
            *place += u8::try_from(number % CHARACTERS).unwrap_or_default();
            number /= CHARACTERS;
        }
        behind.iter().fold(least[..common].to_owned(), |mut text, byte| {
            text.push(char::from(*byte));
            text
        })
    };
    let found = between(digits(least), digits(greatest), parts).map(text);
    // Of texts with characters beyond ASCII the numbers are rough: only what does lie between is a bound.
    found.filter(|bound| bound.as_str() > least && bound.as_str() <= greatest).collect()
}

/// Bounds that cut a sorted sample into so many parts of about equal size.
pub(super) fn quantiles(sample: &[String], parts: u32) -> Vec<String> {
    let parts = parts.max(1) as usize;
    let mut bounds: Vec<String> =
        (1..parts).filter_map(|part| sample.get(sample.len() * part / parts)).cloned().collect();
    bounds.dedup();
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(hex: &str) -> Bson {
        ObjectId::from_str(hex).unwrap().into()
    }

    #[test]
    fn spans_of_a_type_touch_and_are_open_at_both_ends() {
        let ranges = IdType::Text.cut(&["g".to_owned(), "p".to_owned()]);
        let filters: Vec<Document> = ranges.iter().map(|range| range.filter(None)).collect();
        assert_eq!(
            filters,
            [
                doc! { "_id": { "$gte": "", "$lt": "g" } },
                doc! { "_id": { "$gte": "g", "$lt": "p" } },
                doc! { "_id": { "$gte": "p" } },
            ]
        );
        assert_eq!(ranges[1].filter(Some(&"k".into())), doc! { "_id": { "$gt": "k", "$lt": "p" } });
        assert_eq!(
            IdType::ObjectId.cut(&[])[0].filter(None),
            doc! { "_id": { "$gte": oid("000000000000000000000000") } }
        );
    }

    #[test]
    fn object_ids_are_cut_by_their_time() {
        let bounds = interpolate(&oid("650000000000000000000000"), &oid("690000000000000000000000"), 4);
        assert_eq!(bounds, ["660000000000000000000000", "670000000000000000000000", "680000000000000000000000"]);
        let same = oid("650000000000000000000000");
        assert_eq!(interpolate(&same, &same, 4), ["650000000000000000000000"]);
    }

    #[test]
    fn texts_are_cut_behind_their_common_beginning() {
        let bounds = interpolate(&"user-0000".into(), &"user-9999".into(), 3);
        assert_eq!(bounds.len(), 2);
        assert!(bounds[0].starts_with("user-3") && bounds[1].starts_with("user-6"), "{bounds:?}");
        for (least, greatest) in [("a", "é"), ("é", "ü"), ("", "zz"), ("x", "x"), ("ab", "abc")] {
            let bounds = interpolate(&least.into(), &greatest.into(), 5);
            assert!(bounds.is_sorted(), "{bounds:?}");
            assert!(bounds.iter().all(|bound| bound.as_str() > least && bound.as_str() <= greatest), "{bounds:?}");
        }
    }

    #[test]
    fn a_sample_is_cut_into_equal_parts() {
        let sample: Vec<String> = (10..20).map(|number| number.to_string()).collect();
        assert_eq!(quantiles(&sample, 5), ["12", "14", "16", "18"]);
        assert_eq!(quantiles(&sample, 1), Vec::<String>::new());
        assert_eq!(quantiles(&[], 3), Vec::<String>::new());
        assert_eq!(quantiles(&["a".to_owned()], 3), ["a"]);
    }
}
