//! The whole pipeline in a process of its own: wall time, CPU time, peak memory, rows and bytes of each job.
//!
//! Runs `quickchat-etl run full-pipeline` on a sample, first into an empty lake, then once more with nothing changed, then
//! with some messages of the last days edited; all of it several times. The process is measured by the operating system
//! when it ends, so start-up, planning and shutdown are included, and peak memory is the highest resident set that it
//! ever had.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures::{StreamExt, TryStreamExt};
use quickchat_benches::data::{DataOptions, Exports, with_edits};
use quickchat_benches::{process, progress, report};
use quickchat_lake::TableUrl;
use quickchat_lake::stores::ObjectStores;
use quickchat_sample::{DEFAULT_END, SampleOptions};
use report::Spread;
use serde::{Deserialize, Serialize};

/// Measures the whole pipeline in a process of its own.
#[derive(Debug, Parser, Serialize)]
struct Options {
    /// Messages of the sample
    #[arg(long, default_value_t = 200_000)]
    messages: u64,
    /// How often the two runs are repeated, each time with a new lake
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// The program [default: quickchat-etl beside this one]; `build` in the result is that of this one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Messages that are edited before a third run
    #[arg(long, default_value_t = 1_000)]
    edits: usize,
    /// Make the lakes below this address instead of the data folder, for example s3://bucket/path, which AWS_* in the
    /// environment make reachable; each is removed when it is done with
    #[arg(long, value_name = "URL")]
    lake: Option<String>,
    /// What the runs take for now; the sample ends there
    #[arg(long, default_value = "2026-01-31")]
    as_of: String,
    #[command(flatten)]
    data: DataOptions,
    /// Further arguments of `quickchat-etl run`, such as --slots 2
    #[arg(last = true, value_name = "ARGUMENT")]
    run_arguments: Vec<String>,
}

#[derive(Serialize)]
struct Results {
    export_bytes: u64,
    /// Into an empty lake.
    first: Figures,
    /// Once more, with nothing changed.
    second: Figures,
    /// With some messages of the last days edited.
    edited: Figures,
}

#[derive(Serialize)]
struct Figures {
    wall_seconds: Spread,
    cpu_seconds: Spread,
    user_seconds: Spread,
    system_seconds: Spread,
    peak_memory_bytes: Spread,
    /// The sum over all jobs, as are the bytes.
    written_rows: u64,
    written_bytes: u64,
    jobs: Vec<JobFigures>,
}

#[derive(Serialize)]
struct JobFigures {
    job: String,
    #[serde(flatten)]
    counts: JobCounts,
    /// Of the last repetition, as are the bytes.
    files: u64,
    bytes: u64,
    seconds: Spread,
}

/// One process, from start to end.
struct Execution {
    wall_seconds: f64,
    user_seconds: f64,
    system_seconds: f64,
    peak_memory_bytes: u64,
    jobs: Vec<JobReport>,
}

/// What is read of the JSON that the program prints.
#[derive(Deserialize)]
struct RunReport {
    jobs: Vec<JobReport>,
}

#[derive(Deserialize)]
struct JobReport {
    job: String,
    state: String,
    #[serde(flatten)]
    counts: JobCounts,
    files: u64,
    bytes: u64,
    seconds: f64,
}

/// What is the same in each repetition.
#[derive(Clone, Copy, PartialEq, Deserialize, Serialize)]
struct JobCounts {
    read: u64,
    written: u64,
    unchanged: u64,
    quarantined: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let program = program(&options)?;
    let sample = SampleOptions { messages: options.messages, ..SampleOptions::default() };
    let exports = options.data.exports(&sample)?;
    let (mut first, mut second, mut edited) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.repeat {
        let scratch = options.data.scratch()?;
        let lake = Lake::new(scratch.path(), options.lake.as_deref())?;
        progress(&format!("repetition {round} of {}: into an empty lake", options.repeat));
        first.push(execute(&program, &exports, scratch.path(), &lake, &options)?);
        progress(&format!("repetition {round} of {}: once more", options.repeat));
        second.push(execute(&program, &exports, scratch.path(), &lake, &options)?);
        progress(&format!("repetition {round} of {}: with {} edits", options.repeat, options.edits));
        let edits = with_edits(
            &exports,
            &scratch.path().join("edited"),
            options.edits,
            DEFAULT_END - chrono::Duration::minutes(1),
        )?;
        edited.push(execute(&program, &edits, scratch.path(), &lake, &options)?);
        lake.remove()?;
    }
    let changed = second.iter().flat_map(|run| &run.jobs).find(|job| job.state != "unchanged");
    if let Some(job) = changed {
        bail!("the second run has changed {}, though its input was the same", job.job);
    }
    let results = Results {
        export_bytes: exports.bytes,
        first: figures(&first)?,
        second: figures(&second)?,
        edited: figures(&edited)?,
    };
    report::print("pipeline", &options, &results)
}

/// The lake of one repetition.
struct Lake {
    address: String,
    /// Set when it is not in the scratch folder, with which it would go.
    elsewhere: Option<TableUrl>,
}

impl Lake {
    fn new(scratch: &Path, below: Option<&str>) -> Result<Self> {
        let Some(below) = below else {
            let address = scratch.join("lake").to_str().context("the data folder's name is no text")?.to_owned();
            return Ok(Self { address, elsewhere: None });
        };
        // The scratch folder's name is one that nobody else has.
        let name = scratch.file_name().and_then(|name| name.to_str()).context("a folder without a name")?;
        let folder = TableUrl::parse(below)?.folder(name);
        Ok(Self { address: folder.url().to_string(), elsewhere: Some(folder) })
    }

    fn remove(&self) -> Result<()> {
        let Some(folder) = &self.elsewhere else { return Ok(()) };
        let (store, path) = (ObjectStores::new().get(folder.url())?, folder.path()?);
        tokio::runtime::Runtime::new()?.block_on(async {
            let objects = store.list(Some(&path)).map_ok(|object| object.location).boxed();
            store.delete_stream(objects).try_for_each(|_| std::future::ready(Ok(()))).await
        })?;
        Ok(())
    }
}

fn program(options: &Options) -> Result<PathBuf> {
    if let Some(program) = &options.program {
        return program.canonicalize().with_context(|| format!("cannot use the program {}", program.display()));
    }
    let this = std::env::current_exe().context("cannot find out where this program is; give --program")?;
    let program = this.with_file_name("quickchat-etl").with_extension(std::env::consts::EXE_EXTENSION);
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    ensure!(
        program.is_file(),
        "{} is not there; build it with: cargo build{profile} -p quickchat-client --bin quickchat-etl",
        program.display()
    );
    Ok(program)
}

/// Runs the program once in `scratch`.
fn execute(program: &Path, exports: &Exports, scratch: &Path, lake: &Lake, options: &Options) -> Result<Execution> {
    let log = scratch.join("stderr.txt");
    let mut command = Command::new(program);
    command
        .args(["run", "full-pipeline", "--output", "json", "--as-of", &options.as_of])
        .arg("--exports")
        .arg(&exports.folder)
        .arg("--lake")
        .arg(&lake.address)
        .args(&options.run_arguments)
        .current_dir(scratch)
        .stderr(File::create(&log).context("cannot make a file for the program's messages")?);
    // What the one who measures has configured for other purposes must not show in the figures.
    for variable in ["SCHEDULER_URL", "QUICKCHAT_SLOTS", "QUICKCHAT_MEMORY", "QUICKCHAT_CONFIG", "RUST_LOG"] {
        command.env_remove(variable);
    }
    let ended = process::run(&mut command)?;
    if !ended.status.success() {
        bail!("the program failed with {}:\n{}", ended.status, fs::read_to_string(&log).unwrap_or_default());
    }
    let report: RunReport = ended.json()?;
    Ok(Execution {
        wall_seconds: ended.wall.as_secs_f64(),
        user_seconds: ended.used.utime.as_secs_f64(),
        system_seconds: ended.used.stime.as_secs_f64(),
        peak_memory_bytes: ended.used.maxrss,
        jobs: report.jobs,
    })
}

fn figures(runs: &[Execution]) -> Result<Figures> {
    let spread = |value: fn(&Execution) -> f64| Spread::of(runs.iter().map(value));
    let Some(last) = runs.last() else { bail!("nothing was run") };
    let mut jobs = Vec::new();
    for job in &last.jobs {
        let same: Vec<&JobReport> =
            runs.iter().flat_map(|run| &run.jobs).filter(|other| other.job == job.job).collect();
        ensure!(
            same.len() == runs.len() && same.iter().all(|other| other.counts == job.counts),
            "the counts of {} differ between repetitions",
            job.job
        );
        let seconds = Spread::of(same.iter().map(|job| job.seconds));
        let (name, files, bytes) = (job.job.clone(), job.files, job.bytes);
        jobs.push(JobFigures { job: name, counts: job.counts, files, bytes, seconds });
    }
    Ok(Figures {
        wall_seconds: spread(|run| run.wall_seconds),
        cpu_seconds: spread(|run| run.user_seconds + run.system_seconds),
        user_seconds: spread(|run| run.user_seconds),
        system_seconds: spread(|run| run.system_seconds),
        peak_memory_bytes: spread(|run| run.peak_memory_bytes as f64),
        written_rows: jobs.iter().map(|job| job.counts.written).sum(),
        written_bytes: jobs.iter().map(|job| job.bytes).sum(),
        jobs,
    })
}
