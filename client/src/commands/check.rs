//! `quickchat-etl check`.

use chrono::{DateTime, Utc};
use clap::Args;
use quickchat_jobs::{Catalog, RunParameters};

use super::{CommandError, cluster};
use crate::checks::check_tables;
use crate::config::Config;
use crate::instant::parse_instant;
use crate::output;

/// What to check.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Tables, layers, schedules, full-pipeline; with + before or after for all inputs or all readers
    #[arg(required = true, value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// What checks take for now, exclusive: 2026-01-31T12:00:00Z, or a date for its first instant [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    as_of: Option<DateTime<Utc>>,
}

pub(super) async fn check(config: &Config, arguments: &CheckArguments) -> Result<u8, CommandError> {
    let catalog = Catalog::builtin()?;
    let jobs = catalog.select(&arguments.selectors)?;
    let cluster = cluster(config).await?;
    let as_of = arguments.as_of.unwrap_or_else(Utc::now);
    let parameters = RunParameters { as_of_micros: as_of.timestamp_micros(), run_id: uuid::Uuid::now_v7().to_string() };
    let tables = check_tables(&cluster, &config.lake, &jobs, &parameters).await;
    cluster.stop().await;
    output::print_checks(config.output, &tables)?;
    for table in &tables {
        if let Some(error) = &table.error {
            tracing::error!(table = table.table, error, "the table could not be checked");
        }
    }
    Ok(tables.iter().map(crate::checks::TableChecks::exit_code).filter(|code| *code != 0).min().unwrap_or(0))
}
