//! Columns of a contract: name, type, role, meaning; and their Arrow form.
//!
//! All of it is `const`, so that a contract is checked by the compiler and costs nothing to read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

/// Name of the child of a list, as Delta and Parquet call it.
const LIST_ELEMENT: &str = "element";

/// The type of a column. The set is what Delta tables can hold without any table feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    String,
    /// True or false.
    Boolean,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer.
    Long,
    /// 64-bit float.
    Double,
    /// Calendar date.
    Date,
    /// Instant in microseconds, UTC.
    Timestamp,
    /// List whose elements are never null.
    List(&'static ColumnType),
    /// Map whose values are never null.
    Map(&'static ColumnType, &'static ColumnType),
    /// Named fields.
    Struct(&'static [StructField]),
}

/// A field of [`ColumnType::Struct`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StructField {
    /// Name, snake_case.
    pub name: &'static str,
    /// Type of the field.
    pub kind: ColumnType,
    /// Whether the field may be null.
    pub nullable: bool,
}

impl StructField {
    /// A field that is never null.
    pub const fn required(name: &'static str, kind: ColumnType) -> Self {
        Self { name, kind, nullable: false }
    }

    /// A field that may be null.
    pub const fn optional(name: &'static str, kind: ColumnType) -> Self {
        Self { name, kind, nullable: true }
    }
}

/// What a column is to its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Just a column.
    Attribute,
    /// Part of the row key.
    Key,
    /// The partition column.
    Partition,
    /// Part of the row key, and the partition column.
    KeyAndPartition,
}

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Name, snake_case, with the unit where there is one.
    pub name: &'static str,
    /// Type of the column.
    pub kind: ColumnType,
    /// Whether the column may be null.
    pub nullable: bool,
    /// What the column is to the table.
    pub role: Role,
    /// What the column means, one sentence.
    pub about: &'static str,
    /// Whether rows that are alike in this column are kept close to each other in the table's files.
    pub clustered: bool,
}

impl Column {
    /// A column that is never null.
    pub const fn required(name: &'static str, kind: ColumnType, about: &'static str) -> Self {
        Self { name, kind, nullable: false, role: Role::Attribute, about, clustered: false }
    }

    /// A column that may be null.
    pub const fn optional(name: &'static str, kind: ColumnType, about: &'static str) -> Self {
        Self { name, kind, nullable: true, role: Role::Attribute, about, clustered: false }
    }

    /// The same column as part of the row key.
    pub const fn key(mut self) -> Self {
        self.role = match self.role {
            Role::Attribute | Role::Key => Role::Key,
            Role::Partition | Role::KeyAndPartition => Role::KeyAndPartition,
        };
        self
    }

    /// The same column as the partition column.
    pub const fn partition(mut self) -> Self {
        self.role = match self.role {
            Role::Attribute | Role::Partition => Role::Partition,
            Role::Key | Role::KeyAndPartition => Role::KeyAndPartition,
        };
        self
    }

    /// The same column as one that rows are often asked for by: maintenance puts rows that are alike in it, and in the
    /// table's other such columns, close to each other.
    pub const fn clustered(mut self) -> Self {
        self.clustered = true;
        self
    }

    /// Whether the column is part of the row key.
    pub const fn is_key(&self) -> bool {
        matches!(self.role, Role::Key | Role::KeyAndPartition)
    }

    /// Whether the table is partitioned by the column.
    pub const fn is_partition(&self) -> bool {
        matches!(self.role, Role::Partition | Role::KeyAndPartition)
    }

    /// The column as an Arrow field.
    pub fn arrow_field(&self) -> Field {
        Field::new(self.name, self.kind.arrow_type(), self.nullable)
    }
}

impl ColumnType {
    /// The type in Arrow: list children are named `element`, map entries `key_value`.
    pub fn arrow_type(&self) -> DataType {
        match self {
            Self::String => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => utc_timestamp(),
            Self::List(element) => DataType::List(list_element(element.arrow_type())),
            Self::Map(key, value) => map_of(key.arrow_type(), value.arrow_type()),
            Self::Struct(fields) => DataType::Struct(
                fields.iter().map(|field| Field::new(field.name, field.kind.arrow_type(), field.nullable)).collect(),
            ),
        }
    }
}

impl std::fmt::Display for ColumnType {
    /// The notation of the documentation, for example `list<struct{user_id: string}>`; a nullable
    /// field of a struct is marked by `?`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Boolean => f.write_str("boolean"),
            Self::Int => f.write_str("int"),
            Self::Long => f.write_str("long"),
            Self::Double => f.write_str("double"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Struct(fields) => {
                f.write_str("struct{")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    let mark = if field.nullable { "?" } else { "" };
                    write!(f, "{comma}{}: {}{mark}", field.name, field.kind)?;
                }
                f.write_str("}")
            }
        }
    }
}

/// The one timestamp type of the lake.
pub(crate) fn utc_timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The child field of a list of `data_type`.
pub(crate) fn list_element(data_type: DataType) -> FieldRef {
    Arc::new(Field::new(LIST_ELEMENT, data_type, false))
}

/// The one map type of the lake, for the given key and value.
pub(crate) fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = DataType::Struct(vec![Field::new("key", key, false), Field::new("value", value, false)].into());
    DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_add_up() {
        let column = Column::required("activity_date", ColumnType::Date, "");
        assert_eq!(column.key().partition().role, Role::KeyAndPartition);
        assert_eq!(column.partition().key().role, Role::KeyAndPartition);
        assert_eq!(column.key().key().role, Role::Key);
        assert!(!column.partition().is_key() && column.partition().is_partition());
    }

    #[test]
    fn types_read_as_in_the_documentation() {
        const FIELDS: &[StructField] = &[
            StructField::required("user_id", ColumnType::String),
            StructField::optional("joined_at", ColumnType::Timestamp),
        ];
        let list = ColumnType::List(&ColumnType::Struct(FIELDS));
        assert_eq!(list.to_string(), "list<struct{user_id: string, joined_at: timestamp?}>");
        let map = ColumnType::Map(&ColumnType::String, &ColumnType::Long);
        assert_eq!(map.to_string(), "map<string, long>");
    }
}
