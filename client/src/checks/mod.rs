//! The checks of the catalog, asked on a cluster.
//!
//! What is checked and how it is said in SQL is the catalog's (`quickchat_jobs::check`); this module puts tables behind
//! the names that the SQL uses, has it run, and reports.
//!
//! * [`review`]: before every commit of a run, on what it would add,
//! * [`stored`]: on demand, on the lake as it stands,
//! * [`ask`]: what both have in common.

mod ask;
mod review;
mod stored;

use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use review::Reviews;
pub use stored::{CheckResult, CheckState, TableChecks, check_tables};

/// A check that did not pass. The JSON form is stable: fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedCheck {
    /// Name of the check, unique in its table.
    pub check: &'static str,
    /// `error`, which stops the commit, or `warn`.
    pub severity: &'static str,
    /// What must hold.
    pub rule: String,
    /// Why it must.
    pub reason: &'static str,
    /// How many rows (for a repeated key: keys) fail; null for a rule that is not about rows.
    pub failing: Option<u64>,
    /// The same in words.
    #[serde(skip)]
    pub extent: String,
    /// At most ten of them, with the key and what the rule is about; texts of people are not shown. For a rule that is
    /// not about rows, the figures that fail it.
    pub rows: ShownRows,
}

/// Some rows as JSON objects, nulls included.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ShownRows {
    /// The rows.
    pub rows: Vec<Map<String, Value>>,
    /// Their columns in order, which objects do not keep.
    #[serde(skip)]
    pub columns: Vec<String>,
}

impl FailedCheck {
    /// Whether it stops a commit.
    pub fn is_error(&self) -> bool {
        self.severity == quickchat_jobs::Severity::Error.name()
    }

    /// The check and its rule in one line: `hour (hour from 0 to 23): 3 rows fail`.
    pub fn describe(&self) -> String {
        format!("{} ({}): {}", self.check, shortened(&self.rule), self.extent)
    }
}

/// How much of a rule fits into a line for people.
const RULE_CHARACTERS: usize = 100;

/// A rule as far as it fits into a line for people; all of it is in `jobs show` and in JSON.
pub(crate) fn shortened(rule: &str) -> String {
    match rule.char_indices().nth(RULE_CHARACTERS) {
        Some((end, _)) => format!("{}…", rule[..end].trim_end()),
        None => rule.to_owned(),
    }
}

/// Checks, each in its line form.
pub(crate) fn describe_all<'a>(checks: impl Iterator<Item = &'a FailedCheck>) -> String {
    checks.map(FailedCheck::describe).collect::<Vec<_>>().join("; ")
}
