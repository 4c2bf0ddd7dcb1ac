//! The two-part name of a table, `layer.table`.
//!
//! Names are compared as they are written: all lower case, no quoting. A name whose first part is a
//! source system (`mongodb.messages`) means the decoded documents of that source, not a table of the
//! lake; `s3.media` means a listing of objects.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// First parts of names that stand for a source system and not for a layer of the lake.
const SOURCE_SYSTEMS: [&str; 3] = ["mongodb", "mysql", "s3"];

/// `layer.table` of the lake or `system.collection` of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    schema: Cow<'static, str>,
    table: Cow<'static, str>,
}

impl TableName {
    /// A name that is known when the program is compiled.
    pub const fn new(schema: &'static str, table: &'static str) -> Self {
        Self { schema: Cow::Borrowed(schema), table: Cow::Borrowed(table) }
    }

    /// A name that is found out while the program runs.
    pub fn from_parts(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: Cow::Owned(schema.into()), table: Cow::Owned(table.into()) }
    }

    /// The layer (`bronze`, `silver`, `gold`, `quarantine`, `ops`) or the source system (`mongodb`, `mysql`, `s3`).
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table's name within its layer, or the collection's within its source.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Whether the name stands for the decoded documents of a source system.
    pub fn is_source(&self) -> bool {
        SOURCE_SYSTEMS.contains(&self.schema())
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A text that is not of the form `layer.table`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a table name; write it as `layer.table`, for example `silver.messages`")]
pub struct ParseTableNameError {
    text: String,
}

impl FromStr for TableName {
    type Err = ParseTableNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('.') {
            Some((schema, table)) if !schema.is_empty() && !table.is_empty() && !table.contains('.') => {
                Ok(Self::from_parts(schema, table))
            }
            _ => Err(ParseTableNameError { text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_exactly_two_parts() {
        let name: TableName = "silver.messages".parse().unwrap();
        assert_eq!(name, TableName::new("silver", "messages"));
        assert_eq!(name.to_string(), "silver.messages");
        for text in ["messages", "", ".", "silver.", ".messages", "lake.silver.messages"] {
            assert!(text.parse::<TableName>().is_err(), "{text}");
        }
    }

    #[test]
    fn sources_are_told_from_tables() {
        assert!(TableName::new("mongodb", "users").is_source());
        assert!(TableName::new("mysql", "auth_users").is_source());
        assert!(TableName::new("s3", "media").is_source());
        assert!(!TableName::new("bronze", "users").is_source());
    }
}
