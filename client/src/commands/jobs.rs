//! `quickchat-etl jobs`.

use clap::Subcommand;
use quickchat_jobs::check::When;
use quickchat_jobs::{Catalog, Check, Contract, Job, View, WriteMode};
use serde::Serialize;

use super::CommandError;
use crate::config::Config;
use crate::output;

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// All jobs: what they read, write, and when; and all views
    List,
    /// One job or view: its columns, its checks and its query
    Show {
        /// Name of the job or view, for example silver.messages
        job: String,
    },
}

/// A job or view as `-o json` shows it.
#[derive(Serialize)]
struct JobView {
    job: String,
    /// `job`, or `view` for what is computed when it is read and never runs.
    kind: &'static str,
    summary: &'static str,
    reads: Vec<String>,
    schedule: Option<&'static str>,
    writes: String,
    key: Vec<&'static str>,
    partition: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<ColumnView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<CheckView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<&'static str>,
    /// What a job computes that is not written in SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
}

/// A check as `-o json` shows it.
#[derive(Serialize)]
struct CheckView {
    check: &'static str,
    severity: &'static str,
    /// `always`: before every commit and on demand; `on_demand`: only then.
    when: &'static str,
    rule: String,
    reason: &'static str,
}

/// A column as `-o json` shows it.
#[derive(Serialize)]
pub(super) struct ColumnView {
    column: &'static str,
    kind: String,
    nullable: bool,
    about: &'static str,
}

pub(super) fn jobs(config: &Config, command: &JobsCommand) -> Result<u8, CommandError> {
    let catalog = Catalog::builtin()?;
    match command {
        JobsCommand::List => {
            let jobs = catalog.jobs().iter().map(describe);
            let views: Vec<JobView> = jobs.chain(catalog.views().iter().map(describe_view)).collect();
            output::print(config.output, &views, || {
                let mut table = output::table(&["job", "runs", "reads", "writes"]);
                for job in &views {
                    table.add_row([&job.job, job.schedule.unwrap_or(job.kind), &job.reads.join(", "), &job.writes]);
                }
                table
            })?;
        }
        JobsCommand::Show { job } => {
            if let Some(view) = catalog.view(job) {
                return show_view(config, view);
            }
            let selected = catalog.select(&[job])?;
            let definitions = selected.iter().map(|job| catalog.definition(job)).collect::<Result<Vec<_>, _>>()?;
            let whole = |(job, definition): (&&Job, &String)| JobView {
                columns: Some(columns(job.contract())),
                checks: Some(checks(job)),
                sql: job.sql(),
                plan: job.sql().is_none().then(|| definition.clone()),
                ..describe(job)
            };
            let views: Vec<JobView> = selected.iter().zip(&definitions).map(whole).collect();
            output::print(config.output, &views, || {
                let mut table = output::table(&["column", "type", "meaning"]);
                for (job, definition) in selected.iter().zip(&definitions) {
                    table.add_row([&job.name().to_string(), "", job.contract().summary]);
                    add_columns(&mut table, job.contract());
                    for check in checks(job) {
                        let when = if check.when == ALWAYS { "" } else { ", on demand" };
                        let weight = format!("{}{when}", check.severity);
                        table.add_row([
                            format!("check {}", check.check),
                            weight,
                            format!("{}. {}", check.rule, check.reason),
                        ]);
                    }
                    table.add_row(["query", "", definition]);
                }
                table
            })?;
        }
    }
    Ok(0)
}

fn show_view(config: &Config, view: &View) -> Result<u8, CommandError> {
    let contract = view.contract();
    let shown = JobView { columns: Some(columns(contract)), sql: Some(view.sql()), ..describe_view(view) };
    output::print(config.output, &[shown], || {
        let mut table = output::table(&["column", "type", "meaning"]);
        table.add_row([&contract.table.to_string(), "", contract.summary]);
        add_columns(&mut table, contract);
        table.add_row(["query", "", view.sql()]);
        table
    })?;
    Ok(0)
}

fn describe_view(view: &View) -> JobView {
    let contract = view.contract();
    JobView {
        job: view.name().to_string(),
        kind: "view",
        summary: contract.summary,
        reads: view.reads().iter().map(ToString::to_string).collect(),
        schedule: None,
        writes: "nothing, computed when it is read".to_owned(),
        key: contract.key(),
        partition: None,
        columns: None,
        checks: None,
        sql: None,
        plan: None,
    }
}

fn describe(job: &Job) -> JobView {
    let contract = job.contract();
    JobView {
        job: job.name().to_string(),
        kind: "job",
        summary: contract.summary,
        reads: job.reads().iter().map(ToString::to_string).collect(),
        schedule: Some(job.schedule().name()),
        writes: match job.write_mode() {
            WriteMode::Upsert { newest } => format!("upsert by {}, newest {newest} wins", contract.key().join(", ")),
            WriteMode::ReplaceTable => "the table anew, changed partitions only".to_owned(),
            WriteMode::ReplacePartitions => {
                format!("one {} anew, history stays", contract.partition().unwrap_or("partition"))
            }
        },
        key: contract.key(),
        partition: contract.partition(),
        columns: None,
        checks: None,
        sql: None,
        plan: None,
    }
}

const ALWAYS: &str = "always";

/// All checks of a job's table, implied ones first.
fn checks(job: &Job) -> Vec<CheckView> {
    let view = |check: Check| CheckView {
        check: check.name,
        severity: check.severity.name(),
        when: if check.when == When::Always { ALWAYS } else { "on_demand" },
        rule: check.rule.describe(job.contract()),
        reason: check.reason,
    };
    Check::all(job.checks()).into_iter().map(view).collect()
}

/// The columns of a contract.
pub(super) fn columns(contract: &Contract) -> Vec<ColumnView> {
    let view = |column: &quickchat_jobs::Column| ColumnView {
        column: column.name,
        kind: column.kind.to_string(),
        nullable: column.nullable,
        about: column.about,
    };
    contract.columns.iter().map(view).collect()
}

/// Adds a row per column of a contract.
pub(super) fn add_columns(table: &mut comfy_table::Table, contract: &Contract) {
    for column in columns(contract) {
        let mark = if column.nullable { "?" } else { "" };
        table.add_row([column.column.to_owned(), format!("{}{mark}", column.kind), column.about.to_owned()]);
    }
}
