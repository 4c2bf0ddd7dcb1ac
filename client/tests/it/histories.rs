//! Laws 1, 2, 3, 6, 7 and 8 over random histories: however documents arrive, are changed, come late or twice, whatever is split
//! into how many runs, cut off or compacted in between, the lake is the one that the independent reference computes
//! from everything at once, cell by cell, and one more run changes nothing. Every run checks that it has accounted for
//! each document.
//!
//! Most of what a history costs is the same for a few documents as for a thousand: the plans of some hundred queries a
//! run. Therefore many histories share a lake and its runs. Each is that of a circle of people who know nobody else,
//! with documents, updates and their spread over the runs of its own; instants, cuts and refreshes are the lake's.
//! Documents, files and instants follow from the lake's number. `QUICKCHAT_HISTORIES` says how many histories are
//! tried, `QUICKCHAT_FIRST_LAKE` where to begin. Histories that fail are tried again with fewer circles, runs and
//! documents, and the fewest that still fail are reported.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quickchat_client::Sources;
use quickchat_client::cluster::{Cluster, EmbeddedOptions};
use quickchat_client::run::observer::Silent;
use quickchat_client::run::report::RunReport;
use quickchat_client::run::{Run, RunOptions};
use quickchat_executor::MemoryLimit;
use quickchat_jobs::Catalog;
use quickchat_lake::LakeRoot;
use quickchat_sources::ExportFolder;

use crate::fixtures::{compare_with_reference, random_export};
use crate::lake::files;
use crate::process::scratch;

/// How many histories are tried if nothing else is asked for.
const HISTORIES: u64 = 200;
/// How many of them share a lake.
const CIRCLES: u64 = 25;
/// 2024-05-20T00:00:00Z, which the documents' times lie around.
const MIDDLE: i64 = 1_716_163_200_000_000;
const HOUR: i64 = 3_600_000_000;

/// Some histories in one lake.
#[derive(Debug, Clone)]
struct Histories {
    lake: u64,
    circles: Range<u64>,
    /// Of each circle, about.
    documents: u64,
    runs: u64,
}

/// What happens at one step of a history.
#[derive(Debug, Clone, Copy)]
struct Step {
    as_of_micros: i64,
    /// The run is cut off after this long, and then repeated.
    cut_off: Option<Duration>,
    full_refresh: bool,
}

#[test]
fn any_history_ends_in_the_lake_of_the_reference() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let first = number("QUICKCHAT_FIRST_LAKE", 1);
    let mut left: u64 = number("QUICKCHAT_HISTORIES", HISTORIES);
    for lake in first.. {
        let mut random = Random(lake);
        let circles = left.min(CIRCLES);
        let histories =
            Histories { lake, circles: 0..circles, documents: 10 + random.below(40), runs: 2 + random.below(3) };
        if let Err(failure) = histories.try_out() {
            let (fewest, failure) = histories.clone().shrink(failure);
            panic!("{fewest:?} fail (found among {histories:?})\n{failure}");
        }
        left -= circles;
        if left == 0 {
            break;
        }
    }
}

impl Histories {
    /// The fewest of these histories that still fail.
    fn shrink(self, failure: String) -> (Self, String) {
        let Range { start, end } = self.circles.clone();
        let middle = start.midpoint(end);
        for smaller in [
            Self { circles: start..middle, ..self.clone() },
            Self { circles: middle..end, ..self.clone() },
            Self { runs: self.runs - 1, ..self.clone() },
            Self { documents: self.documents / 2, ..self.clone() },
        ] {
            let fewer_circles = smaller.circles != self.circles && !smaller.circles.is_empty();
            let less_of_each = smaller.circles == self.circles && smaller.runs >= 1 && smaller.documents >= 5;
            if (fewer_circles || less_of_each)
                && let Err(failure) = smaller.try_out()
            {
                return smaller.shrink(failure);
            }
        }
        (self, failure)
    }

    fn try_out(&self) -> Result<(), String> {
        let Self { lake: number, circles, documents, runs } = self;
        let folder = scratch(&format!("histories-{number}-{}-{}-{documents}-{runs}", circles.start, circles.end));
        let parts = self.export(&folder.join("exports"));
        let growing = grow(&parts, &folder.join("growing"));
        let steps = steps(*number, parts.len());
        let lake = folder.join("lake");
        tokio::runtime::Runtime::new().unwrap().block_on(run_all(&growing, &steps, &lake))?;
        let (last_export, last_step) = (growing.last().unwrap(), steps.last().unwrap());
        let as_of = chrono::DateTime::from_timestamp_micros(last_step.as_of_micros).unwrap();
        // A row keeps the instant of the run that brought it.
        compare_with_reference(&lake, &[last_export], &as_of.to_rfc3339(), &["--any-ingested-at"])?;
        std::fs::remove_dir_all(&folder).unwrap();
        Ok(())
    }

    /// Writes the circles' documents; gives the folders with those of each run.
    fn export(&self, exports: &Path) -> Vec<PathBuf> {
        let options = [
            ("--documents", self.documents),
            ("--runs", self.runs),
            ("--first-circle", self.circles.start),
            ("--circles", self.circles.end - self.circles.start),
        ];
        let options: Vec<String> =
            options.into_iter().flat_map(|(option, value)| [option.to_owned(), value.to_string()]).collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        random_export(exports, u32::try_from(self.lake).unwrap(), &options);
        match self.runs {
            1 => vec![exports.to_owned()],
            runs => (1..=runs).map(|run| exports.join(run.to_string())).collect(),
        }
    }
}

async fn run_all(growing: &[PathBuf], steps: &[Step], lake: &Path) -> Result<(), String> {
    let options = EmbeddedOptions { slots: 2, memory: MemoryLimit::Bytes(512 << 20), work_dir: None };
    let cluster = Cluster::embedded(options).await.unwrap();
    let outcome = run_each(&cluster, growing, steps, lake).await;
    cluster.stop().await;
    outcome
}

async fn run_each(cluster: &Cluster, growing: &[PathBuf], steps: &[Step], lake: &Path) -> Result<(), String> {
    for (export, step) in growing.iter().zip(steps) {
        if let Some(after) = step.cut_off {
            // Dropped in the middle, as a process that dies would leave it.
            let _ = tokio::time::timeout(after, run(cluster, export, lake, *step)).await;
            cluster.settle().await;
        }
        run(cluster, export, lake, *step).await?;
    }
    let again = Step { cut_off: None, full_refresh: false, ..*steps.last().unwrap() };
    let report = run(cluster, growing.last().unwrap(), lake, again).await?;
    match report.nothing_changed() {
        true => Ok(()),
        false => Err(format!("the same run again has changed something: {}", as_text(&report))),
    }
}

/// The exports as they would be found run after run: each holds the files of those before, under the same names.
fn grow(parts: &[PathBuf], to: &Path) -> Vec<PathBuf> {
    let mut growing: Vec<PathBuf> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let folder = to.join(index.to_string());
        if let Some(before) = growing.last() {
            link_all(before, &folder, |file| file.to_owned());
        }
        link_all(part, &folder, |file| {
            if file.starts_with("media") {
                return file.to_owned();
            }
            let name = file.file_name().unwrap().to_str().unwrap();
            let (stem, extension) = name.split_once('.').unwrap();
            file.with_file_name(format!("{stem}-{index}.{extension}"))
        });
        growing.push(folder);
    }
    growing
}

pub fn link_all(from: &Path, to: &Path, name: impl Fn(&Path) -> PathBuf) {
    for file in files(from).keys() {
        let target = to.join(name(file));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        // What comes later is newer.
        if target.exists() {
            std::fs::remove_file(&target).unwrap();
        }
        std::fs::hard_link(from.join(file), target).unwrap();
    }
}

/// Instants that never go back, some on the same date, some days apart; now and then a cut or a full refresh.
fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut random = Random(seed ^ 0x9e37_79b9);
    let mut as_of_micros = MIDDLE - 20 * 24 * HOUR + i64::try_from(random.below(48)).unwrap() * HOUR;
    let mut steps = Vec::with_capacity(count);
    for _ in 0..count {
        as_of_micros += match random.below(3) {
            0 => i64::try_from(random.below(12)).unwrap() * HOUR / 2,
            1 => 24 * HOUR,
            _ => i64::try_from(random.below(400)).unwrap() * HOUR,
        };
        let cut_off = (random.below(3) == 0).then(|| Duration::from_millis(random.below(8_000)));
        steps.push(Step { as_of_micros, cut_off, full_refresh: random.below(6) == 0 });
    }
    steps
}

async fn run(cluster: &Cluster, export: &Path, lake: &Path, step: Step) -> Result<RunReport, String> {
    let catalog = Catalog::builtin().unwrap();
    let sources = Sources::exports(ExportFolder::open(export.to_str().unwrap()).await.unwrap());
    let options = RunOptions {
        as_of_micros: step.as_of_micros,
        parallel: 2,
        full_refresh: step.full_refresh,
        detect_deletions: false,
    };
    let root = LakeRoot::parse(lake.to_str().unwrap()).unwrap();
    let run = Run::new(cluster.clone(), catalog.clone(), root, sources, &options, Arc::new(Silent)).unwrap();
    let report = run.execute(&catalog.jobs().iter().collect::<Vec<_>>()).await;
    match report.exit_code() {
        0 => Ok(report),
        _ => Err(as_text(&report)),
    }
}

fn as_text(report: &RunReport) -> String {
    serde_json::to_string_pretty(report).unwrap()
}

/// A small generator that gives the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
