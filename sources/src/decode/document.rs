//! One document to a staging row, whatever its encoding.

use super::plan::{ColumnPlan, ElementPlan, Plan};
use super::{Cell, Failure, Reason, Shape, Staged, Text, Tree};
use crate::column::{Absent, Kind};

/// Marks a slot whose field is not in the document.
const NOWHERE: usize = usize::MAX;

/// A reused staging row.
#[derive(Default)]
pub(crate) struct Row {
    /// One cell a column.
    pub(super) cells: Vec<Cell>,
    /// Cells of list elements; each list's elements stand together.
    pub(super) elements: Vec<Cell>,
    slots: Vec<usize>,
    element_slots: Vec<usize>,
}

impl Row {
    /// Decodes and validates a document in full.
    pub(super) fn decode<T: Tree>(&mut self, plan: &Plan, document: &T) -> Result<(), Failure> {
        self.cells.clear();
        self.elements.clear();
        find(plan, document, document.root(), &mut self.slots);
        let mut absent = 0_u64;
        for (index, column) in plan.columns.iter().enumerate() {
            let decoded = match column.column.kind {
                Kind::Structs(_) | Kind::Ids => Some(self.list(column, document)?),
                kind => decode_scalar(column, kind, document, &self.slots)?,
            };
            let cell = match decoded {
                Some(cell) => cell,
                None => {
                    absent |= 1 << index;
                    missing(column, &self.cells)?
                }
            };
            self.cells.push(cell);
        }
        if let Some(settle) = plan.settle {
            settle(&mut Staged { cells: &mut self.cells, absent, strings: document });
        }
        Ok(())
    }

    /// The first field that holds elements, staged; every field of the column must be a list.
    fn list<T: Tree>(&mut self, column: &ColumnPlan, document: &T) -> Result<Cell, Failure> {
        let mut chosen: Option<(usize, usize, &'static str)> = None;
        for (slot, name) in &column.fields {
            let at = self.slots[*slot];
            match shape(document, at) {
                Shape::Null => {}
                // The first that has elements, else the last.
                Shape::List(len) => {
                    let earlier = chosen.filter(|(_, earlier_len, _)| *earlier_len > 0);
                    chosen = earlier.or(Some((at, len, name)));
                }
                Shape::Object | Shape::Value => return Err(Failure::at(Reason::WrongType, name)),
            }
        }
        let start = self.elements.len();
        let Some((at, len, name)) = chosen else {
            return Ok(Cell::List { start, len: 0 });
        };
        let mut element = document.first(at);
        for _ in 0..len {
            match &column.elements {
                Some(elements) => self.element(elements, document, element),
                None => id(document, element)
                    .and_then(|id| id.ok_or(Reason::MissingKey))
                    .map(|id| self.elements.push(id))
                    .map_err(Failure::whole),
            }
            .map_err(|failure| failure.in_list(name))?;
            element = document.next(element);
        }
        Ok(Cell::List { start, len })
    }

    /// One struct: an object with its fields, or a bare id, which fills the first column.
    fn element<T: Tree>(&mut self, elements: &ElementPlan, document: &T, at: usize) -> Result<(), Failure> {
        let plan = &elements.plan;
        match document.shape(at) {
            Shape::Object => {
                find(plan, document, at, &mut self.element_slots);
                let first = self.elements.len();
                for column in &plan.columns {
                    let kind = column.column.kind;
                    let cell = match decode_scalar(column, kind, document, &self.element_slots)? {
                        Some(cell) => cell,
                        None => missing(column, &self.elements[first..])?,
                    };
                    self.elements.push(cell);
                }
                Ok(())
            }
            Shape::Value if elements.bare_ids => {
                let id = id(document, at).and_then(|id| id.ok_or(Reason::MissingKey)).map_err(Failure::whole)?;
                self.elements.push(id);
                let rest = plan.columns.len() - 1;
                self.elements.extend(std::iter::repeat_n(Cell::Null, rest));
                Ok(())
            }
            _ => Err(Failure::whole(Reason::WrongType)),
        }
    }
}

/// Notes where the last occurrence of each known field of an object is.
fn find<T: Tree>(plan: &Plan, document: &T, object: usize, slots: &mut Vec<usize>) {
    slots.clear();
    slots.resize(plan.keys.len(), NOWHERE);
    document.members(object, |key, at| {
        if let Some(slot) = plan.keys.slot(key) {
            slots[slot] = at;
        }
    });
}

/// The shape of what stands at a position; nowhere is null.
fn shape<T: Tree>(document: &T, at: usize) -> Shape {
    if at == NOWHERE { Shape::Null } else { document.shape(at) }
}

/// The value of a column that is no list, from the first of its fields that is not null; `None` when missing.
fn decode_scalar<T: Tree>(
    column: &ColumnPlan,
    kind: Kind,
    document: &T,
    slots: &[usize],
) -> Result<Option<Cell>, Failure> {
    for (slot, name) in &column.fields {
        let at = slots[*slot];
        match shape(document, at) {
            Shape::Null => {}
            shape => return decode_value(kind, document, shape, at).map_err(|reason| Failure::at(reason, name)),
        }
    }
    Ok(None)
}

fn decode_value<T: Tree>(kind: Kind, document: &T, shape: Shape, at: usize) -> Result<Option<Cell>, Reason> {
    let cell = match kind {
        Kind::Id => return id(document, at),
        Kind::Text => document.text(at).map(Cell::Text)?,
        Kind::Boolean => document.boolean(at).map(Cell::Boolean).ok_or(Reason::WrongType)?,
        Kind::Int => document
            .integer(at)
            .filter(|value| i32::try_from(*value).is_ok())
            .map(Cell::Integer)
            .ok_or(Reason::WrongType)?,
        Kind::Long => document.integer(at).map(Cell::Integer).ok_or(Reason::WrongType)?,
        Kind::Double => {
            document.double(at).filter(|value| value.is_finite()).map(Cell::Double).ok_or(Reason::WrongType)?
        }
        Kind::Time => Cell::Time(document.time(at)?),
        Kind::Present => Cell::Boolean(true),
        Kind::Length => match shape {
            Shape::List(len) => Cell::Integer(i64::try_from(len).map_err(|_| Reason::WrongType)?),
            _ => return Err(Reason::WrongType),
        },
        // Lists are decoded by the row, and elements hold none.
        Kind::Ids | Kind::Structs(_) => return Err(Reason::WrongType),
    };
    Ok(Some(cell))
}

/// An ObjectId or a string; `None` for an empty string, which counts as missing.
fn id<T: Tree>(document: &T, at: usize) -> Result<Option<Cell>, Reason> {
    let text = document.id(at)?;
    let is_empty = matches!(text, Text::At(at) if document.bytes_at(at).is_empty());
    Ok(Some(Cell::Text(text)).filter(|_| !is_empty))
}

/// What a missing value becomes.
pub(super) fn missing(column: &ColumnPlan, earlier: &[Cell]) -> Result<Cell, Failure> {
    Ok(match column.column.absent {
        Absent::Null => Cell::Null,
        Absent::Reject => {
            return Err(Failure::at(Reason::MissingKey, column.preferred_field()));
        }
        Absent::False => Cell::Boolean(false),
        Absent::Zero => Cell::Integer(0),
        Absent::Empty => Cell::List { start: 0, len: 0 },
        Absent::Text(text) => Cell::Text(Text::Literal(text)),
        Absent::Copy(_) => column.copy_of.and_then(|origin| earlier.get(origin).copied()).unwrap_or(Cell::Null),
    })
}

/// A float without fraction that fits 64 bits.
// The bounds are exact powers of two, so the cast neither saturates nor truncates.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn integral(value: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    (value.trunc() == value && (-BOUND..BOUND).contains(&value)).then_some(value as i64)
}

/// Decimal digits with an optional minus.
pub(crate) fn parse_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}
