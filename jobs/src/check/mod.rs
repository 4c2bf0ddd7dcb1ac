//! Checks: what must hold for the rows of a table, declared beside the job that writes it.
//!
//! A [`Check`] is a value that the compiler reads, like the contract. Two are implied by every contract: no key occurs
//! twice, and required columns are not null. The others are declared in the job's `.rs`. They are compiled to SQL over
//! two names, so that one mechanism serves two occasions:
//!
//! * before a commit, [`ADDED`] holds the rows of the files that are about to be added and [`CHECKED`] the table as it
//!   would be,
//! * on demand, both are the table as it stands.
//!
//! Checks are on the hot path of every run, so all of a table's are asked in one query ([`CheckPlan::query`]): one pass
//! over the added rows counts what offends each rule about single rows; whatever needs a grouping or another table is a
//! further part of the same query. Only when a count is not zero a second query fetches some of the rows, and of these
//! only what is nobody's private affair, see [`shown_columns`].
//!
//! After a run that has nothing to commit, only time has passed: then just the rules about that are asked.
//!
//! What an operation guarantees is not asked again before its commit: writers refuse nulls in required columns, and a
//! merge by key gives each key one row if each had one before. On demand everything is asked.
//!
//! A row that a rule says nothing about passes: rules about values hold for the values that are there, as in SQL's own
//! `CHECK`.
//!
//! # Rejected
//! Delta's `CHECK` constraints: they raise the writer protocol, which other engines must then support, and know neither
//! keys nor other tables nor warnings. A query per check: twenty jobs with ten checks each would cost seconds an hour.

mod compile;
mod shown;
mod validate;

use std::fmt;

pub use compile::{CheckPlan, Finding, Findings, Occasion};
pub use shown::{NOT_SHOWN, shown_columns};
pub(crate) use validate::validate;

use crate::contract::Contract;

/// Name under which checks see the rows that are about to be added.
pub const ADDED: &str = "added";

/// Name under which checks see the whole table, as it is or as it would be.
pub const CHECKED: &str = "checked";

/// What follows from a check that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The commit does not happen.
    Error,
    /// It happens, and the report says so.
    Warn,
}

impl Severity {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a check is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before every commit, and on demand.
    Always,
    /// Only on demand, since it reads more than a commit adds.
    OnDemand,
}

/// What must hold. Columns are those of the table that the job writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No two rows have the same key.
    UniqueKey,
    /// The columns that the contract requires are not null.
    Required,
    /// None of the columns is null.
    NotNull {
        /// The columns.
        columns: &'static [&'static str],
    },
    /// The column's values are among these.
    Accepted {
        /// A column of texts.
        column: &'static str,
        /// What it may hold.
        values: &'static [&'static str],
    },
    /// The values of each column lie between the bounds, both included; a float is a finite number.
    Range {
        /// Columns of numbers.
        columns: &'static [&'static str],
        /// The least value.
        min: Option<i64>,
        /// The greatest.
        max: Option<i64>,
    },
    /// An SQL condition on a row is not false.
    Condition {
        /// The condition; `$as_of` and `$as_of_date` are the run's.
        sql: &'static str,
        /// The columns that it is about.
        columns: &'static [&'static str],
    },
    /// Every value of the column occurs in a column of another table.
    Relation {
        /// The column.
        column: &'static str,
        /// The other table, `layer.table`; one that the job reads, so that it is there before the job runs.
        table: &'static str,
        /// The column there.
        other: &'static str,
    },
    /// The newest value of the table is at most so old when the run's `as_of` comes.
    Fresh {
        /// A column of instants.
        column: &'static str,
        /// Hours before `as_of`.
        hours: u32,
    },
    /// The number of rows changes by no more than this against the stored version.
    RowCount {
        /// By how many percent it may fall.
        fall: Option<u32>,
        /// By how many percent it may rise.
        rise: Option<u32>,
    },
    /// A SELECT over [`CHECKED`] yields no row.
    Query {
        /// It yields the offending rows, with the key and `columns`; `$as_of` and `$as_of_date` are the run's.
        sql: &'static str,
        /// The columns that it is about.
        columns: &'static [&'static str],
    },
}

/// A rule with a name, a weight and a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// Name, unique among the checks of a table; snake_case.
    pub name: &'static str,
    /// What must hold.
    pub rule: Rule,
    /// What follows if it does not.
    pub severity: Severity,
    /// When it is asked.
    pub when: When,
    /// Why it must hold, one sentence.
    pub reason: &'static str,
}

impl Check {
    const fn new(name: &'static str, rule: Rule, reason: &'static str) -> Self {
        Self { name, rule, severity: Severity::Error, when: When::Always, reason }
    }

    /// No two rows have the same key. Implied by every contract.
    pub(crate) const UNIQUE_KEY: Self = Self::new("unique_key", Rule::UniqueKey, "The key names one row.");

    /// Required columns are not null. Implied by every contract.
    pub(crate) const REQUIRED: Self =
        Self::new("required", Rule::Required, "Readers rely on columns that the contract requires.");

    /// None of the columns is null.
    pub const fn not_null(name: &'static str, columns: &'static [&'static str], reason: &'static str) -> Self {
        Self::new(name, Rule::NotNull { columns }, reason)
    }

    /// The column's values are among `values`.
    pub const fn accepted(
        name: &'static str,
        column: &'static str,
        values: &'static [&'static str],
        reason: &'static str,
    ) -> Self {
        Self::new(name, Rule::Accepted { column, values }, reason)
    }

    /// The values of all columns lie between `min` and `max`, both included.
    pub const fn between(
        name: &'static str,
        columns: &'static [&'static str],
        min: i64,
        max: i64,
        reason: &'static str,
    ) -> Self {
        Self::new(name, Rule::Range { columns, min: Some(min), max: Some(max) }, reason)
    }

    /// The values of all columns are at least `min`.
    pub const fn at_least(
        name: &'static str,
        columns: &'static [&'static str],
        min: i64,
        reason: &'static str,
    ) -> Self {
        Self::new(name, Rule::Range { columns, min: Some(min), max: None }, reason)
    }

    /// The values of all columns are at most `max`.
    pub const fn at_most(name: &'static str, columns: &'static [&'static str], max: i64, reason: &'static str) -> Self {
        Self::new(name, Rule::Range { columns, min: None, max: Some(max) }, reason)
    }

    /// An SQL condition is not false for any row.
    pub const fn condition(
        name: &'static str,
        sql: &'static str,
        columns: &'static [&'static str],
        reason: &'static str,
    ) -> Self {
        Self::new(name, Rule::Condition { sql, columns }, reason)
    }

    /// Every value of `column` occurs in `other` of `table`.
    pub const fn relation(
        name: &'static str,
        column: &'static str,
        table: &'static str,
        other: &'static str,
        reason: &'static str,
    ) -> Self {
        Self::new(name, Rule::Relation { column, table, other }, reason)
    }

    /// The newest value of `column` is at most `hours` before `as_of`.
    pub const fn fresh(name: &'static str, column: &'static str, hours: u32, reason: &'static str) -> Self {
        Self::new(name, Rule::Fresh { column, hours }, reason)
    }

    /// The number of rows falls by at most `fall` and rises by at most `rise` percent.
    pub const fn row_count(name: &'static str, fall: Option<u32>, rise: Option<u32>, reason: &'static str) -> Self {
        Self::new(name, Rule::RowCount { fall, rise }, reason)
    }

    /// A SELECT over [`CHECKED`] yields no row.
    pub const fn query(
        name: &'static str,
        sql: &'static str,
        columns: &'static [&'static str],
        reason: &'static str,
    ) -> Self {
        Self::new(name, Rule::Query { sql, columns }, reason)
    }

    /// The same check as a warning, which stops nothing.
    #[must_use]
    pub const fn warn(mut self) -> Self {
        self.severity = Severity::Warn;
        self
    }

    /// The same check, asked on demand only.
    #[must_use]
    pub const fn on_demand(mut self) -> Self {
        self.when = When::OnDemand;
        self
    }

    /// All checks of a table: those that its contract implies, then those that are declared.
    pub fn all(declared: &[Self]) -> Vec<Self> {
        [Self::UNIQUE_KEY, Self::REQUIRED].into_iter().chain(declared.iter().copied()).collect()
    }
}

impl Rule {
    /// The columns that the rule is about.
    pub fn columns(&self, contract: &Contract) -> Vec<&'static str> {
        match self {
            Self::UniqueKey => contract.key(),
            Self::Required => {
                contract.columns.iter().filter(|column| !column.nullable).map(|column| column.name).collect()
            }
            Self::NotNull { columns }
            | Self::Range { columns, .. }
            | Self::Condition { columns, .. }
            | Self::Query { columns, .. } => columns.to_vec(),
            Self::Accepted { column, .. } | Self::Relation { column, .. } | Self::Fresh { column, .. } => vec![column],
            Self::RowCount { .. } => Vec::new(),
        }
    }

    /// What must hold, in a few words.
    pub fn describe(&self, contract: &Contract) -> String {
        let columns = || self.columns(contract).join(", ");
        match self {
            Self::UniqueKey => format!("{} unique", columns()),
            Self::Required => "required columns not null".to_owned(),
            Self::NotNull { .. } => format!("{} not null", columns()),
            Self::Accepted { values, .. } => format!("{} one of {}", columns(), values.join(", ")),
            Self::Range { min, max, .. } => format!("{} {}", columns(), bounds(*min, *max)),
            Self::Condition { sql, .. } => sql.split_whitespace().collect::<Vec<_>>().join(" "),
            Self::Relation { table, other, .. } => format!("{} in {table}.{other}", columns()),
            Self::Fresh { hours, .. } => format!("newest {} at most {hours} h before as_of", columns()),
            Self::RowCount { fall, rise } => {
                let part =
                    |way: &str, percent: &Option<u32>| percent.map(|percent| format!("{way} by at most {percent}%"));
                let parts: Vec<String> = [part("fall", fall), part("rise", rise)].into_iter().flatten().collect();
                format!("rows {}", parts.join(" and "))
            }
            Self::Query { sql, .. } => format!("no row of: {}", sql.split_whitespace().collect::<Vec<_>>().join(" ")),
        }
    }
}

impl Rule {
    /// How far a rule is from holding, in a few words: `3 rows fail`.
    pub fn extent(&self, failing: Option<u64>) -> String {
        match (self, failing) {
            (Self::UniqueKey, Some(1)) => "1 key occurs more than once".to_owned(),
            (Self::UniqueKey, Some(keys)) => format!("{keys} keys occur more than once"),
            (_, Some(1)) => "1 row fails".to_owned(),
            (_, Some(rows)) => format!("{rows} rows fail"),
            (_, None) => "it does not hold".to_owned(),
        }
    }
}

fn bounds(min: Option<i64>, max: Option<i64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "finite".to_owned(),
    }
}
