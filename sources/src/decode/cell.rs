//! The staging row: decoded values that own nothing.

/// A decoded value. Strings are positions in the document or row that is being decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell {
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    /// Microseconds since 1970.
    Time(i64),
    Text(Text),
    /// A range of the staged elements: first cell, number of elements.
    List {
        start: usize,
        len: usize,
    },
}

impl Cell {
    pub(crate) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Where a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// The string at this position.
    At(usize),
    /// The ObjectId at this position.
    ObjectId(usize),
    /// A constant.
    Literal(&'static str),
}

/// The strings that positions refer to.
pub(crate) trait Strings {
    /// The string at a position; empty if there is none.
    fn at(&self, position: usize) -> &str;

    /// Its bytes, which an encoding may have without checking once more that they are text.
    fn bytes_at(&self, position: usize) -> &[u8] {
        self.at(position).as_bytes()
    }

    /// The hex digits, in lower case, of the ObjectId at a position; zeros if there is none.
    fn object_id(&self, position: usize) -> [u8; OBJECT_ID_DIGITS];
}

/// Hex digits of an ObjectId.
pub(crate) const OBJECT_ID_DIGITS: usize = 24;

/// A decoded row before it is appended, as the rules of a collection see it.
pub(crate) struct Staged<'a> {
    /// One cell a column.
    pub(crate) cells: &'a mut [Cell],
    /// One bit a column: whether the source had no value for it.
    pub(crate) absent: u64,
    pub(crate) strings: &'a dyn Strings,
}

impl Staged<'_> {
    /// Whether the source had no value for this column.
    pub(crate) const fn was_absent(&self, column: usize) -> bool {
        self.absent & (1 << column) != 0
    }

    /// The text of a column of strings that is not null.
    pub(crate) fn text(&self, column: usize) -> Option<&str> {
        match self.cells.get(column)? {
            Cell::Text(Text::At(at)) => Some(self.strings.at(*at)),
            Cell::Text(Text::Literal(text)) => Some(text),
            _ => None,
        }
    }
}
