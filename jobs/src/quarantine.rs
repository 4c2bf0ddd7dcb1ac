//! Contracts of the quarantine tables, which hold documents that could not be decoded.
//!
//! They have no job of their own: the run that reads a source writes what it cannot decode next to
//! what it can.

use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::table_name::TableName;

/// The layer's name.
const LAYER: &str = "quarantine";

/// Tables whose documents can be undecodable. Media objects are listed, not decoded.
const TABLES: [&str; 8] =
    ["messages", "users", "conversations", "calls", "notifications", "auth_users", "auth_sessions", "audit_logs"];

const SUMMARY: &str = "One row per document of the source that could not be decoded, so that nothing is dropped \
    silently. Secrets are removed. Identical documents are one row.";

const COLUMNS: &[Column] = &[
    Column::required("document_sha256", ColumnType::String, "Hex digest of the raw bytes of the document.").key(),
    Column::required(
        "raw",
        ColumnType::String,
        "The document as it was read, without secrets; bytes that are not UTF-8 are U+FFFD.",
    ),
    Column::required(
        "reason",
        ColumnType::String,
        "invalid_utf8, invalid_json, too_deep, not_an_object, missing_key, wrong_type or bad_date.",
    ),
    Column::optional("field", ColumnType::String, "The field that could not be decoded, where it is one."),
    Column::required(
        "source_position",
        ColumnType::String,
        "Where the document stands: file and line, collection and id, or topic, partition and offset.",
    ),
    Column::required("run_id", ColumnType::String, "The run that met the document first."),
    Column::required("ingested_at", ColumnType::Timestamp, "The as_of instant of that run."),
];

/// The contract of `quarantine.<table>` for the bronze table `table` (`messages` or
/// `bronze.messages`); `None` if no documents of that table are decoded.
pub fn quarantine_contract(table: &str) -> Option<Contract> {
    let table = table.strip_prefix("bronze.").unwrap_or(table);
    let name = TABLES.iter().find(|name| **name == table)?;
    Some(Contract { table: TableName::new(LAYER, name), summary: SUMMARY, columns: COLUMNS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decoded_table_has_one() {
        let contract = quarantine_contract("bronze.messages").unwrap();
        assert_eq!(contract.table.to_string(), "quarantine.messages");
        assert_eq!(contract.key(), ["document_sha256"]);
        assert_eq!(quarantine_contract("auth_users").unwrap().table.table(), "auth_users");
        assert_eq!(quarantine_contract("media"), None);
        assert_eq!(quarantine_contract("silver.messages"), None);
    }
}
