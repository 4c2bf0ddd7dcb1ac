//! A request as a command: its name, the collection that it concerns, and its options.

use crate::element::{Elements, Value, field};
use crate::refusal::Refusal;

/// A command, read in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command<'a> {
    body: &'a [u8],
    /// As the client wrote it, but for `hello`, which has older names.
    pub(crate) name: &'a str,
    target: Value<'a>,
    pub(crate) database: &'a str,
}

impl<'a> Command<'a> {
    /// The first field of a command is its name; a message without any is none.
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let first = Elements::new(body).next()?;
        let name = match std::str::from_utf8(first.name).ok()? {
            "ismaster" | "isMaster" => "hello",
            name => name,
        };
        let database = field(body, "$db").and_then(Value::as_str).unwrap_or("admin");
        Some(Self { body, name, target: first.value, database })
    }

    pub(crate) fn option(&self, name: &str) -> Option<Value<'a>> {
        field(self.body, name)
    }

    pub(crate) fn document(&self, name: &str) -> Option<&'a [u8]> {
        self.option(name).and_then(Value::as_document)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.option(name).is_some_and(Value::is_truthy)
    }

    /// A number that must not be negative.
    pub(crate) fn size(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let too_small = |number| Refusal::new(51024, "Location51024", format!("{name} must not be {number}"));
        let number = self.option(name).and_then(Value::as_i64);
        number.map(|number| usize::try_from(number).map_err(|_| too_small(number))).transpose()
    }

    /// The number that stands at the command's name, such as a cursor's id.
    pub(crate) fn number(&self) -> i64 {
        self.target.as_i64().unwrap_or(0)
    }

    /// `database.collection`, or the database's name for a command that concerns no collection.
    pub(crate) fn namespace(&self) -> String {
        let collection = self.target.as_str().or_else(|| self.option("collection").and_then(Value::as_str));
        match collection {
            Some(collection) => format!("{}.{collection}", self.database),
            None => self.database.to_owned(),
        }
    }
}
