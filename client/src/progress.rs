//! Progress of a run on standard error: a bar per running job on a terminal, plain lines otherwise.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::cluster::Progress;
use crate::output::{bytes, count};
use crate::run::observer::Observer;
use crate::run::report::{JobReport, JobState};

/// Shows a run's progress.
pub(crate) struct Display {
    bars: Option<MultiProgress>,
    running: Mutex<HashMap<String, ProgressBar>>,
}

impl Display {
    /// Bars if standard error is a terminal, lines if not.
    pub(crate) fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, running: Mutex::default() }
    }

    /// Takes the bar of a job away and tells how it ended.
    pub(crate) fn ended(&self, job: &str, how: &str) {
        if let Some(bar) = self.running.lock().remove(job) {
            bar.finish_and_clear();
        }
        self.say(&format!("{job}: {how}"));
    }

    fn say(&self, line: &str) {
        match &self.bars {
            // A closed standard error is no reason to fail a run.
            Some(bars) => drop(bars.println(line)),
            None => tell(line),
        }
    }
}

fn tell(line: &str) {
    // As above.
    drop(writeln!(std::io::stderr(), "{line}"));
}

impl Observer for Display {
    fn job_started(&self, job: &str) {
        let Some(bars) = &self.bars else { return self.say(&format!("{job}: started")) };
        let bar = bars.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template("{prefix:24} {bar:20} {pos}/{len} tasks {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_prefix(job.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        self.running.lock().insert(job.to_owned(), bar);
    }

    fn job_progress(&self, job: &str, step: &str, progress: &Progress) {
        if let Some(bar) = self.running.lock().get(job) {
            bar.set_length(progress.partitions as u64);
            bar.set_position(progress.partitions_done as u64);
            let step = step.strip_prefix(job).unwrap_or(step).trim();
            bar.set_message(format!("{} rows {} {step}", count(progress.source_rows), bytes(progress.source_bytes)));
        }
    }

    fn job_ended(&self, report: &JobReport) {
        let what = match &report.state {
            JobState::Changed => changed(report),
            JobState::Unchanged => "nothing changed".to_owned(),
            JobState::Failed { error, .. } => format!("failed: {error}"),
            JobState::Skipped { because } => format!("skipped, since {because} failed"),
        };
        self.ended(&report.job, &format!("{what} ({:.2} s)", report.seconds));
        // Errors are why the job failed, and told by that.
        for check in report.failed_checks.iter().filter(|check| !check.is_error()) {
            self.say(&format!("{}: {}: check {}", report.job, check.severity, check.describe()));
        }
    }

    fn wants_progress(&self) -> bool {
        self.bars.is_some()
    }
}

fn changed(report: &JobReport) -> String {
    let counts = [(report.written, "written"), (report.unchanged, "unchanged"), (report.quarantined, "quarantined")];
    let marked = Some((report.marked_deleted, "marked as deleted")).filter(|(marked, _)| *marked > 0);
    let told = counts.into_iter().chain(marked).map(|(number, what)| format!("{} {what}", count(number)));
    told.collect::<Vec<_>>().join(", ")
}
