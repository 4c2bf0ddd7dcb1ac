//! `gold.ml_features_latest`: the features of the newest date, for models that are asked now.

use crate::table_name::TableName;
use crate::view::ViewDefinition;

pub(super) const VIEW: ViewDefinition = ViewDefinition {
    table: TableName::new("gold", "ml_features_latest"),
    summary: "One row per user: the rows of gold.ml_features at its greatest feature date.",
    columns_of: TableName::new("gold", "ml_features"),
    sql: include_str!("ml_features_latest.sql"),
};
