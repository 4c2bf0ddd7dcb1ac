//! Laws 2, 6 and 8 over random histories: however documents arrive, are changed, come late or twice, whatever is split
//! into how many runs, cut off or compacted in between, the lake is that of one run over everything.
//!
//! A history is a number: it seeds the documents, their split into exports, the instants of the runs and the
//! disturbances. `QUICKCHAT_HISTORIES` says how many are tried, `QUICKCHAT_FIRST_HISTORY` where to begin. A history
//! that fails is tried again with fewer documents and runs, and the smallest that still fails is reported.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quickchat_client::Sources;
use quickchat_client::cluster::{Cluster, EmbeddedOptions};
use quickchat_client::run::observer::Silent;
use quickchat_client::run::{Run, RunOptions};
use quickchat_executor::MemoryLimit;
use quickchat_jobs::Catalog;
use quickchat_lake::LakeRoot;
use quickchat_sources::ExportFolder;

use crate::fixtures::random_export;
use crate::lake::{Tables, difference, files};
use crate::process::scratch;

/// How many histories are tried if nothing else is asked for.
const HISTORIES: u64 = 2;
/// 2024-05-20T00:00:00Z, which the documents' times lie around.
const MIDDLE: i64 = 1_716_163_200_000_000;
const HOUR: i64 = 3_600_000_000;
/// Tables that keep rows of earlier dates: only those of the last one are compared.
const DATED: [(&str, &str); 3] = [
    ("gold.user_engagement", "calculation_date"),
    ("gold.conversation_analytics", "calculation_date"),
    ("gold.ml_features", "feature_date"),
];

#[derive(Debug, Clone, Copy)]
struct History {
    seed: u64,
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
fn any_history_ends_in_the_lake_of_one_run() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let first = number("QUICKCHAT_FIRST_HISTORY", 1);
    for seed in first..first + number("QUICKCHAT_HISTORIES", HISTORIES) {
        let mut random = Random(seed);
        let history = History { seed, documents: 20 + random.below(100), runs: 2 + random.below(3) };
        if let Err(failure) = try_history(history) {
            let (smallest, failure) = shrink(history, failure);
            panic!("{smallest:?} fails (found as {history:?})\n{failure}");
        }
    }
}

/// The smallest history like this one that still fails.
fn shrink(history: History, failure: String) -> (History, String) {
    let fewer_runs = History { runs: history.runs - 1, ..history };
    let fewer_documents = History { documents: history.documents / 2, ..history };
    for smaller in [fewer_runs, fewer_documents] {
        if smaller.runs >= 1
            && smaller.documents >= 5
            && let Err(failure) = try_history(smaller)
        {
            return shrink(smaller, failure);
        }
    }
    (history, failure)
}

fn try_history(history: History) -> Result<(), String> {
    let History { seed, documents, runs } = history;
    let folder = scratch(&format!("history-{seed}-{documents}-{runs}"));
    let exports = folder.join("exports");
    let seed_of_export = u32::try_from(seed).unwrap();
    random_export(&exports, seed_of_export, &["--documents", &documents.to_string(), "--runs", &runs.to_string()]);
    let parts: Vec<PathBuf> = match runs {
        1 => vec![exports.clone()],
        _ => (1..=runs).map(|run| exports.join(run.to_string())).collect(),
    };
    let growing = grow(&parts, &folder.join("growing"));
    let steps = steps(seed, parts.len());
    let (stepwise, at_once) = (folder.join("stepwise"), folder.join("at-once"));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let options = EmbeddedOptions { slots: 2, memory: MemoryLimit::Bytes(512 << 20), work_dir: None };
        let cluster = Cluster::embedded(options).await.unwrap();
        for (export, step) in growing.iter().zip(&steps) {
            if let Some(after) = step.cut_off {
                // Dropped in the middle, as a process that dies would leave it.
                let _ = tokio::time::timeout(after, run(&cluster, export, &stepwise, *step)).await;
                cluster.settle().await;
            }
            run(&cluster, export, &stepwise, *step).await;
        }
        let last = Step { cut_off: None, full_refresh: false, ..*steps.last().unwrap() };
        run(&cluster, growing.last().unwrap(), &at_once, last).await;
        cluster.stop().await;
    });
    let date = date_of(steps.last().unwrap().as_of_micros);
    compare(Tables::read(&stepwise), &Tables::read(&at_once), &date)?;
    std::fs::remove_dir_all(&folder).unwrap();
    Ok(())
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
        if !target.exists() {
            std::fs::hard_link(from.join(file), target).unwrap();
        }
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
        let cut_off = (random.below(3) == 0).then(|| Duration::from_millis(random.below(3_000)));
        steps.push(Step { as_of_micros, cut_off, full_refresh: random.below(6) == 0 });
    }
    steps
}

async fn run(cluster: &Cluster, export: &Path, lake: &Path, step: Step) {
    let catalog = Catalog::builtin().unwrap();
    let sources = Sources::exports(ExportFolder::open(export.to_str().unwrap()).await.unwrap());
    let options = RunOptions { as_of_micros: step.as_of_micros, parallel: 2, full_refresh: step.full_refresh };
    let root = LakeRoot::parse(lake.to_str().unwrap()).unwrap();
    let run = Run::new(cluster.clone(), catalog.clone(), root, sources, &options, Arc::new(Silent)).unwrap();
    let report = run.execute(&catalog.jobs().iter().collect::<Vec<_>>()).await;
    assert_eq!(report.exit_code(), 0, "{}", serde_json::to_string_pretty(&report).unwrap());
}

pub fn date_of(as_of_micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(as_of_micros - 1).unwrap().date_naive().to_string()
}

/// Compares all tables; of those that keep rows of earlier dates only the rows of `date`.
pub fn compare(stepwise: Tables, at_once: &Tables, date: &str) -> Result<(), String> {
    let stepwise = stepwise.without_positions();
    let at_once = at_once.clone().without_positions();
    let of_date = |rows: &[String], column: &str| -> Vec<String> {
        let wanted = format!("\"{column}\":\"{date}\"");
        rows.iter().filter(|row| row.contains(&wanted)).cloned().collect()
    };
    assert_eq!(stepwise.0.keys().collect::<Vec<_>>(), at_once.0.keys().collect::<Vec<_>>());
    for (name, table) in &at_once.0 {
        let dated = DATED.iter().find(|(dated, _)| dated == name);
        let found = match dated {
            Some((_, column)) => difference(&of_date(&stepwise.0[name].rows, column), &of_date(&table.rows, column)),
            None => difference(&stepwise.0[name].rows, &table.rows),
        };
        if let Some(difference) = found {
            return Err(format!("{name}, stepwise (left) and at once (right): {difference}"));
        }
    }
    Ok(())
}

/// A small generator that gives the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
