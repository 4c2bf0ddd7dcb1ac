//! The vocabulary in which a collection is described: columns, their kinds, and where their values come from.
//!
//! A collection is data, not code: the schema, the decoder of documents, the decoder of rows and the builders all
//! read the same table, so they cannot disagree, and a new collection is one small file. The interpretation costs
//! one predictable branch a column, which is small beside the parsing of the document.
//!
//! What cannot be said as "this field, else that" is said in a collection's `settle` function, which sees a fully
//! decoded row.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};

/// The name of a list's child field, as Delta and Parquet writers expect it.
const ELEMENT: &str = "element";

/// One column of a collection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Name in the lake.
    pub(crate) name: &'static str,
    /// What the value is, in the source and in Arrow.
    pub(crate) kind: Kind,
    /// Accepted source fields, the preferred one first. The first that is present and not null is used.
    pub(crate) fields: &'static [&'static str],
    /// What a missing value becomes.
    pub(crate) absent: Absent,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// An ObjectId or a string; empty counts as missing.
    Id,
    /// A string.
    Text,
    /// A boolean.
    Boolean,
    /// A 32-bit integer.
    Int,
    /// A 64-bit integer.
    Long,
    /// A finite 64-bit float.
    Double,
    /// An instant, microseconds UTC.
    Time,
    /// Whether the field has any value, of whatever type, as a boolean.
    Present,
    /// How many elements the field's list has, as a 64-bit integer.
    Length,
    /// A list of ids.
    Ids,
    /// A list of structs.
    Structs(&'static Items),
}

/// The elements of a list of structs.
#[derive(Debug)]
pub(crate) struct Items {
    /// Columns of the struct; no lists.
    pub(crate) columns: &'static [Column],
    /// Whether an element may be a bare id, which then fills the first column.
    pub(crate) bare_ids: bool,
}

/// What a missing value becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Absent {
    /// Null: the column is nullable.
    Null,
    /// The document is rejected: missing key.
    Reject,
    /// False.
    False,
    /// Zero.
    Zero,
    /// An empty list.
    Empty,
    /// This text.
    Text(&'static str),
    /// The value of a column that stands earlier.
    Copy(&'static str),
}

/// The table of a collection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Columns in the order of the lake's table.
    pub(crate) columns: &'static [Column],
    /// Rules that need more than one field; runs when every column has been decoded.
    pub(crate) settle: Option<fn(&mut crate::decode::Staged<'_>)>,
}

impl Layout {
    /// The key alone, which is the first column.
    pub(crate) fn of_key(self) -> Self {
        Self { columns: self.columns.get(..1).unwrap_or_default(), settle: None }
    }
}

impl Column {
    /// A column that is null when missing; lists are empty instead.
    pub(crate) const fn of(name: &'static str, kind: Kind, fields: &'static [&'static str]) -> Self {
        let absent = match kind {
            Kind::Ids | Kind::Structs(_) => Absent::Empty,
            Kind::Present => Absent::False,
            Kind::Length => Absent::Zero,
            _ => Absent::Null,
        };
        Self { name, kind, fields, absent }
    }

    /// The same column, without which a document is rejected.
    pub(crate) const fn required(mut self) -> Self {
        self.absent = Absent::Reject;
        self
    }

    /// The same column with a default.
    pub(crate) const fn or(mut self, absent: Absent) -> Self {
        self.absent = absent;
        self
    }

    fn data_type(&self) -> DataType {
        match self.kind {
            Kind::Id | Kind::Text => DataType::Utf8,
            Kind::Boolean | Kind::Present => DataType::Boolean,
            Kind::Int => DataType::Int32,
            Kind::Long | Kind::Length => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Time => timestamp(),
            Kind::Ids => DataType::List(Arc::new(Field::new(ELEMENT, DataType::Utf8, false))),
            Kind::Structs(items) => {
                let child = DataType::Struct(fields_of(items.columns));
                DataType::List(Arc::new(Field::new(ELEMENT, child, false)))
            }
        }
    }
}

/// The type of every instant in the lake.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Arrow fields of these columns, with the nullability that the lake's contract states.
pub(crate) fn fields_of(columns: &[Column]) -> Fields {
    columns.iter().map(|column| Field::new(column.name, column.data_type(), nullable(columns, column))).collect()
}

/// The Arrow schema of these columns.
pub(crate) fn schema_of(columns: &[Column]) -> Schema {
    Schema::new(fields_of(columns))
}

fn nullable(columns: &[Column], column: &Column) -> bool {
    match column.absent {
        Absent::Null => true,
        // A copy is null where its origin is.
        Absent::Copy(origin) => {
            columns.iter().find(|other| other.name == origin).is_some_and(|other| matches!(other.absent, Absent::Null))
        }
        _ => false,
    }
}

/// The position of a column by name, for use in constants: an unknown name does not compile.
pub(crate) const fn index_of(columns: &[Column], name: &str) -> usize {
    let mut index = 0;
    // Runs out of bounds, which is an error at compile time, if there is none.
    while !same(columns[index].name.as_bytes(), name.as_bytes()) {
        index += 1;
    }
    index
}

const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}
