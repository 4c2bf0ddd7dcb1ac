//! The command line: one module a command, thin; what it does is in the library.

mod check;
mod doctor;
mod export;
mod jobs;
mod maintain;
mod run;
mod runs;
mod sample;
mod sql;
mod tables;

use clap::{Parser, Subcommand};
use quickchat_engine::Engine;

use crate::cluster::{Cluster, ClusterError, EmbeddedOptions};
use crate::config::{Config, ConfigError, GlobalOptions};
use crate::error::RunError;
use crate::export::ExportError;
use crate::record::RecordError;
use crate::sources::ExportsError;
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
    /// Say what each job would do and why, from logs and lists of files alone
    Plan(run::JobsArguments),
    /// Ask the quality checks of the tables in the lake
    Check(check::CheckArguments),
    /// The catalog of jobs
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// The tables of the lake
    #[command(subcommand)]
    Tables(tables::TablesCommand),
    /// What ran, when, how much it did and why it failed
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    /// Keep tables fast and small
    #[command(subcommand)]
    Maintain(maintain::MaintainCommand),
    /// Run one SELECT over the lake, on the cluster
    Sql(sql::SqlArguments),
    /// Connect to everything that is configured and say what works
    Doctor,
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
    /// A job's definition.
    #[error("cannot show what a job computes: {0}")]
    Definition(#[from] datafusion::error::DataFusionError),
    /// The selectors.
    #[error(transparent)]
    Select(#[from] quickchat_jobs::SelectError),
    /// The lake's object store cannot be opened.
    #[error(transparent)]
    Store(quickchat_lake::LakeError),
    /// The exports.
    #[error(transparent)]
    Exports(#[from] ExportsError),
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
    /// A question about runs.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An export.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The generator of samples.
    #[error(transparent)]
    Sample(#[from] quickchat_sample::SampleError),
    /// Standard output cannot be written to.
    #[error("cannot write the result: {0}")]
    Print(#[from] std::io::Error),
}

impl CommandError {
    /// 1 for a failed job, 2 for usage and configuration, 3 for a failed check, 4 for a cluster or source that cannot be
    /// reached.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::Select(_) | Self::Sample(_) | Self::Store(_) => 2,
            Self::Exports(ExportsError::Address(_) | ExportsError::Store(_)) => 2,
            Self::Cluster(error) | Self::View(ViewError::Cluster(error)) => error.exit_code(),
            Self::Source(error) | Self::Exports(ExportsError::Folder(error)) => match error.fault() {
                quickchat_sources::Fault::User => 2,
                quickchat_sources::Fault::External => 4,
                quickchat_sources::Fault::Internal => 1,
            },
            Self::Run(error) => error.class().exit_code(),
            Self::View(ViewError::Lake(error)) | Self::Record(RecordError::Lake(error)) => match error.class() {
                quickchat_lake::ErrorClass::External => 4,
                _ => 1,
            },
            Self::View(_) | Self::Record(RecordError::Unknown { .. } | RecordError::Ambiguous { .. }) => 2,
            Self::Export(
                ExportError::NotLocal { .. } | ExportError::Exists { .. } | ExportError::NotAnExport { .. },
            ) => 2,
            Self::Export(_) => 1,
            Self::Record(RecordError::Read(_)) => 1,
            Self::Catalog(_) | Self::Definition(_) | Self::Print(_) => 1,
        }
    }
}

/// Exit code of a command that could not reach the cluster or a source.
const OUT_OF_REACH: u8 = 4;

/// Exit code of a command that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// Runs the command and gives its exit code.
pub async fn execute(line: CommandLine) -> Result<u8, CommandError> {
    let config = Config::resolve(line.options)?;
    match line.command {
        Command::Run(arguments) => run::run(&config, &arguments).await,
        Command::Plan(arguments) => run::plan(&config, &arguments).await,
        Command::Check(arguments) => check::check(&config, &arguments).await,
        Command::Jobs(command) => jobs::jobs(&config, &command),
        Command::Runs(command) => runs::runs(&config, &command).await,
        Command::Tables(command) => tables::tables(&config, &command).await,
        Command::Maintain(command) => maintain::maintain(&config, &command).await,
        Command::Sql(arguments) => sql::sql(&config, &arguments).await,
        Command::Doctor => doctor::doctor(&config).await,
        Command::Sample(arguments) => sample::sample(&config, &arguments),
    }
}

/// Waits for Ctrl-C.
async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "an interrupt cannot be noticed on this system");
        std::future::pending::<()>().await;
    }
}

/// The configured cluster. A lake that cannot be opened by this process's environment is complained of first.
async fn cluster(config: &Config) -> Result<Cluster, CommandError> {
    let engine = engine(config)?;
    let cluster = match &config.scheduler {
        Some(url) => Cluster::connect_with(engine, url).await,
        None => {
            let options = EmbeddedOptions { slots: config.slots, memory: config.memory, work_dir: None };
            Cluster::embedded_with(engine, options).await
        }
    };
    Ok(cluster?)
}

/// What opens the lake, once it is known that it can be opened. Nothing is asked of its store yet.
fn engine(config: &Config) -> Result<Engine, CommandError> {
    let engine = Engine::default();
    engine.tables().stores().get(config.lake.url()).map_err(CommandError::Store)?;
    Ok(engine)
}
