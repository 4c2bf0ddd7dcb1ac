//! Schemas with and without descriptions of their columns.
//!
//! Delta keeps what a column means as `comment` in the metadata of its field. That is for people and for other
//! programs: in plans, where two schemas must be equal to fit, a description that one table has and another has not
//! would only be in the way. So it stands in a table's metadata and in a [`Target`](crate::operation::Target), and
//! every schema that a plan sees is bare.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

/// Key of a field's metadata under which Delta keeps the description of a column.
pub const COMMENT: &str = "comment";

/// The same columns without any metadata.
pub(crate) fn bare(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(bare_field).collect::<Vec<_>>()))
}

fn bare_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), bare_type(field.data_type()), field.is_nullable()))
}

fn bare_type(kind: &DataType) -> DataType {
    match kind {
        DataType::List(element) => DataType::List(bare_field(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(bare_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(bare_field(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn described(name: &str, kind: DataType) -> Field {
        let comment = HashMap::from([(COMMENT.to_owned(), "what it means".to_owned())]);
        Field::new(name, kind, true).with_metadata(comment)
    }

    #[test]
    fn descriptions_go_at_every_depth_and_nothing_else_does() {
        let place = DataType::Struct(vec![described("city", DataType::Utf8)].into());
        let list = |element| DataType::List(Arc::new(element));
        let schema = Schema::new(vec![
            described("id", DataType::Utf8),
            described("places", list(described("element", place))),
            Field::new("amount", DataType::Int64, false),
        ]);
        let place = DataType::Struct(vec![Field::new("city", DataType::Utf8, true)].into());
        let expected = Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("places", list(Field::new("element", place, true)), true),
            Field::new("amount", DataType::Int64, false),
        ]);
        assert_eq!(*bare(&schema), expected);
    }
}
