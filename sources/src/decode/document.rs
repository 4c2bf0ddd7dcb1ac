//! One JSON document to a staging row.

use simd_json::{Node, StaticNode};

use super::plan::{ColumnPlan, ElementPlan, Plan};
use super::{Cell, Failure, Reason, Staged, Strings, Text};
use crate::column::{Absent, Kind};
use crate::instant;
use crate::json::Document;

/// Marks a slot whose field is not in the document.
const NOWHERE: usize = usize::MAX;

impl Strings for Document<'_> {
    fn at(&self, position: usize) -> &str {
        self.string(position)
    }
}

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
    pub(super) fn decode(&mut self, plan: &Plan, document: &Document<'_>) -> Result<(), Failure> {
        self.cells.clear();
        self.elements.clear();
        find(plan, document, 0, &mut self.slots);
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
    fn list(&mut self, column: &ColumnPlan, document: &Document<'_>) -> Result<Cell, Failure> {
        let mut chosen: Option<(usize, usize, &'static str)> = None;
        for (slot, name) in &column.fields {
            let at = self.slots[*slot];
            match value(document, at) {
                None => {}
                // The first that has elements, else the last.
                Some(Node::Array { len, .. }) => {
                    let earlier = chosen.filter(|(_, earlier_len, _)| *earlier_len > 0);
                    chosen = earlier.or(Some((at, len, name)));
                }
                Some(_) => return Err(Failure::at(Reason::WrongType, name)),
            }
        }
        let start = self.elements.len();
        let Some((at, len, name)) = chosen else {
            return Ok(Cell::List { start, len: 0 });
        };
        let mut element = at + 1;
        for _ in 0..len {
            match &column.elements {
                Some(elements) => self.element(elements, document, element),
                None => id(document, element)
                    .and_then(|id| id.ok_or(Reason::MissingKey))
                    .map(|id| self.elements.push(id))
                    .map_err(Failure::whole),
            }
            .map_err(|failure| failure.in_list(name))?;
            element = document.after(element);
        }
        Ok(Cell::List { start, len })
    }

    /// One struct: an object with its fields, or a bare id, which fills the first column.
    fn element(&mut self, elements: &ElementPlan, document: &Document<'_>, at: usize) -> Result<(), Failure> {
        let plan = &elements.plan;
        match document.node(at) {
            Node::Object { .. } if !is_extended_value(document, at) => {
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
            Node::Object { .. } | Node::String(_) if elements.bare_ids => {
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
fn find(plan: &Plan, document: &Document<'_>, object: usize, slots: &mut Vec<usize>) {
    slots.clear();
    slots.resize(plan.keys.len(), NOWHERE);
    document.members(object, |key, at| {
        if let Some(slot) = plan.keys.slot(key) {
            slots[slot] = at;
        }
    });
}

/// The value at a position, unless it is null or nowhere.
fn value<'t>(document: &Document<'t>, at: usize) -> Option<Node<'t>> {
    if at == NOWHERE {
        return None;
    }
    Some(document.node(at)).filter(|node| !matches!(node, Node::Static(StaticNode::Null)))
}

/// The value of a column that is no list, from the first of its fields that is not null; `None` when missing.
fn decode_scalar(
    column: &ColumnPlan,
    kind: Kind,
    document: &Document<'_>,
    slots: &[usize],
) -> Result<Option<Cell>, Failure> {
    for (slot, name) in &column.fields {
        let at = slots[*slot];
        if let Some(node) = value(document, at) {
            return decode_value(kind, document, node, at).map_err(|reason| Failure::at(reason, name));
        }
    }
    Ok(None)
}

fn decode_value(kind: Kind, document: &Document<'_>, node: Node<'_>, at: usize) -> Result<Option<Cell>, Reason> {
    let cell = match kind {
        Kind::Id => return id(document, at),
        Kind::Text => text(document, node, at).map(Cell::Text)?,
        Kind::Boolean => match node {
            Node::Static(StaticNode::Bool(value)) => Cell::Boolean(value),
            _ => return Err(Reason::WrongType),
        },
        Kind::Int => integer(document, node, at)
            .and_then(|value| i32::try_from(value).ok())
            .map(|value| Cell::Integer(value.into()))
            .ok_or(Reason::WrongType)?,
        Kind::Long => integer(document, node, at).map(Cell::Integer).ok_or(Reason::WrongType)?,
        Kind::Double => double(document, node, at).map(Cell::Double).ok_or(Reason::WrongType)?,
        Kind::Time => Cell::Time(time(document, node, at)?),
        Kind::Present => Cell::Boolean(true),
        Kind::Length => match node {
            Node::Array { len, .. } => Cell::Integer(i64::try_from(len).map_err(|_| Reason::WrongType)?),
            _ => return Err(Reason::WrongType),
        },
        // Lists are decoded by the row, and elements hold none.
        Kind::Ids | Kind::Structs(_) => return Err(Reason::WrongType),
    };
    Ok(Some(cell))
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

/// Whether an object is a value of extended JSON, such as `{"$oid": ...}`, and not a struct.
fn is_extended_value(document: &Document<'_>, at: usize) -> bool {
    let mut extended = false;
    document.members(at, |key, _| extended |= key.starts_with('$'));
    extended
}

fn text(document: &Document<'_>, node: Node<'_>, at: usize) -> Result<Text, Reason> {
    match node {
        Node::String(_) if document.has_lone_surrogate(at) => Err(Reason::InvalidUtf8),
        Node::String(_) => Ok(Text::At(at)),
        _ => Err(Reason::WrongType),
    }
}

/// An ObjectId or a string; `None` for an empty string, which counts as missing.
fn id(document: &Document<'_>, at: usize) -> Result<Option<Cell>, Reason> {
    let node = document.node(at);
    if let Node::Object { .. } = node {
        return match document.only_member(at) {
            Some(("$oid", value)) if is_object_id(document.string(value)) => {
                Ok(Some(Cell::Text(Text::ObjectId(value))))
            }
            _ => Err(Reason::WrongType),
        };
    }
    let text = text(document, node, at)?;
    Ok(Some(Cell::Text(text)).filter(|_| !document.string(at).is_empty()))
}

fn is_object_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn integer(document: &Document<'_>, node: Node<'_>, at: usize) -> Option<i64> {
    match node {
        Node::Static(StaticNode::I64(value)) => Some(value),
        Node::Static(StaticNode::U64(value)) => i64::try_from(value).ok(),
        Node::Static(StaticNode::F64(value)) => integral(value),
        Node::Object { .. } => match document.only_member(at)? {
            ("$numberInt" | "$numberLong", value) => parse_integer(string(document, value)?),
            ("$numberDouble", value) => integral(string(document, value)?.parse().ok()?),
            _ => None,
        },
        _ => None,
    }
}

// Precision is lost only where the source's own number has more digits than a double.
#[allow(clippy::cast_precision_loss)]
fn double(document: &Document<'_>, node: Node<'_>, at: usize) -> Option<f64> {
    let value = match node {
        Node::Static(StaticNode::I64(value)) => value as f64,
        Node::Static(StaticNode::U64(value)) => value as f64,
        Node::Static(StaticNode::F64(value)) => value,
        Node::Object { .. } => match document.only_member(at)? {
            ("$numberInt" | "$numberLong", value) => parse_integer(string(document, value)?)? as f64,
            ("$numberDouble", value) => string(document, value)?.parse().ok()?,
            _ => return None,
        },
        _ => return None,
    };
    value.is_finite().then_some(value)
}

fn time(document: &Document<'_>, node: Node<'_>, at: usize) -> Result<i64, Reason> {
    let micros = match node {
        Node::String(text) => iso(document, text, at)?,
        Node::Static(_) => plain_integer(node).and_then(instant::from_millis),
        Node::Object { .. } => match document.only_member(at) {
            Some(("$date", inner)) => date_member(document, inner)?,
            Some(("$numberLong" | "$numberInt", value)) => millis_text(document, value),
            _ => None,
        },
        Node::Array { .. } => None,
    };
    micros.ok_or(Reason::BadDate)
}

/// What stands under `$date`: ISO text, a number, or a `$numberLong`.
fn date_member(document: &Document<'_>, at: usize) -> Result<Option<i64>, Reason> {
    Ok(match document.node(at) {
        Node::String(text) => iso(document, text, at)?,
        node @ Node::Static(_) => plain_integer(node).and_then(instant::from_millis),
        Node::Object { .. } => match document.only_member(at) {
            Some(("$numberLong", value)) => millis_text(document, value),
            _ => None,
        },
        Node::Array { .. } => None,
    })
}

fn iso(document: &Document<'_>, text: &str, at: usize) -> Result<Option<i64>, Reason> {
    if document.has_lone_surrogate(at) {
        return Err(Reason::InvalidUtf8);
    }
    Ok(instant::from_iso(text))
}

fn millis_text(document: &Document<'_>, at: usize) -> Option<i64> {
    instant::from_millis(parse_integer(string(document, at)?)?)
}

fn plain_integer(node: Node<'_>) -> Option<i64> {
    match node {
        Node::Static(StaticNode::I64(value)) => Some(value),
        Node::Static(StaticNode::U64(value)) => i64::try_from(value).ok(),
        Node::Static(StaticNode::F64(value)) => integral(value),
        _ => None,
    }
}

fn string<'t>(document: &Document<'t>, at: usize) -> Option<&'t str> {
    match document.node(at) {
        Node::String(text) => Some(text),
        _ => None,
    }
}

/// A float without fraction that fits 64 bits.
// The bounds are exact powers of two, so the cast neither saturates nor truncates.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn integral(value: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    (value.trunc() == value && (-BOUND..BOUND).contains(&value)).then_some(value as i64)
}

/// Decimal digits with an optional minus.
pub(super) fn parse_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}
