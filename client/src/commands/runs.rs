//! `quickchat-etl runs`.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use serde::Serialize;

use super::CommandError;
use crate::config::Config;
use crate::output::{self, bytes, count};
use crate::record::{RunLog, RunRow};

#[derive(Debug, Subcommand)]
pub(super) enum RunsCommand {
    /// The runs of this lake, newest first
    List {
        /// How many runs
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// One run: its jobs, what they read and did, and why they failed
    Show {
        /// Id of the run, or how it begins
        run: String,
    },
}

#[derive(Serialize)]
struct RunView {
    run: RunRow,
    jobs: Vec<RunRow>,
}

pub(super) async fn runs(config: &Config, command: &RunsCommand) -> Result<u8, CommandError> {
    let log = RunLog::new(super::engine(config)?, config.lake.clone());
    match command {
        RunsCommand::List { limit } => list(config, &log.newest(*limit).await?)?,
        RunsCommand::Show { run } => {
            let (run, jobs) = log.run(run).await?;
            show(config, &RunView { run, jobs })?;
        }
    }
    Ok(0)
}

fn list(config: &Config, runs: &[RunRow]) -> Result<(), CommandError> {
    output::print(config.output, &runs, || {
        let mut table = output::table(&["run", "started at", "#seconds", "state", "of", "#read", "#written", "error"]);
        for run in runs {
            table.add_row([
                run.run_id.clone(),
                instant(run.started_at),
                seconds(run),
                run.state.name().to_owned(),
                run.selectors.join(" "),
                count(run.rows_read),
                count(run.rows_written),
                run.error.clone().unwrap_or_default(),
            ]);
        }
        table
    })?;
    Ok(())
}

fn show(config: &Config, view: &RunView) -> Result<(), CommandError> {
    output::print(config.output, view, || {
        let mut table = output::table(&[
            "job",
            "state",
            "#seconds",
            "#read",
            "#written",
            "#unchanged",
            "#quarantined",
            "#bytes",
            "#version",
            "reads",
            "why",
        ]);
        let run = &view.run;
        for row in std::iter::once(run).chain(&view.jobs) {
            let reads = row.input_versions.iter().map(|(table, version)| format!("{table}@v{version}"));
            table.add_row([
                if row.job.is_empty() { "the run".to_owned() } else { row.job.clone() },
                row.state.name().to_owned(),
                seconds(row),
                count(row.rows_read),
                count(row.rows_written),
                count(row.rows_unchanged),
                count(row.rows_quarantined),
                bytes(row.bytes_written),
                row.version.map(|version| version.to_string()).unwrap_or_default(),
                reads.collect::<Vec<_>>().join(" "),
                [&row.decision, &row.why, &row.error].into_iter().flatten().cloned().collect::<Vec<_>>().join(": "),
            ]);
        }
        let place = [run.host.as_deref(), run.process.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let facts = [
            ("selectors", run.selectors.join(" ")),
            ("as of", instant(run.as_of)),
            ("started at", instant(run.started_at)),
            ("ended at", run.ended_at.map(instant).unwrap_or_default()),
            ("version", run.program_version.clone()),
            ("process", place),
        ];
        let mut about = output::table(&["run", &run.run_id]);
        for (name, value) in facts {
            about.add_row([name.to_owned(), value]);
        }
        format!("{about}\n\n{table}")
    })?;
    Ok(())
}

fn instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn seconds(row: &RunRow) -> String {
    row.seconds.map(|seconds| format!("{seconds:.2}")).unwrap_or_default()
}
