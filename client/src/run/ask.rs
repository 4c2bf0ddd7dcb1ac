//! Small questions to the cluster on behalf of a job, answered by the values of one column.

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use quickchat_jobs::Job;
use quickchat_lake::LakeError;
use quickchat_lake::operation::QueryRunner;

use super::Run;
use super::inputs::plan_error;
use crate::error::RunError;

/// Plans a question that is put in SQL.
pub(super) async fn plan_sql(
    job: &Job,
    context: &SessionContext,
    sql: &str,
    values: ParamValues,
) -> Result<LogicalPlan, RunError> {
    let plan = context.state().create_logical_plan(sql).await.map_err(plan_error(job))?;
    plan.with_param_values(values).map_err(plan_error(job))
}

/// Runs a question, and gives the first column of the answer in pieces. `about` tells people what is asked.
pub(super) async fn ask(run: &Run, job: &Job, question: LogicalPlan, about: &str) -> Result<Vec<ArrayRef>, RunError> {
    let label = format!("{} ({about})", job.name());
    let batches = run.runner(job).run(question, &label).await.map_err(LakeError::Runner)?;
    Ok(batches.iter().filter_map(|batch| batch.columns().first().cloned()).collect())
}

/// Runs a question whose answer is text; nulls are left out.
pub(super) async fn ask_for_texts(
    run: &Run,
    job: &Job,
    question: LogicalPlan,
    about: &str,
) -> Result<Vec<String>, RunError> {
    let mut texts = Vec::new();
    for column in ask(run, job, question, about).await? {
        let column = column.as_string_opt::<i32>();
        let column = column.ok_or_else(|| RunError::Definition { job: job.name().to_string() })?;
        texts.extend(column.iter().flatten().map(str::to_owned));
    }
    Ok(texts)
}
