//! One query for all checks of a table, and one more for each that fails.

use std::sync::Arc;

use super::{FailedCheck, ShownRows};
use crate::cluster::Cluster;
use crate::error::RunError;
use crate::run::register;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::JsonArray;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use quickchat_jobs::check::{ADDED, CHECKED, CheckPlan};
use quickchat_jobs::{Check, Contract, RunParameters, TableName};
use quickchat_lake::LakeRoot;
use quickchat_lake::scan::DeltaScan;

/// A table, or what is to become one, to be asked.
pub(super) struct Subject {
    /// The rows that single-row rules are about.
    pub(super) added: DeltaScan,
    /// The whole table.
    pub(super) checked: DeltaScan,
}

/// Asks the checks of one table.
pub(super) struct Asker<'a> {
    cluster: &'a Cluster,
    contract: &'a Contract,
    parameters: &'a RunParameters,
    context: SessionContext,
}

/// What came of it.
pub(super) struct Answers {
    /// Rows that were looked at.
    pub(super) rows: Option<u64>,
    /// What did not pass.
    pub(super) failed: Vec<FailedCheck>,
    /// Checks that could not be asked, since the table that they refer to is not in the lake.
    pub(super) left_out: Vec<(Check, TableName)>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        contract: &'a Contract,
        parameters: &'a RunParameters,
        subject: Subject,
    ) -> Result<Self, RunError> {
        let context = cluster.session()?;
        for (name, scan) in [(ADDED, subject.added), (CHECKED, subject.checked)] {
            context.register_table(name, Arc::new(scan)).map_err(|source| failed(contract, source))?;
        }
        Ok(Self { cluster, contract, parameters, context })
    }

    /// Asks everything that `plan` holds. Other tables are read as they are in the lake now.
    pub(super) async fn ask(&self, mut plan: CheckPlan<'_>, root: &LakeRoot) -> Result<Answers, RunError> {
        let mut left_out = Vec::new();
        for name in plan.related() {
            let tables = self.cluster.engine().tables();
            match tables.latest(&root.table(name.schema(), name.table())).await? {
                Some(pinned) => register(&self.context, &name, Arc::new(DeltaScan::of(tables, &pinned)))
                    .map_err(|source| failed(self.contract, source))?,
                None => left_out.extend(plan.leave_out(&name).into_iter().map(|check| (check, name.clone()))),
            }
        }
        let Some(query) = plan.query() else { return Ok(Answers { rows: None, failed: Vec::new(), left_out }) };
        let answer = self.run(&plan, &query).await?;
        let findings = plan.findings(&answer).map_err(|source| failed(self.contract, source))?;
        let mut failed_checks = Vec::with_capacity(findings.failed.len());
        for finding in &findings.failed {
            let batches = match plan.rows_query(&finding.check) {
                Some(query) => self.run(&plan, &query).await?,
                None => Vec::new(),
            };
            let rows = shown_rows(&batches).map_err(|source| failed(self.contract, source))?;
            failed_checks.push(failed_check(&finding.check, self.contract, finding.failing, rows));
        }
        Ok(Answers { rows: findings.rows, failed: failed_checks, left_out })
    }

    async fn run(&self, plan: &CheckPlan<'_>, query: &str) -> Result<Vec<RecordBatch>, RunError> {
        let planned = self.context.state().create_logical_plan(query).await;
        let planned = planned.and_then(|logical| logical.with_param_values(plan.parameters(self.parameters)));
        let planned = planned.map_err(|source| failed(self.contract, source))?;
        let label = format!("{} (checks)", self.contract.table);
        Ok(self.cluster.submit(&planned, &label).await?.collect().await?)
    }
}

/// The report of a check that failed.
pub(super) fn failed_check(check: &Check, contract: &Contract, failing: Option<u64>, rows: ShownRows) -> FailedCheck {
    FailedCheck {
        check: check.name,
        severity: check.severity.name(),
        rule: check.rule.describe(contract),
        reason: check.reason,
        failing,
        extent: check.rule.extent(failing),
        rows,
    }
}

fn failed(contract: &Contract, source: DataFusionError) -> RunError {
    RunError::Checks { table: contract.table.to_string(), source: Box::new(source) }
}

fn shown_rows(batches: &[RecordBatch]) -> Result<ShownRows, DataFusionError> {
    let Some(first) = batches.first() else { return Ok(ShownRows::default()) };
    let columns = first.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let bytes = writer.into_inner();
    if bytes.is_empty() {
        return Ok(ShownRows { columns, rows: Vec::new() });
    }
    let rows = serde_json::from_slice(&bytes).map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(ShownRows { columns, rows })
}
