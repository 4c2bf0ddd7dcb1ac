//! The command line: one module a command, thin; what it does is in the library.

mod jobs;
mod maintain;
mod run;
mod sample;
mod sql;
mod tables;

use clap::{Parser, Subcommand};
use quickchat_engine::Engine;

use crate::cluster::{Cluster, ClusterError, EmbeddedOptions};
use crate::config::{Config, ConfigError, GlobalOptions};
use crate::error::RunError;
use crate::tables::ViewError;

/// Computes QuickChat's lake: bronze, silver and gold Delta tables out of the chat application's data.
#[derive(Debug, Parser)]
#[command(name = "quickchat-etl", version, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(flatten)]
    options: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run jobs: tables, layers, schedules or full-pipeline; +x with all it reads, x+ with all that reads it
    Run(run::RunArguments),
    /// The catalog of jobs
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// The tables of the lake
    #[command(subcommand)]
    Tables(tables::TablesCommand),
    /// Keep tables fast and small
    #[command(subcommand)]
    Maintain(maintain::MaintainCommand),
    /// Run one SELECT over the lake, on the cluster
    Sql(sql::SqlArguments),
    /// Make a realistic export folder
    Sample(sample::SampleArguments),
}

/// Why a command could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The arguments.
    #[error("{0}")]
    Usage(String),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] quickchat_jobs::CatalogError),
    /// The selectors.
    #[error(transparent)]
    Select(#[from] quickchat_jobs::SelectError),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The sources.
    #[error(transparent)]
    Source(#[from] quickchat_sources::SourceError),
    /// The run as a whole.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A question about the lake.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The generator of samples.
    #[error(transparent)]
    Sample(#[from] quickchat_sample::SampleError),
    /// Standard output cannot be written to.
    #[error("cannot write the result: {0}")]
    Print(#[from] std::io::Error),
}

impl CommandError {
    /// 1 for a failed job, 2 for usage and configuration, 4 for a cluster or source that cannot be reached.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::Select(_) | Self::Sample(_) => 2,
            Self::Cluster(error) | Self::View(ViewError::Cluster(error)) => error.exit_code(),
            Self::Source(error) => match error.fault() {
                quickchat_sources::Fault::User => 2,
                quickchat_sources::Fault::External => 4,
                quickchat_sources::Fault::Internal => 1,
            },
            Self::Run(error) => error.class().exit_code(),
            Self::View(ViewError::Lake(error)) => match error.class() {
                quickchat_lake::ErrorClass::External => 4,
                _ => 1,
            },
            Self::View(_) => 2,
            Self::Catalog(_) | Self::Print(_) => 1,
        }
    }
}

/// Exit code of a command that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// Runs the command and gives its exit code.
pub async fn execute(line: CommandLine) -> Result<u8, CommandError> {
    let config = Config::resolve(line.options)?;
    match line.command {
        Command::Run(arguments) => run::run(&config, &arguments).await,
        Command::Jobs(command) => jobs::jobs(&config, &command),
        Command::Tables(command) => tables::tables(&config, &command).await,
        Command::Maintain(command) => maintain::maintain(&config, &command).await,
        Command::Sql(arguments) => sql::sql(&config, &arguments).await,
        Command::Sample(arguments) => sample::sample(&config, &arguments),
    }
}

/// The configured cluster.
async fn cluster(config: &Config) -> Result<Cluster, ClusterError> {
    let engine = Engine::default();
    match &config.scheduler {
        Some(url) => Cluster::connect_with(engine, url).await,
        None => {
            let options = EmbeddedOptions { slots: config.slots, memory: config.memory, work_dir: None };
            Cluster::embedded_with(engine, options).await
        }
    }
}
