//! `quickchat-etl jobs`.

use clap::Subcommand;
use quickchat_jobs::{Catalog, Contract, Job, View, WriteMode};
use serde::Serialize;

use super::CommandError;
use crate::config::Config;
use crate::output;

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// All jobs: what they read, write, and when; and all views
    List,
    /// One job or view: its columns and its query
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
    sql: Option<&'static str>,
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
            let jobs = catalog.jobs().iter().map(|job| describe(job, false));
            let views: Vec<JobView> =
                jobs.chain(catalog.views().iter().map(|view| describe_view(view, false))).collect();
            output::print(config.output, &views, || {
                let mut table = output::table(&["job", "runs", "reads", "writes"]);
                for job in &views {
                    table.add_row([&job.job, job.schedule.unwrap_or(job.kind), &job.reads.join(", "), &job.writes]);
                }
                table
            })?;
        }
        JobsCommand::Show { job } => {
            let (views, shown): (Vec<JobView>, Vec<(&Contract, &str)>) = match catalog.view(job) {
                Some(view) => (vec![describe_view(view, true)], vec![(view.contract(), view.sql())]),
                None => {
                    let selected = catalog.select(&[job])?;
                    let described = selected.iter().map(|job| describe(job, true)).collect();
                    (described, selected.iter().map(|job| (job.contract(), job.sql())).collect())
                }
            };
            output::print(config.output, &views, || {
                let mut table = output::table(&["column", "type", "meaning"]);
                for (contract, sql) in &shown {
                    table.add_row([&contract.table.to_string(), "", contract.summary]);
                    add_columns(&mut table, contract);
                    table.add_row(["query", "", sql]);
                }
                table
            })?;
        }
    }
    Ok(0)
}

fn describe_view(view: &View, whole: bool) -> JobView {
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
        columns: whole.then(|| columns(contract)),
        sql: whole.then(|| view.sql()),
    }
}

fn describe(job: &Job, whole: bool) -> JobView {
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
        columns: whole.then(|| columns(contract)),
        sql: whole.then(|| job.sql()),
    }
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
