//! Data, queries over it, and waiting for what becomes of them.

use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{CsvReadOptions, SessionContext};
use quickchat_client::cluster::{
    Cluster, ClusterError, EmbeddedOptions, Progress, ProgressProbe, SubmitOptions, Submitted,
};
use quickchat_executor::{MemoryLimit, SchedulerUrl};

use super::functions::engine;

/// How long something may take that must come about. Only a hang takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const THREE_STAGES: &str = "select k, sum(n) as n, sum(s) as s from \
    (select v % 10 as k, v % 3 as j, count(*) as n, sum(v) as s from numbers group by v % 10, v % 3) \
    group by k order by k";

/// The answer to [`THREE_STAGES`] over so many rows.
pub fn three_stages_expected(count: i64) -> String {
    let groups = (0..10).map(|k| (k, (0..count).filter(|v| v % 10 == k).collect::<Vec<_>>()));
    groups.map(|(k, group)| format!("{k} {} {}", group.len(), group.iter().sum::<i64>())).collect::<Vec<_>>().join(" ")
}

/// What an embedded cluster of these tests is given.
pub fn options(slots: usize) -> EmbeddedOptions {
    EmbeddedOptions { slots, memory: MemoryLimit::Bytes(512 << 20), work_dir: None }
}

pub async fn embedded(slots: usize) -> Cluster {
    Cluster::embedded_with(engine(), options(slots)).await.unwrap()
}

/// Connects to a scheduler that will answer sooner or later, with a look at its process before each attempt.
pub async fn connect(url: &SchedulerUrl, mut look: impl FnMut()) -> Cluster {
    let mut connected = None;
    wait_until("the scheduler", async || {
        look();
        connected = Cluster::connect_with(engine(), url).await.ok();
        connected.is_some()
    })
    .await;
    connected.unwrap()
}

/// A table `numbers` with the column `v`: so many files of so many rows, counted through.
pub struct Csv {
    dir: tempfile::TempDir,
}

impl Csv {
    pub fn new(files: i64, rows: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in 0..files {
            let values: Vec<String> = (file * rows..(file + 1) * rows).map(|v| v.to_string()).collect();
            std::fs::write(dir.path().join(format!("numbers-{file}.csv")), format!("v\n{}\n", values.join("\n")))
                .unwrap();
        }
        Self { dir }
    }

    async fn register(&self, session: &SessionContext) {
        let path = self.dir.path().to_str().unwrap();
        session.register_csv("numbers", path, CsvReadOptions::new()).await.unwrap();
    }
}

pub async fn plan(cluster: &Cluster, data: &Csv, sql: &str) -> LogicalPlan {
    let session = cluster.session().unwrap();
    data.register(&session).await;
    session.sql(sql).await.unwrap().into_unoptimized_plan()
}

pub async fn run_on(cluster: &Cluster, data: &Csv, sql: &str) -> String {
    let plan = plan(cluster, data, sql).await;
    rows(&cluster.submit(&plan, "test").await.unwrap().collect().await.unwrap())
}

pub async fn run(cluster: &Cluster, sql: &str) -> Vec<RecordBatch> {
    let plan = cluster.session().unwrap().sql(sql).await.unwrap().into_unoptimized_plan();
    cluster.submit(&plan, "test").await.unwrap().collect().await.unwrap()
}

/// Submits a query whose tasks take a row at a time, so that they come to points at which they can be held up and
/// aborted, and a partition each.
pub async fn submit(cluster: &Cluster, data: &Csv, sql: &str, mut options: SubmitOptions) -> Submitted {
    let plan = plan(cluster, data, sql).await;
    let small = [("datafusion.execution.batch_size", "1"), ("ballista.scheduler.max_partitions_per_task", "1")];
    options.settings.extend(small.map(|(key, value)| (key.to_owned(), value.to_owned())));
    cluster.submit_with(&plan, options).await.unwrap()
}

/// The end of a job.
pub async fn collect(job: &Submitted) -> Result<Vec<RecordBatch>, ClusterError> {
    tokio::time::timeout(PATIENCE, job.collect()).await.expect("the job does not end")
}

/// All values, row by row, separated by blanks.
pub fn rows(batches: &[RecordBatch]) -> String {
    let table = pretty_format_batches(batches).unwrap().to_string();
    let lines: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).skip(1).collect();
    lines.join(" ").split(['|', ' ']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

pub fn ints(column: &ArrayRef) -> Vec<i64> {
    column.as_primitive::<Int64Type>().values().to_vec()
}

/// Waits until a job has come so far, and says how far that is.
pub async fn wait_for(job: &Submitted, what: &str, reached: impl Fn(&Progress) -> bool) -> Progress {
    let probe = job.progress();
    let mut found = None;
    wait_until(what, async || {
        found = probe.poll().await.unwrap().filter(|progress| reached(progress));
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// Waits until a job that was under way is no longer.
pub async fn wait_for_end(probe: &ProgressProbe) {
    wait_until("the end of the job", async || probe.poll().await.unwrap().is_none()).await;
}

pub async fn wait_until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !reached().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
