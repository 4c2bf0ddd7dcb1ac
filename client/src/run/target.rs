//! From a job's contract to the lake's idea of a table.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use quickchat_jobs::{ColumnType, Contract};
use quickchat_lake::operation::Target;
use quickchat_lake::{COMMENT, LakeRoot};

/// The table that a contract describes.
pub(crate) fn target(root: &LakeRoot, contract: &Contract) -> Target {
    let strings = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    Target {
        name: contract.table.to_string(),
        url: root.table(contract.table.schema(), contract.table.table()),
        schema: described(contract),
        partition_columns: contract.partition().map(str::to_owned).into_iter().collect(),
        key: strings(contract.key()),
        metadata_columns: strings(contract.metadata_columns()),
        statistics_columns: statistics_columns(contract),
    }
}

/// The columns with their meanings, which other programs show to their users.
fn described(contract: &Contract) -> SchemaRef {
    let fields = contract.columns.iter().map(|column| {
        let comment = HashMap::from([(COMMENT.to_owned(), column.about.to_owned())]);
        column.arrow_field().with_metadata(comment)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Columns whose range of values may stand in the log: keys, times and numbers. Never other strings, which may be what
/// people wrote or who they are.
fn statistics_columns(contract: &Contract) -> Vec<String> {
    let key = contract.key();
    let telling = contract.columns.iter().filter(|column| match column.kind {
        ColumnType::String => key.contains(&column.name) || column.name.ends_with("_id"),
        ColumnType::Int | ColumnType::Long | ColumnType::Double | ColumnType::Date | ColumnType::Timestamp => true,
        ColumnType::Boolean | ColumnType::List(_) | ColumnType::Map(..) | ColumnType::Struct(_) => false,
    });
    telling.filter(|column| !column.is_partition()).map(|column| column.name.to_owned()).collect()
}
