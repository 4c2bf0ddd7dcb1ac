//! Decides whether a document matches a filter, as MongoDB does: comparisons are bracketed by type.
//!
//! `{_id: {$gte: 5}}` finds numbers only, `{f: null}` finds missing fields too, and an array matches when one of its
//! elements does. A range reader that forgets about brackets loses documents, so this is where the stand-in must not be
//! kinder than a server. What is not understood (paths, `$regex`, `$expr`) is refused, never ignored.

use std::cmp::Ordering;

use crate::element::{Element, Elements, Value, kind};
use crate::number::Number;
use crate::order::{compare, rank};
use crate::refusal::Refusal;
use crate::store::Stored;

/// A filter that has been understood.
#[derive(Debug)]
pub(crate) enum Filter<'a> {
    All(Vec<Filter<'a>>),
    Any(Vec<Filter<'a>>),
    Not(Box<Filter<'a>>),
    Field(&'a str, Vec<Test<'a>>),
}

/// What a field's value must satisfy.
#[derive(Debug)]
pub(crate) enum Test<'a> {
    Compare(Comparison, Value<'a>),
    In(Vec<Value<'a>>),
    Type(Vec<u8>),
    Exists(bool),
    Not(Vec<Test<'a>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl<'a> Filter<'a> {
    pub(crate) fn parse(filter: &'a [u8]) -> Result<Self, Refusal> {
        Ok(Self::All(Elements::new(filter).map(Self::parse_clause).collect::<Result<_, _>>()?))
    }

    fn parse_clause(clause: Element<'a>) -> Result<Self, Refusal> {
        match text(clause.name)? {
            "$and" => Ok(Self::All(parse_list(clause.value)?)),
            "$or" => Ok(Self::Any(parse_list(clause.value)?)),
            "$nor" => Ok(Self::Not(Box::new(Self::Any(parse_list(clause.value)?)))),
            "$comment" => Ok(Self::All(Vec::new())),
            name if name.starts_with('$') => Err(Refusal::bad_value(format!("unknown top level operator: {name}"))),
            name if name.contains('.') => Err(Refusal::bad_value(format!("the stand-in filters no paths: {name}"))),
            name => Ok(Self::Field(name, parse_tests(clause.value)?)),
        }
    }

    pub(crate) fn matches(&self, document: &Stored) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(document)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(document)),
            Self::Not(filter) => !filter.matches(document),
            Self::Field(name, tests) => {
                let value = document.field(name);
                tests.iter().all(|test| test.passes(value))
            }
        }
    }
}

fn parse_list(list: Value<'_>) -> Result<Vec<Filter<'_>>, Refusal> {
    let filters: Vec<_> = list
        .as_array()
        .ok_or_else(|| Refusal::bad_value("$and/$or/$nor must be an array"))?
        .map(|filter| Filter::parse(filter.as_document().ok_or_else(|| Refusal::bad_value("filters are objects"))?))
        .collect::<Result<_, _>>()?;
    if filters.is_empty() { Err(Refusal::bad_value("$and/$or/$nor must be a nonempty array")) } else { Ok(filters) }
}

fn parse_tests(operand: Value<'_>) -> Result<Vec<Test<'_>>, Refusal> {
    let is_operators = |document| Elements::new(document).next().is_some_and(|element| element.name.starts_with(b"$"));
    match operand.as_document().filter(|document| is_operators(document)) {
        Some(operators) => Elements::new(operators).map(parse_test).collect(),
        None if operand.kind == kind::REGEX => Err(Refusal::bad_value("the stand-in matches no regular expressions")),
        None => Ok(vec![Test::Compare(Comparison::Equal, operand)]),
    }
}

fn parse_test(operator: Element<'_>) -> Result<Test<'_>, Refusal> {
    let operand = operator.value;
    let compare = |comparison| match operand.kind {
        kind::UNDEFINED => Err(Refusal::bad_value("cannot compare to undefined")),
        _ => Ok(Test::Compare(comparison, operand)),
    };
    match text(operator.name)? {
        "$eq" => compare(Comparison::Equal),
        "$lt" => compare(Comparison::Less),
        "$lte" => compare(Comparison::LessOrEqual),
        "$gt" => compare(Comparison::Greater),
        "$gte" => compare(Comparison::GreaterOrEqual),
        "$ne" => Ok(Test::Not(vec![compare(Comparison::Equal)?])),
        "$in" => Ok(Test::In(array(operand)?)),
        "$nin" => Ok(Test::Not(vec![Test::In(array(operand)?)])),
        "$exists" => Ok(Test::Exists(operand.is_truthy())),
        "$type" => parse_types(operand).map(Test::Type),
        "$not" => match operand.as_document() {
            Some(operators) => Ok(Test::Not(Elements::new(operators).map(parse_test).collect::<Result<_, _>>()?)),
            None => Err(Refusal::bad_value("$not needs a document")),
        },
        name => Err(Refusal::bad_value(format!("unknown operator: {name}"))),
    }
}

fn array(operand: Value<'_>) -> Result<Vec<Value<'_>>, Refusal> {
    Ok(operand.as_array().ok_or_else(|| Refusal::bad_value("$in needs an array"))?.collect())
}

fn parse_types(operand: Value<'_>) -> Result<Vec<u8>, Refusal> {
    let mut kinds = Vec::new();
    let single = (operand.kind != kind::ARRAY).then_some(operand);
    for asked in single.into_iter().chain(operand.as_array().into_iter().flatten()) {
        match asked.as_str() {
            Some(alias) => kinds.extend(kinds_of_alias(alias)?),
            None => kinds.push(kind_of_number(asked)?),
        }
    }
    Ok(kinds)
}

fn kind_of_number(asked: Value<'_>) -> Result<u8, Refusal> {
    match asked.as_i64() {
        Some(-1) => Ok(kind::MIN_KEY),
        Some(number @ (1..=19 | 127)) => Ok(number as u8),
        _ => Err(Refusal::bad_value("Invalid numerical type code")),
    }
}

fn kinds_of_alias(alias: &str) -> Result<&'static [u8], Refusal> {
    Ok(match alias {
        "double" => &[kind::DOUBLE],
        "string" => &[kind::STRING],
        "object" => &[kind::DOCUMENT],
        "array" => &[kind::ARRAY],
        "binData" => &[kind::BINARY],
        "undefined" => &[kind::UNDEFINED],
        "objectId" => &[kind::OBJECT_ID],
        "bool" => &[kind::BOOL],
        "date" => &[kind::DATE],
        "null" => &[kind::NULL],
        "regex" => &[kind::REGEX],
        "dbPointer" => &[kind::DB_POINTER],
        "javascript" => &[kind::CODE],
        "symbol" => &[kind::SYMBOL],
        "javascriptWithScope" => &[kind::CODE_WITH_SCOPE],
        "int" => &[kind::INT32],
        "timestamp" => &[kind::TIMESTAMP],
        "long" => &[kind::INT64],
        "decimal" => &[kind::DECIMAL128],
        "number" => &[kind::DOUBLE, kind::INT32, kind::INT64, kind::DECIMAL128],
        "minKey" => &[kind::MIN_KEY],
        "maxKey" => &[kind::MAX_KEY],
        _ => return Err(Refusal::bad_value(format!("Unknown type name alias: {alias}"))),
    })
}

impl Test<'_> {
    fn passes(&self, value: Option<Value<'_>>) -> bool {
        let any = |passes: &dyn Fn(Value<'_>) -> bool| {
            value.is_some_and(|value| passes(value) || value.as_array().into_iter().flatten().any(passes))
        };
        match self {
            Self::Exists(wanted) => value.is_some() == *wanted,
            Self::Not(tests) => !tests.iter().all(|test| test.passes(value)),
            Self::Type(kinds) => any(&|value| kinds.contains(&value.kind)),
            Self::In(operands) => {
                operands.iter().any(|&operand| Test::Compare(Comparison::Equal, operand).passes(value))
            }
            Self::Compare(comparison, operand) if value.is_none() => comparison.finds_missing(*operand),
            Self::Compare(comparison, operand) => any(&|value| comparison.holds(value, *operand)),
        }
    }
}

impl Comparison {
    fn holds(self, value: Value<'_>, operand: Value<'_>) -> bool {
        if rank(value.kind) != rank(operand.kind) {
            return self.holds_across_types(value, operand);
        }
        let is_nan = |value| Number::of(value).is_some_and(Number::is_nan);
        if is_nan(value) != is_nan(operand) {
            return false;
        }
        self.accepts(compare(value, operand))
    }

    /// The three exceptions from type bracketing.
    fn holds_across_types(self, value: Value<'_>, operand: Value<'_>) -> bool {
        match operand.kind {
            kind::NULL => value.kind == kind::UNDEFINED && self.accepts(Ordering::Equal),
            kind::MIN_KEY => self.accepts(Ordering::Greater),
            kind::MAX_KEY => self.accepts(Ordering::Less),
            _ => false,
        }
    }

    /// A missing field is null to comparisons, and it stands between the keys at both ends like any value.
    fn finds_missing(self, operand: Value<'_>) -> bool {
        operand.kind == kind::NULL && self.accepts(Ordering::Equal) || self.holds_across_types(Value::NULL, operand)
    }

    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

fn text(name: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(name).map_err(|_| Refusal::bad_value("a name is not UTF-8"))
}
