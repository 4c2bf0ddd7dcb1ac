//! Measuring a process from outside: what it prints, and what the operating system says it used (`wait4`), the peak of
//! its memory above all, which a process that also makes samples or serves requests cannot tell of a part of its work.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use wait4::{ResourceUsage, Wait4};

/// A process that has come to its end.
#[derive(Debug)]
pub struct Ended {
    /// What it printed on standard output.
    pub output: String,
    /// How it ended.
    pub status: ExitStatus,
    /// From its start to its end.
    pub wall: Duration,
    /// What it used.
    pub used: ResourceUsage,
}

/// Runs a command to its end. Its standard error is where the command says.
///
/// The system counts the memory of this process, of which the child is a copy for a moment, as a lower bound of the
/// child's peak; that is harmless as long as this process stays small.
///
/// # Errors
/// The program cannot be started, or prints what is no text.
pub fn run(command: &mut Command) -> Result<Ended> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {program}"))?;
    let mut output = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut output).with_context(|| format!("cannot read what {program} prints"))?;
    }
    let used = child.wait4().with_context(|| format!("cannot wait for the end of {program}"))?;
    Ok(Ended { output, status: used.status, wall: started.elapsed(), used: used.rusage })
}

/// Starts this program a second time to measure something alone.
///
/// # Errors
/// As [`run`], and when the process fails.
pub fn run_itself(prepare: impl FnOnce(&mut Command)) -> Result<Ended> {
    let program = std::env::current_exe().context("cannot find out where this program is")?;
    let mut command = Command::new(program);
    prepare(&mut command);
    let ended = run(&mut command)?;
    ensure!(ended.status.success(), "the measuring process failed with {}", ended.status);
    Ok(ended)
}

impl Ended {
    /// The JSON that it printed.
    ///
    /// # Errors
    /// It is another one than was expected, or none.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.output).context("cannot understand what the measured process prints")
    }
}
