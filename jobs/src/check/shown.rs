//! What of a failing row may be shown.
//!
//! Reports go to logs, terminals and tickets, so a failing row must not carry there what people wrote or who they are.
//! Shown are key columns, which one needs to find the row; numbers, booleans, dates and instants; and texts that are
//! ids or come from a short list of categories. Every other text, and every list, map and struct, is replaced by
//! [`NOT_SHOWN`]: whether it is null can still be seen. A column is thus hidden unless it is known to be harmless, and
//! a new column of texts needs no thought to be safe. The rejected alternative, a mark on each private column, fails
//! open when somebody forgets it.

use super::Rule;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;

/// Stands in place of a value that is not shown.
pub const NOT_SHOWN: &str = "(not shown)";

/// Texts that name a kind of thing and say nothing about anybody.
const CATEGORIES: [&str; 14] = [
    "activity_trend",
    "churn_risk",
    "content_type",
    "conversation_health",
    "dominant_message_type",
    "duration_category",
    "event_type",
    "message_type",
    "reason",
    "role",
    "source_system",
    "status",
    "type",
    "user_segment",
];

/// The columns of a failing row in a report, each with whether its value is shown: the key, then what the rule is
/// about.
pub fn shown_columns(rule: &Rule, contract: &Contract) -> Vec<(&'static str, bool)> {
    let key = contract.columns.iter().filter(|column| column.is_key());
    // Of the many required columns, those that are null are named in place of showing all.
    let about = if matches!(rule, Rule::Required) { Vec::new() } else { rule.columns(contract) };
    let about = about.iter().filter_map(|name| contract.column(name)).filter(|column| !column.is_key());
    key.chain(about).map(|column| (column.name, may_be_shown(column))).collect()
}

fn may_be_shown(column: &Column) -> bool {
    match column.kind {
        ColumnType::Boolean
        | ColumnType::Int
        | ColumnType::Long
        | ColumnType::Double
        | ColumnType::Date
        | ColumnType::Timestamp => true,
        ColumnType::String => column.is_key() || column.name.ends_with("_id") || CATEGORIES.contains(&column.name),
        ColumnType::List(_) | ColumnType::Map(..) | ColumnType::Struct(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    /// Texts of every kind of private nature that tables hold, or will.
    const PRIVATE: [&str; 18] = [
        "avatar",
        "bio",
        "city",
        "content",
        "country",
        "device_name",
        "display_name",
        "email",
        "etag",
        "failure_reason",
        "ip_address",
        "name",
        "phone_number",
        "raw",
        "revoked_reason",
        "sender_name",
        "title",
        "username",
    ];

    #[test]
    fn private_texts_are_not_shown() {
        for name in PRIVATE {
            assert!(!may_be_shown(&Column::optional(name, ColumnType::String, "")), "{name}");
        }
        for kind in [ColumnType::List(&ColumnType::String), ColumnType::Map(&ColumnType::String, &ColumnType::Long)] {
            assert!(!may_be_shown(&Column::required("anything", kind, "")));
        }
    }

    #[test]
    fn keys_numbers_and_categories_are() {
        for column in [
            Column::required("emoji", ColumnType::String, "").key(),
            Column::required("sender_id", ColumnType::String, ""),
            Column::required("churn_risk", ColumnType::String, ""),
            Column::optional("hour", ColumnType::Int, ""),
            Column::optional("seen_at", ColumnType::Timestamp, ""),
        ] {
            assert!(may_be_shown(&column), "{}", column.name);
        }
    }

    #[test]
    fn of_the_catalog_no_other_texts_are_shown() {
        let catalog = Catalog::builtin().unwrap();
        let columns = catalog.jobs().iter().flat_map(|job| job.contract().columns);
        let texts = columns.filter(|column| column.kind == ColumnType::String && may_be_shown(column));
        for column in texts.filter(|column| !column.is_key() && !column.name.ends_with("_id")) {
            assert!(CATEGORIES.contains(&column.name), "{}", column.name);
        }
    }

    #[test]
    fn a_row_is_its_key_and_what_the_rule_is_about() {
        let catalog = Catalog::builtin().unwrap();
        let contract = catalog.job("silver.messages").unwrap().contract();
        let rule = Rule::NotNull { columns: &["content", "hour", "message_id"] };
        assert_eq!(shown_columns(&rule, contract), [("message_id", true), ("content", false), ("hour", true)]);
    }
}
