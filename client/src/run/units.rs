//! Which parts of a table a change concerns, where only rows can tell: questions asked on the cluster.
//!
//! A question compares two versions of an input in the columns that matter to the job, by key and hash, and follows
//! the rows that differ to units of the job, by the query that the job declares. Files that both versions have are not
//! read. The answer is a list of units, bounded, since a long one means that everything should be computed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use quickchat_jobs::{Catalog, EventTime, Job, TableName};
use quickchat_lake::scan::{DeltaScan, Subset};
use quickchat_lake::snapshot::PinnedTable;

use super::Run;
use super::ask::{ask, ask_for_texts, plan_sql};
use super::basis::{Basis, InputVersion};
use super::decide::{Increment, MAX_UNITS, Question, Reason, is_at_start};
use super::inputs::{Input, Inputs, plan_error, register};
use crate::error::RunError;

/// Schema of the relations that a question is asked over.
const SCHEMA: &str = "difference";

/// All units that an increment concerns, or why they are not worth telling apart.
pub(super) async fn resolve(
    run: &Run,
    job: &Job,
    inputs: &Inputs,
    increment: &Increment,
    target: &PinnedTable,
) -> Result<Result<BTreeSet<String>, Reason>, RunError> {
    let mut units = increment.certain.clone();
    for question in &increment.questions {
        units.extend(concerned(run, job, inputs, question).await?);
        if units.len() > MAX_UNITS {
            return Ok(Err(Reason::ManyUnits));
        }
    }
    match is_at_start(job, target, &units) {
        true => Ok(Err(Reason::FirstDate)),
        false => Ok(Ok(units)),
    }
}

/// The units that one question finds.
async fn concerned(run: &Run, job: &Job, inputs: &Inputs, question: &Question) -> Result<Vec<String>, RunError> {
    let input = inputs.get(&question.table).ok_or_else(|| RunError::Definition { job: job.name().to_string() })?;
    let context = inputs.session(run, job)?;
    register_versions(run, job, &context, input, question.from_version).await?;
    let plan = async |units: &str| {
        let sql = question_sql(&run.catalog, question, units)?;
        plan_sql(job, &context, &sql, parameters(run, question)).await
    };
    let label = format!("what {} concerns", question.table);
    let which = plan(&question.units).await?;
    // What does not look at changed rows alone may look at a lot, for nothing if there are none.
    if asks_other_tables(&which).map_err(plan_error(job))? {
        let any = plan("SELECT 'any' FROM changed LIMIT 1").await?;
        if ask_for_texts(run, job, any, &label).await?.is_empty() {
            return Ok(Vec::new());
        }
    }
    ask_for_texts(run, job, which, &label).await
}

/// Whether a question reads more than the two versions that it compares.
fn asks_other_tables(plan: &LogicalPlan) -> DataFusionResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found |= scan.table_name.schema() != Some(SCHEMA);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Makes the files visible that one of the two versions has and the other has not, and the input as a whole.
async fn register_versions(
    run: &Run,
    job: &Job,
    context: &SessionContext,
    input: &Input,
    from_version: u64,
) -> Result<(), RunError> {
    let tables = run.lake.tables();
    let new = &input.pinned;
    let old = tables.version(&new.url, from_version, Some(new.metadata.id())).await?;
    let paths = |table: &PinnedTable| -> HashSet<String> { table.files.iter().map(|file| file.path.clone()).collect() };
    let (before, after) = (paths(&old), paths(new));
    let only = |ours: &HashSet<String>, theirs: &HashSet<String>| {
        let mut paths: Vec<String> = ours.difference(theirs).cloned().collect();
        paths.sort();
        Subset::Paths(paths)
    };
    for (name, scan) in [
        ("before", DeltaScan::part_of(tables, &old, only(&before, &after))),
        ("after", DeltaScan::part_of(tables, new, only(&after, &before))),
        ("present", DeltaScan::of(tables, new)),
    ] {
        register(context, &TableName::new(SCHEMA, name), Arc::new(scan)).map_err(plan_error(job))?;
    }
    Ok(())
}

/// The question as SQL. Names of columns come from the catalog, so they need no quoting.
fn question_sql(catalog: &Catalog, question: &Question, units: &str) -> Result<String, RunError> {
    let name = question.table.to_string();
    let contract = catalog.job(&name).ok_or(RunError::Definition { job: name })?.contract();
    let key = contract.key();
    let mut columns: Vec<&str> = Vec::new();
    for column in key.iter().chain(question.columns).copied().chain(contract.partition()) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let list = columns.join(", ");
    let ours: Vec<String> = columns.iter().map(|column| format!("ours.{column} AS {column}")).collect();
    let ours = ours.join(", ");
    let same: Vec<String> =
        key.iter().chain(&["_hash"]).map(|column| format!("ours.{column} = theirs.{column}")).collect();
    let same = same.join(" AND ");
    let hashed = |version: &str| format!("SELECT {list}, row_hash({list}) AS _hash FROM {SCHEMA}.{version}");
    let only = |left: &str, right: &str| {
        format!("SELECT {ours} FROM {left} AS ours LEFT ANTI JOIN {right} AS theirs ON {same}")
    };
    let mut changed = vec![only("rows_before", "rows_after"), only("rows_after", "rows_before")];
    changed.extend(question.became_past.map(|(_, _, column)| {
        format!("SELECT {list} FROM {SCHEMA}.present WHERE {column} >= $past_from AND {column} < $past_to")
    }));
    Ok(format!(
        "WITH rows_before AS ({}), rows_after AS ({}), changed AS ({}) \
         SELECT DISTINCT arrow_cast(unit, 'Utf8') AS unit FROM ({}) AS concerned (unit) \
         WHERE unit IS NOT NULL LIMIT {}",
        hashed("before"),
        hashed("after"),
        changed.join(" UNION ALL "),
        units,
        MAX_UNITS + 1
    ))
}

fn parameters(run: &Run, question: &Question) -> ParamValues {
    let mut values = run.parameters.named();
    if let Some((from, to, _)) = question.became_past {
        let instant = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
        values.extend([("past_from", instant(from)), ("past_to", instant(to))]);
    }
    ParamValues::from(values)
}

/// The versions of the inputs as a basis notes them: with the first instants from which their rows count otherwise.
pub(super) async fn versions(
    run: &Run,
    job: &Job,
    inputs: &Inputs,
    basis: Option<&Basis>,
) -> Result<BTreeMap<String, InputVersion>, RunError> {
    let mut versions = inputs.versions();
    for dependency in job.incremental().inputs {
        let EventTime::ColumnAnd { next, .. } = dependency.time else { continue };
        let name = dependency.table.to_string();
        let Some(version) = versions.get_mut(&name) else { continue };
        let known = basis.and_then(|basis| basis.inputs.get(&name)).filter(|known| {
            let later = known.next.is_none_or(|next| next >= run.parameters.as_of_micros);
            known.is_same(version) && later
        });
        // What was true at an earlier instant about the future still is, if none of it has come to pass.
        let went_back = basis.is_some_and(|basis| basis.as_of_micros > run.parameters.as_of_micros);
        version.next = match known {
            Some(known) if !went_back => known.next,
            _ => first_instant(run, job, inputs, next).await?,
        };
    }
    Ok(versions)
}

async fn first_instant(run: &Run, job: &Job, inputs: &Inputs, sql: &str) -> Result<Option<i64>, RunError> {
    let context = inputs.session(run, job)?;
    let sql = format!("SELECT arrow_cast(instant, 'Int64') AS instant FROM ({sql}) AS next (instant)");
    let plan = plan_sql(job, &context, &sql, run.parameters.values()).await?;
    let instants = ask(run, job, plan, "what is still to come").await?;
    let instants = instants.iter().filter_map(|column| column.as_primitive_opt::<Int64Type>());
    Ok(instants.flatten().flatten().min())
}
