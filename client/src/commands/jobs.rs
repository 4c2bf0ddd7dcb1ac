//! `quickchat-etl jobs`.

use clap::Subcommand;
use quickchat_jobs::{Catalog, Contract, Job, WriteMode};
use serde::Serialize;

use super::CommandError;
use crate::config::Config;
use crate::output;

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// All jobs: what they read, write, and when
    List,
    /// One job: its columns and its query
    Show {
        /// Name of the job, for example silver.messages
        job: String,
    },
}

/// A job as `-o json` shows it.
#[derive(Serialize)]
struct JobView {
    job: String,
    summary: &'static str,
    reads: Vec<String>,
    schedule: &'static str,
    writes: String,
    key: Vec<&'static str>,
    partition: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<ColumnView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<&'static str>,
    /// What a job computes that is not written in SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
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
            let views: Vec<JobView> = catalog.jobs().iter().map(view).collect();
            output::print(config.output, &views, || {
                let mut table = output::table(&["job", "runs", "reads", "writes"]);
                for job in &views {
                    table.add_row([&job.job, job.schedule, &job.reads.join(", "), &job.writes]);
                }
                table
            })?;
        }
        JobsCommand::Show { job } => {
            let selected = catalog.select(&[job])?;
            let definitions = selected.iter().map(|job| catalog.definition(job)).collect::<Result<Vec<_>, _>>()?;
            let whole = |(job, definition): (&&Job, &String)| JobView {
                columns: Some(columns(job.contract())),
                sql: job.sql(),
                plan: job.sql().is_none().then(|| definition.clone()),
                ..view(job)
            };
            let views: Vec<JobView> = selected.iter().zip(&definitions).map(whole).collect();
            output::print(config.output, &views, || {
                let mut table = output::table(&["column", "type", "meaning"]);
                for (job, definition) in selected.iter().zip(&definitions) {
                    table.add_row([&job.name().to_string(), "", job.contract().summary]);
                    add_columns(&mut table, job.contract());
                    table.add_row(["query", "", definition]);
                }
                table
            })?;
        }
    }
    Ok(0)
}

fn view(job: &Job) -> JobView {
    let contract = job.contract();
    JobView {
        job: job.name().to_string(),
        summary: contract.summary,
        reads: job.reads().iter().map(ToString::to_string).collect(),
        schedule: job.schedule().name(),
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
        sql: None,
        plan: None,
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
