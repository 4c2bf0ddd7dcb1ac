//! Checks on demand, of tables as they stand: everything is asked, also what a run's own writes guarantee, for others
//! may have written too.

use futures::StreamExt;
use quickchat_jobs::check::{CheckPlan, Occasion};
use quickchat_jobs::{Check, Job, Rule, RunParameters};
use quickchat_lake::LakeRoot;
use quickchat_lake::scan::DeltaScan;
use serde::Serialize;

use super::ShownRows;
use super::ask::{Answers, Asker, Subject};
use crate::cluster::Cluster;
use crate::error::{ErrorClass, RunError};

/// Tables that are checked at a time.
const PARALLEL: usize = 3;

/// The checks of one table. The JSON form is stable: fields are added, never renamed.
#[derive(Debug, Clone, Serialize)]
pub struct TableChecks {
    /// The table.
    pub table: String,
    /// The version that was checked; null if the table was never written.
    pub version: Option<u64>,
    /// Its rows.
    pub rows: Option<u64>,
    /// All checks of the table; none if it was never written or could not be checked.
    pub checks: Vec<CheckResult>,
    /// Why the table could not be checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who has to act on that.
    #[serde(skip)]
    class: Option<ErrorClass>,
}

/// A check of a table and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct CheckResult {
    /// Name of the check, unique in its table.
    pub check: &'static str,
    /// `error` or `warn`.
    pub severity: &'static str,
    /// What must hold.
    pub rule: String,
    /// Why it must.
    pub reason: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub state: CheckState,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CheckState {
    /// It holds.
    Passed,
    /// It does not.
    Failed {
        /// How many rows (for a repeated key: keys) fail; null for a rule that is not about rows.
        failing: Option<u64>,
        /// At most ten of them; texts of people are not shown.
        rows: ShownRows,
    },
    /// It could not be asked.
    Skipped {
        /// Why not.
        because: String,
    },
}

impl TableChecks {
    /// 0 when all is well, 3 when a check of severity error failed, otherwise that of what went wrong.
    pub fn exit_code(&self) -> u8 {
        let is_error = |check: &&CheckResult| check.severity == quickchat_jobs::Severity::Error.name();
        let has_failed = |check: &CheckResult| matches!(check.state, CheckState::Failed { .. });
        match self.class {
            Some(class) => class.exit_code(),
            None if self.checks.iter().filter(is_error).any(has_failed) => ErrorClass::Quality.exit_code(),
            None => 0,
        }
    }
}

/// Checks the newest versions of the tables that `jobs` write, in their order.
pub async fn check_tables(
    cluster: &Cluster,
    root: &LakeRoot,
    jobs: &[&Job],
    parameters: &RunParameters,
) -> Vec<TableChecks> {
    let checking = jobs.iter().map(|job| async move {
        let table = job.name().to_string();
        check_table(cluster, root, job, parameters).await.unwrap_or_else(|error| TableChecks {
            table,
            version: None,
            rows: None,
            checks: Vec::new(),
            error: Some(error.with_causes()),
            class: Some(error.class()),
        })
    });
    futures::stream::iter(checking).buffered(PARALLEL).collect().await
}

async fn check_table(
    cluster: &Cluster,
    root: &LakeRoot,
    job: &Job,
    parameters: &RunParameters,
) -> Result<TableChecks, RunError> {
    let contract = job.contract();
    let tables = cluster.engine().tables();
    let mut result = TableChecks {
        table: contract.table.to_string(),
        version: None,
        rows: None,
        checks: Vec::new(),
        error: None,
        class: None,
    };
    let url = root.table(contract.table.schema(), contract.table.table());
    let Some(pinned) = tables.latest(&url).await? else { return Ok(result) };
    let scan = DeltaScan::of(tables, &pinned).nullable();
    let subject = Subject { added: scan.clone(), checked: scan };
    let plan = CheckPlan::new(contract, job.checks(), Occasion::Stored);
    let answers = Asker::new(cluster, contract, parameters, subject)?.ask(plan, root).await?;
    result.version = Some(pinned.version);
    result.rows = answers.rows;
    let judge = |check: Check| CheckResult {
        check: check.name,
        severity: check.severity.name(),
        rule: check.rule.describe(contract),
        reason: check.reason,
        state: state(&check, &answers),
    };
    result.checks = Check::all(job.checks()).into_iter().map(judge).collect();
    Ok(result)
}

fn state(check: &Check, answers: &Answers) -> CheckState {
    if matches!(check.rule, Rule::RowCount { .. }) {
        return CheckState::Skipped { because: "it compares a commit with the version before".to_owned() };
    }
    if let Some((_, table)) = answers.left_out.iter().find(|(left_out, _)| left_out == check) {
        return CheckState::Skipped { because: format!("{table} is not in the lake") };
    }
    match answers.failed.iter().find(|failed| failed.check == check.name) {
        Some(failed) => CheckState::Failed { failing: failed.failing, rows: failed.rows.clone() },
        None => CheckState::Passed,
    }
}
