//! Values of extended JSON, relaxed and canonical.

use simd_json::{Node, StaticNode};

use super::Document;
use crate::decode::{OBJECT_ID_DIGITS, Reason, Shape, Strings, Text, Tree, integral, parse_integer};
use crate::instant;

impl Strings for Document<'_> {
    fn at(&self, position: usize) -> &str {
        self.string(position)
    }

    fn object_id(&self, position: usize) -> [u8; OBJECT_ID_DIGITS] {
        let mut digits = [b'0'; OBJECT_ID_DIGITS];
        if let Ok(found) = self.string(position).as_bytes().try_into() {
            digits = found;
            digits.make_ascii_lowercase();
        }
        digits
    }
}

impl Tree for Document<'_> {
    fn root(&self) -> usize {
        0
    }

    fn shape(&self, at: usize) -> Shape {
        match self.node(at) {
            Node::Static(StaticNode::Null) => Shape::Null,
            Node::Array { len, .. } => Shape::List(len),
            Node::Object { .. } if !is_extended_value(self, at) => Shape::Object,
            _ => Shape::Value,
        }
    }

    fn members(&self, at: usize, mut visit: impl FnMut(&[u8], usize)) {
        Document::members(self, at, |name, value| visit(name.as_bytes(), value));
    }

    fn first(&self, list: usize) -> usize {
        list + 1
    }

    fn next(&self, element: usize) -> usize {
        self.after(element)
    }

    fn id(&self, at: usize) -> Result<Text, Reason> {
        if let Node::Object { .. } = self.node(at) {
            return match self.only_member(at) {
                Some(("$oid", value)) if is_object_id(self.string(value)) => Ok(Text::ObjectId(value)),
                _ => Err(Reason::WrongType),
            };
        }
        self.text(at)
    }

    fn text(&self, at: usize) -> Result<Text, Reason> {
        match self.node(at) {
            Node::String(_) if self.has_lone_surrogate(at) => Err(Reason::InvalidUtf8),
            Node::String(_) => Ok(Text::At(at)),
            _ => Err(Reason::WrongType),
        }
    }

    fn boolean(&self, at: usize) -> Option<bool> {
        match self.node(at) {
            Node::Static(StaticNode::Bool(value)) => Some(value),
            _ => None,
        }
    }

    fn integer(&self, at: usize) -> Option<i64> {
        match self.node(at) {
            Node::Object { .. } => match self.only_member(at)? {
                ("$numberInt" | "$numberLong", value) => parse_integer(string(self, value)?),
                ("$numberDouble", value) => integral(string(self, value)?.parse().ok()?),
                _ => None,
            },
            node => plain_integer(node),
        }
    }

    // Precision is lost only where the source's own number has more digits than a double.
    #[allow(clippy::cast_precision_loss)]
    fn double(&self, at: usize) -> Option<f64> {
        match self.node(at) {
            Node::Static(StaticNode::I64(value)) => Some(value as f64),
            Node::Static(StaticNode::U64(value)) => Some(value as f64),
            Node::Static(StaticNode::F64(value)) => Some(value),
            Node::Object { .. } => match self.only_member(at)? {
                ("$numberInt" | "$numberLong", value) => Some(parse_integer(string(self, value)?)? as f64),
                ("$numberDouble", value) => string(self, value)?.parse().ok(),
                _ => None,
            },
            _ => None,
        }
    }

    fn time(&self, at: usize) -> Result<i64, Reason> {
        time(self, self.node(at), at)
    }
}

/// Whether an object is a value of extended JSON, such as `{"$oid": ...}`, and not a struct.
fn is_extended_value(document: &Document<'_>, at: usize) -> bool {
    let mut extended = false;
    document.members(at, |key, _| extended |= key.starts_with('$'));
    extended
}

fn is_object_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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
