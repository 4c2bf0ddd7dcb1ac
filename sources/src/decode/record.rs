//! One row of text fields, from CSV, Parquet or MySQL, to a staging row.

use std::borrow::Cow;

use arrow::record_batch::RecordBatch;

use super::document::{integral, missing, parse_integer};
use super::plan::{ColumnPlan, Plan};
use super::{BatchBuilder, Cell, Failure, OBJECT_ID_DIGITS, Place, Reason, Reject, Staged, Strings, Text};
use crate::column::{Absent, Kind};
use crate::instant;
use crate::json::redact;
use crate::json::secret::is_withheld_column;
use crate::{Collection, SourceError};

/// The fields of one row, reused from row to row.
#[derive(Debug)]
pub(crate) struct Fields {
    text: String,
    /// A zero, then for each field where it ends, and whether it is null.
    ends: Vec<(usize, bool)>,
}

impl Default for Fields {
    fn default() -> Self {
        Self { text: String::new(), ends: vec![(0, false)] }
    }
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.truncate(1);
    }

    /// Appends a field.
    pub(crate) fn push(&mut self, value: Option<&str>) {
        self.text.push_str(value.unwrap_or_default());
        self.ends.push((self.text.len(), value.is_none()));
    }

    /// Takes these values for the fields; false if one of them is not UTF-8, in whose place U+FFFD then stands.
    pub(crate) fn fill<'a>(&mut self, values: impl Iterator<Item = Option<&'a [u8]>> + Clone) -> bool {
        self.clear();
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        for value in values.clone() {
            if let Some(value) = value {
                bytes.extend_from_slice(value);
            }
            self.ends.push((bytes.len(), value.is_none()));
        }
        // One look at all of them: each is text if the whole is, and no character goes over the end of one.
        match String::from_utf8(bytes) {
            Ok(text) if self.ends.iter().all(|(end, _)| text.is_char_boundary(*end)) => {
                self.text = text;
                true
            }
            _ => self.fill_lossily(values),
        }
    }

    /// Value by value, since looking for what to replace costs several times what looking at it does.
    #[cold]
    fn fill_lossily<'a>(&mut self, values: impl Iterator<Item = Option<&'a [u8]>>) -> bool {
        self.clear();
        let mut is_valid = true;
        for value in values {
            let text = value.map(String::from_utf8_lossy);
            is_valid &= !matches!(text, Some(Cow::Owned(_)));
            self.push(text.as_deref());
        }
        is_valid
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// Bytes of all fields.
    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// A field that exists and is not null.
    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        let (start, end, is_null) = self.bounds(index)?;
        self.text.get(start..end).filter(|_| !is_null)
    }

    /// Bytes of a field that exists and is not null.
    fn len_of(&self, index: usize) -> Option<usize> {
        self.bounds(index).filter(|(_, _, is_null)| !is_null).map(|(start, end, _)| end - start)
    }

    /// Where a field begins and ends, and whether it is null.
    fn bounds(&self, index: usize) -> Option<(usize, usize, bool)> {
        let [(start, _), (end, is_null)] = self.ends.get(index..)?.first_chunk::<2>()?;
        Some((*start, *end, *is_null))
    }
}

impl Strings for Fields {
    fn at(&self, position: usize) -> &str {
        self.get(position).unwrap_or_default()
    }

    /// What [`at`](Self::at) gives; a null field is empty.
    fn bytes_at(&self, position: usize) -> &[u8] {
        self.bounds(position).and_then(|(start, end, _)| self.text.as_bytes().get(start..end)).unwrap_or_default()
    }

    /// Never asked: fields of rows hold no ObjectIds but as plain text.
    fn object_id(&self, _position: usize) -> [u8; OBJECT_ID_DIGITS] {
        [b'0'; OBJECT_ID_DIGITS]
    }
}

/// Decodes rows of one table whose fields are text.
pub(crate) struct RecordDecoder {
    plan: Plan,
    header: Vec<String>,
    /// The field by which a rejected row is found again, where that is not its line.
    key: Option<usize>,
    /// For each column, where its accepted fields stand in the row and their names.
    sources: Vec<Vec<(usize, &'static str)>>,
    cells: Vec<Cell>,
    batch: BatchBuilder,
}

impl RecordDecoder {
    /// A decoder for rows with these columns, of which unknown ones are ignored. Names are compared without regard
    /// to ASCII case and surrounding spaces; of equal names the last counts.
    ///
    /// # Errors
    /// The name of a column without which no row can be decoded, if the header lacks it.
    pub(crate) fn new(
        collection: Collection,
        projection: Option<&[usize]>,
        header: Vec<String>,
    ) -> Result<Self, &'static str> {
        Self::with(Plan::new(collection.layout()), collection, projection, header)
    }

    /// A decoder that looks at nothing but the key, which is the collection's first column; all others are null.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn of_ids(
        collection: Collection,
        projection: Option<&[usize]>,
        header: Vec<String>,
    ) -> Result<Self, &'static str> {
        Self::with(Plan::new(collection.layout().of_key()), collection, projection, header)
    }

    fn with(
        plan: Plan,
        collection: Collection,
        projection: Option<&[usize]>,
        header: Vec<String>,
    ) -> Result<Self, &'static str> {
        let find = |name: &str| header.iter().rposition(|column| column.trim().eq_ignore_ascii_case(name));
        let mut sources = Vec::with_capacity(plan.columns.len());
        for column in &plan.columns {
            let found: Vec<(usize, &'static str)> =
                column.fields.iter().filter_map(|(_, name)| Some((find(name)?, *name))).collect();
            if found.is_empty() && matches!(column.column.absent, Absent::Reject) {
                return Err(column.preferred_field());
            }
            sources.push(found);
        }
        Ok(Self {
            plan,
            header,
            key: None,
            sources,
            cells: Vec::new(),
            batch: BatchBuilder::new(collection, projection),
        })
    }

    /// The same decoder, which tells the place of a rejected row by this field, where the row has it.
    pub(crate) fn keyed_by(mut self, field: usize) -> Self {
        self.key = Some(field);
        self
    }

    /// How many fields a row must have.
    pub(crate) fn width(&self) -> usize {
        self.header.len()
    }

    /// Decodes one row. `digest` gives the digest of the row's bytes, asked only for a reject.
    pub(crate) fn push(&mut self, fields: &Fields, bytes: usize, place: Place, digest: impl FnOnce() -> String) {
        match self.decode(fields) {
            Ok(()) => self.batch.push(&self.cells, &[], fields, place, bytes),
            Err(failure) => self.batch.push_reject(Reject {
                sha256: digest(),
                raw: redact::bounded(self.raw(fields)),
                failure,
                place,
                id: self.id(fields),
            }),
        }
    }

    /// Rejects a row whose fields cannot be told apart; nothing of it is stored, since a secret could stand in
    /// any place.
    pub(crate) fn push_unreadable(&mut self, reason: Reason, sha256: String, place: Place) {
        self.batch.push_reject(Reject {
            sha256,
            raw: "{}".to_owned(),
            failure: Failure::whole(reason),
            place,
            id: None,
        });
    }

    /// Rejects a row with text that is not UTF-8.
    pub(crate) fn push_invalid_text(&mut self, fields: &Fields, sha256: String, place: Place) {
        self.batch.push_reject(Reject {
            sha256,
            raw: redact::bounded(self.raw(fields)),
            failure: Failure::whole(Reason::InvalidUtf8),
            place,
            id: self.id(fields),
        });
    }

    /// Appends the tally of a file.
    pub(crate) fn push_tally(&mut self, read: u64) {
        self.batch.push_tally(read);
    }

    /// Whether the batch has reached its size and should be finished.
    pub(crate) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// See [`Decoder::finish`](super::Decoder::finish).
    ///
    /// # Errors
    /// [`SourceError::Batch`] if Arrow refuses the columns, which is a mistake in the table of the collection.
    pub(crate) fn finish(&mut self, file: &str) -> Result<RecordBatch, SourceError> {
        self.batch.finish(file, 0)
    }

    fn decode(&mut self, fields: &Fields) -> Result<(), Failure> {
        if fields.len() != self.header.len() {
            return Err(Failure::whole(Reason::WrongType));
        }
        self.cells.clear();
        let mut absent = 0_u64;
        for (index, (column, sources)) in self.plan.columns.iter().zip(&self.sources).enumerate() {
            // The short way, which most fields go.
            if let Some((at, _)) = sources.first()
                && let Some(len) = fields.len_of(*at)
                && stays_text(column.column.kind, len)
            {
                self.cells.push(Cell::Text(Text::At(*at)));
                continue;
            }
            let cell = match decode_column(column, sources, fields)? {
                Some(cell) => cell,
                None => {
                    absent |= 1 << index;
                    missing(column, &self.cells)?
                }
            };
            self.cells.push(cell);
        }
        if let Some(settle) = self.plan.settle {
            settle(&mut Staged { cells: &mut self.cells, absent, strings: fields });
        }
        Ok(())
    }

    fn id(&self, fields: &Fields) -> Option<String> {
        self.key.and_then(|key| fields.get(key)).map(str::to_owned)
    }

    /// The row as a JSON object without secret columns. In a row with too few or too many fields names and values
    /// may be shifted against each other, so where the table has a secret column only the first field is kept.
    fn raw(&self, fields: &Fields) -> String {
        let has_secrets = self.header.iter().any(|name| is_withheld_column(name));
        let kept = if has_secrets && fields.len() != self.header.len() { 1 } else { fields.len() };
        row_json(&self.header, fields, kept, is_withheld_column)
    }
}

/// The first `kept` fields of a row as a JSON object, without the columns that are withheld. Fields beyond the header
/// stand in `_rest`.
pub(crate) fn row_json(header: &[String], fields: &Fields, kept: usize, withheld: impl Fn(&str) -> bool) -> String {
    let mut raw = String::from("{");
    let mut member = |name: &str, value: serde_json::Value| {
        if raw.len() > 1 {
            raw.push(',');
        }
        raw.push_str(&serde_json::Value::from(name).to_string());
        raw.push(':');
        raw.push_str(&value.to_string());
    };
    for (name, index) in header.iter().zip(0..kept) {
        if !withheld(name) {
            member(name, fields.get(index).into());
        }
    }
    if kept > header.len() {
        let rest: Vec<Option<&str>> = (header.len()..kept).map(|index| fields.get(index)).collect();
        member("_rest", rest.into());
    }
    raw.push('}');
    raw
}

fn decode_column(
    column: &ColumnPlan,
    sources: &[(usize, &'static str)],
    fields: &Fields,
) -> Result<Option<Cell>, Failure> {
    for (index, name) in sources {
        if let Some(len) = fields.len_of(*index) {
            return decode_field(column.column.kind, fields, *index, len).map_err(|reason| Failure::at(reason, name));
        }
    }
    Ok(None)
}

/// A field of so many bytes, which is not null.
fn decode_field(kind: Kind, fields: &Fields, at: usize, len: usize) -> Result<Option<Cell>, Reason> {
    match kind {
        _ if stays_text(kind, len) => Ok(Some(Cell::Text(Text::At(at)))),
        // Empty means missing wherever an empty text is no value of the column.
        _ if len == 0 => Ok(None),
        _ => decode_text(kind, fields.at(at)),
    }
}

/// Whether a field of so many bytes is a value as it is.
const fn stays_text(kind: Kind, len: usize) -> bool {
    match kind {
        Kind::Text => true,
        Kind::Id => len > 0,
        _ => false,
    }
}

fn decode_text(kind: Kind, text: &str) -> Result<Option<Cell>, Reason> {
    let cell = match kind {
        Kind::Boolean => boolean(text).map(Cell::Boolean).ok_or(Reason::WrongType)?,
        Kind::Int => {
            number(text).filter(|value| i32::try_from(*value).is_ok()).map(Cell::Integer).ok_or(Reason::WrongType)?
        }
        Kind::Long => number(text).map(Cell::Integer).ok_or(Reason::WrongType)?,
        Kind::Double => {
            text.parse().ok().filter(|value: &f64| value.is_finite()).map(Cell::Double).ok_or(Reason::WrongType)?
        }
        // MySQL's zero date is its null.
        Kind::Time if text.starts_with("0000-00-00") => return Ok(None),
        Kind::Time => instant::from_iso(text).map(Cell::Time).ok_or(Reason::BadDate)?,
        Kind::Present => Cell::Boolean(true),
        Kind::Text | Kind::Id | Kind::Length | Kind::Ids | Kind::Structs(_) => return Err(Reason::WrongType),
    };
    Ok(Some(cell))
}

fn boolean(text: &str) -> Option<bool> {
    if text == "1" || text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text == "0" || text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// An integer, also as the decimal or the float without fraction that databases and tools write for one.
fn number(text: &str) -> Option<i64> {
    parse_integer(text).or_else(|| {
        let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match text.split_once('.') {
            // Not by way of a float, which has no place for all digits.
            Some((whole, fraction)) if is_digits(whole.trim_start_matches('-')) && is_digits(fraction) => {
                parse_integer(whole).filter(|_| fraction.bytes().all(|digit| digit == b'0'))
            }
            _ => integral(text.parse().ok()?),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(fields: &Fields) -> Vec<Option<&str>> {
        (0..fields.len()).map(|index| fields.get(index)).collect()
    }

    #[test]
    fn fields_are_told_apart() {
        let mut fields = Fields::default();
        assert_eq!((fields.len(), fields.get(0)), (0, None));
        for row in [vec![Some("a"), None, Some(""), Some("\u{e9}\u{1f600}")], vec![], vec![None], vec![Some("b")]] {
            assert!(fields.fill(row.iter().map(|value| value.map(str::as_bytes))));
            assert_eq!(found(&fields), row);
            fields.clear();
            row.iter().for_each(|value| fields.push(*value));
            assert_eq!(found(&fields), row);
            for (index, value) in row.iter().enumerate() {
                assert_eq!(fields.bytes_at(index), value.unwrap_or_default().as_bytes());
            }
            assert_eq!((fields.get(row.len()), fields.bytes_at(row.len())), (None, [].as_slice()));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_found_wherever_they_are() {
        let mut fields = Fields::default();
        let check = |fields: &mut Fields, row: &[&[u8]]| fields.fill(row.iter().map(|value| Some(*value)));
        assert!(!check(&mut fields, &[b"a", b"\xff\x00", b"b"]));
        assert_eq!(found(&fields), [Some("a"), Some("\u{fffd}\0"), Some("b")]);
        // Together these are a character, but neither is text on its own.
        assert!(!check(&mut fields, &[b"\xc3", b"\xa9"]));
        assert_eq!(found(&fields), [Some("\u{fffd}"), Some("\u{fffd}")]);
        assert!(check(&mut fields, &[b"\xc3\xa9", b""]));
        assert_eq!(found(&fields), [Some("\u{e9}"), Some("")]);
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        for (text, value) in [
            ("9007199254740993.00", Some(9_007_199_254_740_993)),
            ("-9007199254740993.0", Some(-9_007_199_254_740_993)),
            ("9223372036854775807.000", Some(i64::MAX)),
            ("5", Some(5)),
            ("5.0", Some(5)),
            ("5e3", Some(5_000)),
            ("5.5", None),
            ("9223372036854775808.0", None),
            ("9007199254740993.5", None),
            ("--5.0", None),
            ("words", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }
}
