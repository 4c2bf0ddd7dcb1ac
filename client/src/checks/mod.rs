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
    /// At most ten of them, with the key and what the rule is about; texts of people are not shown. For a rule that is
    /// not about rows, the figures that fail it.
    pub rows: Vec<Map<String, Value>>,
    /// Columns of the rows, in order.
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
        let extent = match self.failing {
            Some(1) => "1 row fails".to_owned(),
            Some(failing) => format!("{failing} rows fail"),
            None => "fails".to_owned(),
        };
        format!("{} ({}): {extent}", self.check, self.rule)
    }
}

/// Checks, each in its line form.
pub(crate) fn describe_all<'a>(checks: impl Iterator<Item = &'a FailedCheck>) -> String {
    checks.map(FailedCheck::describe).collect::<Vec<_>>().join("; ")
}
