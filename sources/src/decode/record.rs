//! One row of text fields, from CSV, Parquet or MySQL, to a staging row.

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
#[derive(Debug, Default)]
pub(crate) struct Fields {
    text: String,
    /// For each field where it ends, and whether it is null.
    ends: Vec<(usize, bool)>,
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Appends a field.
    pub(crate) fn push(&mut self, value: Option<&str>) {
        self.text.push_str(value.unwrap_or_default());
        self.ends.push((self.text.len(), value.is_none()));
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all fields.
    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// A field that exists and is not null.
    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        let (end, null) = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before)?.0,
            None => 0,
        };
        self.text.get(start..end).filter(|_| !null)
    }
}

impl Strings for Fields {
    fn at(&self, position: usize) -> &str {
        self.get(position).unwrap_or_default()
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
        for (index, column) in self.plan.columns.iter().enumerate() {
            let cell = match decode_column(column, &self.sources[index], fields)? {
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
        if let Some(text) = fields.get(*index) {
            return decode_field(column.column.kind, text, *index).map_err(|reason| Failure::at(reason, name));
        }
    }
    Ok(None)
}

fn decode_field(kind: Kind, text: &str, at: usize) -> Result<Option<Cell>, Reason> {
    let cell = match kind {
        Kind::Text => Cell::Text(Text::At(at)),
        // Empty means missing wherever an empty text is no value of the column.
        _ if text.is_empty() => return Ok(None),
        Kind::Id => Cell::Text(Text::At(at)),
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
        Kind::Length | Kind::Ids | Kind::Structs(_) => return Err(Reason::WrongType),
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

/// An integer, also as the float without fraction that tools write for nullable integers.
fn number(text: &str) -> Option<i64> {
    parse_integer(text).or_else(|| integral(text.parse().ok()?))
}
