//! Which parts of a table a change concerns, where only rows can tell: questions asked on the cluster.
//!
//! A question compares two versions of an input in the columns that matter to the job, by key and hash, and follows
//! the rows that differ to units of the job, by the query that the job declares. Files that both versions have are not
//! read. The answer is a list of units, bounded, since a long one means that everything should be computed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::{ParamValues, ScalarValue};
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
    let mut units = increment.units.clone();
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
    let sql = question_sql(&run.catalog, question)?;
    let plan = plan_sql(job, &context, &sql, parameters(run, question)).await?;
    ask_for_texts(run, job, plan, &format!("what {} concerns", question.table)).await
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
fn question_sql(catalog: &Catalog, question: &Question) -> Result<String, RunError> {
    let name = question.table.to_string();
    let contract = catalog.job(&name).ok_or(RunError::Definition { job: name })?.contract();
    let key = contract.key();
    let columns: Vec<&str> =
        key.iter().chain(question.columns.iter().filter(|column| !key.contains(column))).copied().collect();
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
        question.units,
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
