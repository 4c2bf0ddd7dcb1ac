//! From checks to SQL, and from its answers to findings.
//!
//! The query is a union of *parts*, each of which yields one row of counts: the number of the part, then its figures.
//! The first part counts the added rows and, of these, those that offend each rule about single rows. Every rule that
//! needs a grouping or another table is a part with a single figure. A part without its row is an error, never a check
//! that has passed.
//!
//! What must be read to know that no key occurs twice: for a table that is not partitioned and is replaced, the new
//! files are the table. A partition is replaced as a whole, so where the key tells the partition (because the partition
//! column is part of it, or is computed from what the key names, such as the date of a message), rows of one key meet
//! in one partition, and the added files of a replace are enough as well. A merge by key keeps keys unique itself. Thus
//! only added files are read before a commit; on demand the whole table is.

use std::fmt::Write;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::common::{ParamValues, ScalarValue, exec_err};
use datafusion::error::Result;

use super::shown::{NOT_SHOWN, shown_columns};
use super::{ADDED, CHECKED, Check, Rule, When};
use crate::column::ColumnType;
use crate::contract::Contract;
use crate::parameters::RunParameters;
use crate::table_name::TableName;

/// How many failing rows are shown.
const SHOWN_ROWS: usize = 10;

/// Microseconds of an hour.
const HOUR_MICROS: i64 = 3_600_000_000;

/// When checks are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Before a commit.
    Commit {
        /// Whether it comes from a merge by key.
        is_merge: bool,
        /// Whether it adds any rows; one that only removes some is checked for what is left.
        adds_rows: bool,
    },
    /// After a run that has nothing to commit: only time has passed, and a table that gets no rows grows old.
    Unchanged,
    /// On demand, of a table as it stands.
    Stored,
}

/// The checks of a table that are to be asked together.
#[derive(Debug, Clone)]
pub struct CheckPlan<'a> {
    contract: &'a Contract,
    occasion: Occasion,
    checks: Vec<Check>,
}

/// What the answers say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Rows that were looked at one by one; none when no row was.
    pub rows: Option<u64>,
    /// The checks that failed, in their order.
    pub failed: Vec<Finding>,
}

/// A check that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// How many rows fail it (of a key that occurs twice: how many keys); none for a rule that is not about rows.
    pub failing: Option<u64>,
}

/// One row of the answer.
struct Part {
    /// SQL of the figures.
    figures: Vec<String>,
    /// What they are computed from.
    from: String,
    /// The checks that the figures answer; the first part has one figure more, its rows.
    checks: Vec<Check>,
    is_of_rows: bool,
}

impl<'a> CheckPlan<'a> {
    /// Plans the checks of a table for an occasion. Checks of the number of rows need no query and are not in the plan,
    /// see [`Rule::accepts_row_counts`].
    pub fn new(contract: &'a Contract, declared: &[Check], occasion: Occasion) -> Self {
        let mut checks = Check::all(declared);
        checks.retain(|check| is_asked(check, occasion));
        Self { contract, occasion, checks }
    }

    /// The checks that the query asks.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The other tables that the query reads.
    pub fn related(&self) -> Vec<TableName> {
        let mut tables: Vec<TableName> = self.checks.iter().filter_map(related).collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// Leaves out the checks that need another table, because it is not there; gives them.
    pub fn leave_out(&mut self, table: &TableName) -> Vec<Check> {
        let (without, staying) = self.checks.drain(..).partition(|check| related(check).as_ref() == Some(table));
        self.checks = staying;
        without
    }

    /// One SELECT that asks all checks; none if there is nothing to ask.
    pub fn query(&self) -> Option<String> {
        let parts = self.parts();
        let width = parts.iter().map(|part| part.figures.len()).max()?;
        let selects = parts.iter().enumerate().map(|(number, part)| {
            let mut columns = format!("CAST({number} AS BIGINT) AS part");
            let unused = std::iter::repeat_n("CAST(NULL AS BIGINT)", width - part.figures.len());
            for (index, figure) in part.figures.iter().map(String::as_str).chain(unused).enumerate() {
                // Writing to a text cannot fail.
                let _ = write!(columns, ", {figure} AS figure_{index}");
            }
            format!("SELECT {columns} FROM {}", part.from)
        });
        Some(selects.collect::<Vec<_>>().join("\nUNION ALL\n"))
    }

    /// The values of the query's parameters.
    pub fn parameters(&self, run: &RunParameters) -> ParamValues {
        let mut values = run.values();
        if let ParamValues::Map(values) = &mut values {
            for check in &self.checks {
                let Rule::Fresh { hours, .. } = check.rule else { continue };
                let oldest = run.as_of_micros.saturating_sub(i64::from(hours).saturating_mul(HOUR_MICROS));
                let oldest = ScalarValue::TimestampMicrosecond(Some(oldest), Some("UTC".into()));
                values.insert(oldest_parameter(hours), oldest.into());
            }
        }
        values
    }

    /// Reads the answer to the query.
    ///
    /// # Errors
    /// When it is not one row of counts for each part.
    pub fn findings(&self, answer: &[RecordBatch]) -> Result<Findings> {
        let parts = self.parts();
        let mut findings = Findings::default();
        let mut rows: Vec<Option<Vec<i64>>> = vec![None; parts.len()];
        for batch in answer {
            let columns: Vec<&Int64Array> =
                batch.columns().iter().filter_map(|column| column.as_primitive_opt::<Int64Type>()).collect();
            let Some((numbers, figures)) = columns.split_first() else {
                return exec_err!("the answer to the checks of {} has no counts", self.contract.table);
            };
            for row in 0..batch.num_rows() {
                let number = usize::try_from(numbers.value(row)).unwrap_or(usize::MAX);
                let Some(part) = parts.get(number) else {
                    return exec_err!("the answer to the checks of {} has a part {number}", self.contract.table);
                };
                let known = figures.iter().take(part.figures.len()).filter(|column| column.is_valid(row));
                rows[number] = Some(known.map(|column| column.value(row)).collect());
            }
        }
        for (part, figures) in parts.iter().zip(rows) {
            let Some(figures) = figures.filter(|figures| figures.len() == part.figures.len()) else {
                return exec_err!("the answer to the checks of {} lacks a part", self.contract.table);
            };
            let counts = if part.is_of_rows {
                findings.rows = figures.first().map(|rows| count(*rows));
                &figures[1..]
            } else {
                &figures[..]
            };
            findings.failed.extend(part.checks.iter().zip(counts).filter_map(|(check, count)| failed(check, *count)));
        }
        let order = |finding: &Finding| self.checks.iter().position(|check| *check == finding.check);
        findings.failed.sort_by_key(order);
        Ok(findings)
    }

    /// A SELECT of some of the rows that fail a check, with the key and what the check is about, as far as that may be
    /// shown. None for a rule that is not about rows.
    pub fn rows_query(&self, check: &Check) -> Option<String> {
        let keys = names(&self.contract.key());
        let shown = self.shown(&check.rule);
        let added = quoted(ADDED);
        let rows = match check.rule {
            Rule::UniqueKey => {
                let grouped = format!("{added} GROUP BY {keys} HAVING count(*) > 1");
                format!("SELECT {keys}, count(*) AS \"rows\" FROM {grouped}")
            }
            Rule::Relation { column, .. } => {
                let given = format!("(SELECT * FROM {added} WHERE {} IS NOT NULL) AS given", quoted(column));
                format!("SELECT {shown} FROM {given} {}", anti_join(&check.rule, column)?)
            }
            Rule::Fresh { column, .. } => {
                let column = quoted(column);
                return Some(format!("SELECT max({column}) AS {column} FROM {}", quoted(CHECKED)));
            }
            Rule::Query { sql, .. } => format!("SELECT {shown} FROM ({sql}) AS offending"),
            Rule::RowCount { .. } => return None,
            _ => format!("SELECT {shown} FROM {added} WHERE {}", self.offends(&check.rule)?),
        };
        Some(format!("{rows} ORDER BY {keys} LIMIT {SHOWN_ROWS}"))
    }

    fn parts(&self) -> Vec<Part> {
        let added = quoted(ADDED);
        let mut of_rows =
            Part { figures: vec!["count(*)".to_owned()], from: added.clone(), checks: Vec::new(), is_of_rows: true };
        let mut others = Vec::new();
        for check in &self.checks {
            if let Some(offends) = self.offends(&check.rule) {
                of_rows.figures.push(format!("count(*) FILTER (WHERE {offends})"));
                of_rows.checks.push(*check);
            } else if let Some((figure, from)) = self.grouped(&check.rule) {
                others.push(Part { figures: vec![figure], from, checks: vec![*check], is_of_rows: false });
            }
        }
        let looks_at_rows = matches!(self.occasion, Occasion::Commit { adds_rows: true, .. } | Occasion::Stored);
        let mut parts: Vec<Part> = looks_at_rows.then_some(of_rows).into_iter().collect();
        parts.extend(others);
        parts
    }

    /// When a row offends a rule about single rows; none for other rules.
    fn offends(&self, rule: &Rule) -> Option<String> {
        let is_null = |column: &&str| format!("{} IS NULL", quoted(column));
        let any = |terms: Vec<String>| (!terms.is_empty()).then(|| terms.join(" OR "));
        match rule {
            Rule::Required => any(rule.columns(self.contract).iter().map(is_null).collect()),
            Rule::NotNull { columns } => any(columns.iter().map(is_null).collect()),
            Rule::Accepted { column, values } => {
                let values: Vec<String> = values.iter().map(|value| text(value)).collect();
                Some(format!("{} NOT IN ({})", quoted(column), values.join(", ")))
            }
            Rule::Range { columns, min, max } => {
                any(columns.iter().flat_map(|column| self.out_of_range(column, *min, *max)).collect())
            }
            Rule::Condition { sql, .. } => Some(format!("({sql}) IS FALSE")),
            Rule::UniqueKey
            | Rule::Relation { .. }
            | Rule::Fresh { .. }
            | Rule::RowCount { .. }
            | Rule::Query { .. } => None,
        }
    }

    /// In comparisons NaN is greater than every number, or less if its sign is set.
    fn out_of_range(&self, column: &str, min: Option<i64>, max: Option<i64>) -> Vec<String> {
        let is_double = self.contract.column(column).is_some_and(|column| column.kind == ColumnType::Double);
        let finite = || is_double.then(|| format!("{:e}", f64::MAX));
        let column = quoted(column);
        let below = min.map(|min| min.to_string()).or_else(|| finite().map(|finite| format!("-{finite}")));
        let above = max.map(|max| max.to_string()).or_else(finite);
        let below = below.map(|bound| format!("{column} < {bound}"));
        let above = above.map(|bound| format!("{column} > {bound}"));
        [below, above].into_iter().flatten().collect()
    }

    /// The figure of a rule about more than single rows, and what it is computed from.
    fn grouped(&self, rule: &Rule) -> Option<(String, String)> {
        let (added, checked) = (quoted(ADDED), quoted(CHECKED));
        let count = || "count(*)".to_owned();
        match rule {
            Rule::UniqueKey => {
                let keys = names(&self.contract.key());
                let repeated = format!("SELECT count(*) AS times FROM {added} GROUP BY {keys} HAVING count(*) > 1");
                Some((count(), format!("({repeated}) AS repeated")))
            }
            Rule::Relation { column, .. } => {
                // Grouped before the join: far fewer values than rows have to meet the other table.
                let value = quoted(column);
                let grouped = format!("SELECT {value}, count(*) AS times FROM {added} WHERE {value} IS NOT NULL");
                let given = format!("({grouped} GROUP BY {value}) AS given");
                let join = anti_join(rule, column)?;
                Some(("coalesce(sum(times), 0)".to_owned(), format!("{given} {join}")))
            }
            Rule::Fresh { column, hours } => {
                Some((count(), format!("{checked} WHERE {} >= ${}", quoted(column), oldest_parameter(*hours))))
            }
            Rule::Query { sql, .. } => Some((count(), format!("({sql}) AS offending"))),
            _ => None,
        }
    }

    /// The columns of a failing row, what may not be shown replaced.
    fn shown(&self, rule: &Rule) -> String {
        let columns = shown_columns(rule, self.contract).into_iter().map(|(name, is_shown)| {
            let column = quoted(name);
            match is_shown {
                true => column,
                false => format!("CASE WHEN {column} IS NOT NULL THEN {} END AS {column}", text(NOT_SHOWN)),
            }
        });
        let mut columns: Vec<String> = columns.collect();
        if matches!(rule, Rule::Required) {
            let required = rule.columns(self.contract);
            let named =
                required.iter().map(|name| format!("CASE WHEN {} IS NULL THEN {} END", quoted(name), text(name)));
            columns.push(format!("concat_ws(', ', {}) AS \"null\"", named.collect::<Vec<_>>().join(", ")));
        }
        columns.join(", ")
    }
}

impl Rule {
    /// Whether a table may go from one number of rows to another. Rules about other things accept all, and so does one
    /// about a table that had no rows.
    pub fn accepts_row_counts(&self, before: u64, after: u64) -> bool {
        let Self::RowCount { fall, rise } = self else { return true };
        let within = |change: u64, percent: &Option<u32>| {
            percent.is_none_or(|percent| u128::from(change) * 100 <= u128::from(before) * u128::from(percent))
        };
        before == 0 || within(before.saturating_sub(after), fall) && within(after.saturating_sub(before), rise)
    }
}

/// Whether a check is part of the query of an occasion.
fn is_asked(check: &Check, occasion: Occasion) -> bool {
    match (check.rule, occasion) {
        (Rule::RowCount { .. }, _) => false,
        (_, Occasion::Stored) => true,
        _ if check.when == When::OnDemand => false,
        (Rule::Fresh { .. }, _) => true,
        (_, Occasion::Unchanged) => false,
        // Writers refuse nulls in required columns.
        (Rule::Required, _) => false,
        (Rule::UniqueKey, Occasion::Commit { is_merge: true, .. }) => false,
        (Rule::Query { .. }, _) => true,
        (_, Occasion::Commit { adds_rows, .. }) => adds_rows,
    }
}

fn related(check: &Check) -> Option<TableName> {
    match check.rule {
        Rule::Relation { table, .. } => table.parse().ok(),
        _ => None,
    }
}

fn failed(check: &Check, figure: i64) -> Option<Finding> {
    match check.rule {
        // The figure counts what is as it should be.
        Rule::Fresh { .. } => (figure == 0).then_some(Finding { check: *check, failing: None }),
        _ => (figure != 0).then(|| Finding { check: *check, failing: Some(count(figure)) }),
    }
}

fn count(figure: i64) -> u64 {
    u64::try_from(figure).unwrap_or(0)
}

fn oldest_parameter(hours: u32) -> String {
    format!("as_of_less_{hours}_hours")
}

fn anti_join(rule: &Rule, column: &str) -> Option<String> {
    let Rule::Relation { table, other, .. } = rule else { return None };
    let table: TableName = table.parse().ok()?;
    let other_table = format!("{}.{}", quoted(table.schema()), quoted(table.table()));
    Some(format!("LEFT ANTI JOIN {other_table} AS other ON given.{} = other.{}", quoted(column), quoted(other)))
}

fn names(columns: &[&str]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

/// A name as SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
