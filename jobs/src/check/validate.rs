//! Checks that make no sense are found when the catalog is made, not when they are first asked.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use datafusion::sql::resolve::resolve_table_references;

use super::{CHECKED, Check, Rule};
use crate::column::ColumnType;
use crate::contract::Contract;
use crate::graph::parse_select;
use crate::table_name::TableName;

/// What is wrong with a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Name of the check.
    pub(crate) check: &'static str,
    /// What does not fit.
    pub(crate) detail: String,
}

/// Validates the declared checks of a job that reads the tables `reads`.
pub(crate) fn validate(contract: &Contract, declared: &[Check], reads: &[TableName]) -> Result<(), Mistake> {
    let mut names: BTreeSet<&str> = [Check::UNIQUE_KEY.name, Check::REQUIRED.name].into();
    for check in declared {
        let mistake = |detail: String| Mistake { check: check.name, detail };
        if !names.insert(check.name) {
            return Err(mistake("there are two checks of that name".to_owned()));
        }
        let columns = check.rule.columns(contract);
        if let Some(unknown) = columns.iter().find(|column| contract.column(column).is_none()) {
            return Err(mistake(format!("the table has no column {unknown}")));
        }
        validate_rule(&check.rule, contract, reads).map_err(mistake)?;
    }
    Ok(())
}

fn validate_rule(rule: &Rule, contract: &Contract, reads: &[TableName]) -> Result<(), String> {
    let kind = |column: &str| contract.column(column).map(|column| column.kind);
    let need = |holds: bool, otherwise: &str| if holds { Ok(()) } else { Err(otherwise.to_owned()) };
    match rule {
        Rule::UniqueKey | Rule::Required => Err("every contract implies it; do not declare it".to_owned()),
        Rule::NotNull { columns } => need(!columns.is_empty(), "it names no column"),
        Rule::Accepted { column, values } => {
            need(!values.is_empty(), "it accepts no value")?;
            need(kind(column) == Some(ColumnType::String), "only texts are compared with a list of values")
        }
        Rule::Range { columns, min, max } => {
            let is_number =
                |column: &&str| matches!(kind(column), Some(ColumnType::Int | ColumnType::Long | ColumnType::Double));
            need(!columns.is_empty(), "it names no column")?;
            need(columns.iter().all(is_number), "only numbers have a range")?;
            need(min.is_some() || max.is_some(), "it has no bound")?;
            need(min.zip(*max).is_none_or(|(min, max)| min <= max), "its bounds exclude every value")
        }
        Rule::Condition { sql, .. } => reads_nothing_else(contract, &format!("SELECT ({sql}) AS holds FROM {CHECKED}")),
        Rule::Relation { table, .. } => {
            let table: TableName = table.parse().map_err(|error: crate::ParseTableNameError| error.to_string())?;
            need(reads.contains(&table), "the job does not read that table, so it may not be there yet")
        }
        Rule::Fresh { column, hours } => {
            need(*hours > 0, "nothing is that fresh")?;
            need(kind(column) == Some(ColumnType::Timestamp), "only instants are fresh")
        }
        Rule::RowCount { fall, rise } => {
            need(fall.is_some() || rise.is_some(), "it has no bound")?;
            need(fall.is_none_or(|fall| fall < 100), "a table cannot fall by more")
        }
        Rule::Query { sql, .. } => reads_nothing_else(contract, sql),
    }
}

/// SQL of checks is one SELECT over the checked table, so that what it costs can be told from the declaration.
fn reads_nothing_else(contract: &Contract, sql: &str) -> Result<(), String> {
    let statement = parse_select(&contract.table, sql).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("its SQL is not one SELECT{cause}")
    })?;
    let (references, _) = resolve_table_references(&statement, true).map_err(|error| error.to_string())?;
    let is_other = |reference: &&TableReference| **reference != TableReference::bare(CHECKED);
    match references.iter().find(is_other) {
        Some(other) => Err(format!("its SQL reads {other}; it may only read {CHECKED}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::Column;

    const COLUMNS: &[Column] = &[
        Column::required("id", ColumnType::String, "Key.").key(),
        Column::optional("n", ColumnType::Long, "Number."),
        Column::optional("at", ColumnType::Timestamp, "Instant."),
    ];

    fn mistake(check: Check) -> String {
        let contract = Contract { table: TableName::new("silver", "t"), summary: "Test.", columns: COLUMNS };
        let reads = [TableName::new("silver", "others")];
        match validate(&contract, &[check], &reads) {
            Ok(()) => String::new(),
            Err(mistake) => mistake.detail,
        }
    }

    #[test]
    fn sensible_checks_pass() {
        for check in [
            Check::not_null("a", &["n"], "r"),
            Check::accepted("a", "id", &["x"], "r"),
            Check::between("a", &["n"], 0, 0, "r"),
            Check::condition("a", "n > 0 AND at < $as_of", &["n"], "r"),
            Check::relation("a", "id", "silver.others", "id", "r"),
            Check::fresh("a", "at", 1, "r"),
            Check::row_count("a", Some(0), None, "r"),
            Check::query("a", "WITH x AS (SELECT * FROM checked) SELECT * FROM x", &[], "r"),
        ] {
            assert_eq!(mistake(check), "", "{check:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (check, part) in [
            (Check::UNIQUE_KEY, "two checks"),
            (Check::not_null("a", &["m"], "r"), "no column m"),
            (Check::not_null("a", &[], "r"), "names no column"),
            (Check::accepted("a", "n", &["1"], "r"), "only texts"),
            (Check::accepted("a", "id", &[], "r"), "accepts no value"),
            (Check::between("a", &["n", "id"], 0, 1, "r"), "only numbers"),
            (Check::between("a", &["n"], 1, 0, "r"), "exclude every value"),
            (Check::condition("a", "n >", &["n"], "r"), "not one SELECT"),
            (Check::condition("a", "n IN (SELECT n FROM silver.others)", &["n"], "r"), "reads silver.others"),
            (Check::relation("a", "id", "silver.strangers", "id", "r"), "does not read"),
            (Check::relation("a", "id", "others", "id", "r"), "not a table name"),
            (Check::fresh("a", "n", 1, "r"), "only instants"),
            (Check::row_count("a", None, None, "r"), "no bound"),
            (Check::row_count("a", Some(100), None, "r"), "cannot fall"),
            (Check::query("a", "SELECT * FROM silver.t", &[], "r"), "may only read checked"),
            (Check::query("a", "DROP TABLE checked", &[], "r"), "not one SELECT"),
        ] {
            assert!(mistake(check).contains(part), "{check:?}: {}", mistake(check));
        }
    }
}
