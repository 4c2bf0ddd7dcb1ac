//! Plans on embedded and on remote clusters: results, cancellation, lost executors.
//!
//! Remote clusters are real processes. They are this very test binary, started again with a role in the environment,
//! so that they have the tests' functions and are always up to date.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{
    ColumnarValue, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::{CsvReadOptions, SessionContext};
use quickchat_client::cluster::{
    Cluster, ClusterError, EmbeddedOptions, ErrorClass, FailureKind, Progress, SubmitOptions, Submitted,
};
use quickchat_engine::Engine;
use quickchat_executor::{MemoryLimit, SchedulerUrl};

use crate::forward::Forwarder;
use crate::process::{Running, program};
use crate::remote::free_port;

// ---------------------------------------------------------------------------------------------------------------------
// Embedded
// ---------------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_cluster_answers_small_queries_fast() {
    let started = Instant::now();
    let cluster = embedded(2).await;
    let start_up = started.elapsed();
    assert_eq!(rows(&run(&cluster, "select 1 + 1 as two").await), "2");

    let data = Csv::new(4, 50);
    let fastest = |times: &[Duration]| times.iter().copied().min().unwrap();
    let mut trivial = Vec::new();
    let mut staged = Vec::new();
    for _ in 0..10 {
        let started = Instant::now();
        run(&cluster, "select 1 + 1 as two").await;
        trivial.push(started.elapsed());
        let started = Instant::now();
        assert_eq!(run_on(&cluster, &data, THREE_STAGES).await, three_stages_expected(200));
        staged.push(started.elapsed());
    }
    println!("start-up {start_up:?}, trivial {:?}, three stages {:?}", fastest(&trivial), fastest(&staged));
    // Generous: an unoptimised build on a busy machine. The goals are for a release build.
    assert!(start_up < Duration::from_secs(2), "{start_up:?}");
    assert!(fastest(&trivial) < Duration::from_millis(200), "{trivial:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_cluster_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    for explicit in [true, false] {
        let options = EmbeddedOptions { work_dir: Some(place.path().to_owned()), ..options(2) };
        let cluster = Cluster::embedded_with(engine(), options).await.unwrap();
        let data = Csv::new(2, 10);
        run_on(&cluster, &data, THREE_STAGES).await;
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
        if explicit {
            cluster.stop().await;
        } else {
            drop(cluster);
        }
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "explicit stop: {explicit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_embedded_clusters_do_not_disturb_each_other() {
    let first = embedded(1).await;
    embedded(1).await.stop().await;
    let second = embedded(1).await;
    for cluster in [&first, &second] {
        assert_eq!(rows(&run(cluster, "select 40 + 2").await), "42");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_keep_the_order_and_the_partitions_are_fetched_once() {
    let cluster = embedded(3).await;
    let data = Csv::new(7, 20);
    // The last stage has several partitions, processed by several tasks.
    let plan = plan(&cluster, &data, "select v from numbers").await;
    let batches = cluster.submit(&plan, "all").await.unwrap().collect().await.unwrap();
    let found: Vec<i64> = batches.iter().flat_map(|batch| ints(batch.column(0))).collect();
    assert_eq!(found.len(), 140);
    assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), (0..140).collect::<BTreeSet<_>>());

    let plan = self::plan(&cluster, &data, "select v from numbers order by v desc limit 5").await;
    let stream = cluster.submit(&plan, "top").await.unwrap().stream().await.unwrap();
    let batches: Vec<_> = futures::TryStreamExt::try_collect(stream).await.unwrap();
    assert_eq!(rows(&batches), "139 138 137 136 135");
}

/// A list with a null in it holds, as far as anybody knows, every value. A task that sees only a part of the list must
/// not conclude otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_not_in_a_list_with_a_null() {
    let cluster = embedded(2).await;
    let data = Csv::new(4, 50);
    // Numbers from 0 to 199; the lists are 0 to 9, the same with a null for 7, and empty.
    for (list, expected) in [
        ("select v % 10 from numbers", "190"),
        ("select nullif(v % 10, 7) from numbers", "0"),
        ("select v from numbers where v > 1000", "200"),
    ] {
        let sql = format!("select count(*) as n from numbers where v not in ({list})");
        assert_eq!(run_on(&cluster, &data, &sql).await, expected, "in several tasks: {list}");
    }
    // Without a file to read a query is one task.
    for (list, expected) in [("(1), (2)", "1"), ("(1), (null)", "0"), ("(null)", "0")] {
        let sql = format!(
            "select count(*) as n from (values (1), (3)) as a (x) where x not in (select y from (values {list}) as b (y))"
        );
        assert_eq!(rows(&run(&cluster, &sql).await), expected, "in one task: {list}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_told_apart() {
    let cluster = embedded(2).await;
    let data = Csv::new(2, 10);
    // A division by zero in the data is the caller's, and the message is not buried.
    let plan = plan(&cluster, &data, "select sum(1 / (v - 3)) from numbers").await;
    let error = cluster.submit(&plan, "divide").await.unwrap().collect().await.unwrap_err();
    assert!(matches!(error, ClusterError::Failed { kind: FailureKind::Data, .. }), "{error:?}");
    assert_eq!((error.class(), error.exit_code()), (ErrorClass::User, 1));
    assert!(error.to_string().contains("`divide`") && error.to_string().to_lowercase().contains("zero"), "{error}");

    // A source that cannot be read, also when tried again, is neither the caller's fault nor ours.
    let plan = self::plan(&cluster, &data, "select sum(fail(v, 'always')) from numbers").await;
    let error = cluster.submit(&plan, "gone").await.unwrap().collect().await.unwrap_err();
    assert!(matches!(error, ClusterError::Failed { kind: FailureKind::Io, .. }), "{error:?}");
    assert_eq!((error.class(), error.exit_code()), (ErrorClass::External, 4), "{error:?}");
}

/// Only this kind of error is tried again by Ballista, which is why our nodes turn passing faults into it.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_tried_again_after_an_io_error_and_only_then() {
    let cluster = embedded(2).await;
    let data = Csv::new(1, 10);
    let sql = "select sum(fail(v, 'io')) from numbers";
    let plan = plan(&cluster, &data, sql).await;
    let batches = cluster.submit(&plan, "io").await.unwrap().collect().await.unwrap();
    assert_eq!(rows(&batches), "45");
    assert_eq!(IO_FAILURES.load(Ordering::SeqCst), 1, "the fault must have fired");

    let plan = self::plan(&cluster, &data, "select sum(fail(v, 'other')) from numbers").await;
    let error = cluster.submit(&plan, "other").await.unwrap().collect().await.unwrap_err();
    assert!(matches!(error, ClusterError::Failed { kind: FailureKind::Data, .. }), "{error:?}");
    assert_eq!(OTHER_FAILURES.load(Ordering::SeqCst), 1, "the fault must have fired");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_the_tasks() {
    let cluster = embedded(2).await;
    let data = Csv::new(2, 3000);
    let trace = Trace::new();
    let job = slow_job(&cluster, &data, &trace, None).await;
    wait_for(&job, "two running tasks", |progress| progress.running_tasks == 2).await;

    let started = Instant::now();
    job.cancel().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(matches!(job.collect().await.unwrap_err(), ClusterError::Cancelled { .. }));
    trace.assert_stands_still().await;
    // The slots are free again.
    assert_eq!(rows(&run(&cluster, "select 1").await), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_cancelled_at_once_does_not_run_on() {
    let cluster = embedded(2).await;
    let data = Csv::new(2, 3000);
    let trace = Trace::new();
    // Very likely still being planned, when the scheduler ignores the request.
    slow_job(&cluster, &data, &trace, None).await.cancel().await.unwrap();
    trace.assert_stands_still().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_job_is_cancelled() {
    let cluster = embedded(2).await;
    let data = Csv::new(2, 3000);
    let trace = Trace::new();
    let job = slow_job(&cluster, &data, &trace, None).await;
    wait_for(&job, "a running task", |progress| progress.running_tasks > 0).await;
    let probe = job.progress();
    drop(job);
    let started = Instant::now();
    while probe.poll().await.unwrap().is_some() {
        assert!(started.elapsed() < Duration::from_secs(5), "the job still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    trace.assert_stands_still().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_too_long_is_cancelled() {
    let cluster = embedded(2).await;
    let data = Csv::new(2, 3000);
    let trace = Trace::new();
    let job = slow_job(&cluster, &data, &trace, Some(Duration::from_millis(300))).await;
    let error = job.collect().await.unwrap_err();
    assert!(matches!(error, ClusterError::Deadline { .. }), "{error:?}");
    trace.assert_stands_still().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_partitions_and_rows() {
    let cluster = embedded(2).await;
    let data = Csv::new(2, 200);
    let trace = Trace::new();
    let job = slow_job(&cluster, &data, &trace, None).await;
    let probe = job.progress();
    let watch = async {
        let mut seen = Vec::new();
        loop {
            match probe.poll().await.unwrap() {
                Some(progress) => seen.push(progress),
                None if !seen.is_empty() => return seen,
                None => {}
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (batches, seen) = tokio::join!(job.collect(), watch);
    assert_eq!(rows(&batches.unwrap()), (0..400).sum::<i64>().to_string());
    let most = |value: fn(&Progress) -> u64| seen.iter().map(value).max().unwrap();
    // The last stage, one partition, is over so soon that it may be missed.
    assert!((2..=3).contains(&most(|progress| progress.partitions as u64)));
    assert!((1..=3).contains(&most(|progress| progress.partitions_done as u64)));
    assert!([200, 400].contains(&most(|progress| progress.source_rows)), "one file or both");
    assert_eq!(most(|progress| progress.running_tasks as u64), 2);
}

// ---------------------------------------------------------------------------------------------------------------------
// Remote
// ---------------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_out_of_reach_is_a_clear_error_within_seconds() {
    // Port 1: a port that is merely free now may be taken by a scheduler of another test before it is tried.
    let url = SchedulerUrl::new("127.0.0.1", 1);
    let started = Instant::now();
    let error = Cluster::connect_with(engine(), &url).await.unwrap_err();
    // It tries for four seconds; the rest is for a busy machine.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert!(matches!(error, ClusterError::Unreachable { .. }), "{error:?}");
    assert_eq!((error.class(), error.exit_code()), (ErrorClass::External, 4));
    assert!(error.to_string().contains(&url.to_string()), "{error}");
}

/// The proxy takes connections and hangs up, as long as it has nobody to pass them on to.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_up_before_its_scheduler_is_not_taken_for_one() {
    let port = free_port();
    let proxy = Forwarder::of_tcp(Ipv4Addr::LOCALHOST, &format!("127.0.0.1:{port}"));
    let url = SchedulerUrl::new("127.0.0.1", proxy.port);
    let work = tempfile::tempdir().unwrap();
    let arguments = [
        format!("--scheduler-url={url}"),
        "--slots=1".to_owned(),
        "--memory=256MiB".to_owned(),
        "--flight-bind-port=0".to_owned(),
        format!("--work-dir={}", work.path().display()),
    ];
    let mut executor = Running::start(&mut program("quickchat-executor", &arguments));
    let connecting = tokio::spawn(async move { Cluster::connect_with(engine(), &url).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!connecting.is_finished());
    executor.expect_running();
    let arguments = [format!("--bind-port={port}"), "--http-bind-port=0".to_owned()];
    let _scheduler = Running::start(&mut program("quickchat-scheduler", &arguments));
    let cluster = connecting.await.unwrap().unwrap();
    wait_until("the executor", || async { cluster.executors().await.unwrap().len() == 1 }).await;
    executor.expect_running();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_cluster_gives_the_same_rows_as_an_embedded_one() {
    let processes = Processes::start(3).await;
    let data = Csv::new(9, 100);
    let remote = run_on(&processes.cluster, &data, THREE_STAGES).await;
    assert_eq!(remote, three_stages_expected(900));
    assert_eq!(remote, run_on(&embedded(2).await, &data, THREE_STAGES).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_killed_while_it_runs_a_task_costs_time_but_no_row() {
    let mut processes = Processes::start(3).await;
    let data = Csv::new(3, 400);
    let trace = Trace::new();
    let job = slow_job(&processes.cluster, &data, &trace, None).await;
    wait_for(&job, "a task on each executor", |progress| progress.running_tasks >= 3).await;
    let victim = processes.busy(&job).await;
    let pid = processes.pid(&victim);
    wait_until("rows of the victim", || async { trace.of(pid) > 0 }).await;
    processes.kill(&victim);
    let started = Instant::now();
    assert_eq!(rows(&job.collect().await.unwrap()), (0..1200).sum::<i64>().to_string());
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let processed = trace.of(processes.pid(&victim));
    assert!((1..400).contains(&processed), "killed in the middle of its part, not after {processed} of 400 rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_killed_after_its_shuffle_was_written_costs_time_but_no_row() {
    let mut processes = Processes::start(3).await;
    let data = Csv::new(6, 80);
    let trace = Trace::new();
    // The first stage is fast, the second slow: when the victim dies, others need what it wrote.
    let sql = format!(
        "select sum(trace(v, 5, '{}')) from (select v, count(*) from numbers group by v)",
        trace.path().display()
    );
    let plan = plan(&processes.cluster, &data, &sql).await;
    let options = SubmitOptions { settings: small_batches(), ..SubmitOptions::named("second stage") };
    let job = processes.cluster.submit_with(&plan, options).await.unwrap();
    wait_for(&job, "the second stage", |progress| {
        progress.stages.len() > 1 && progress.stages[0].running.is_empty() && progress.stages[1].running.len() >= 3
    })
    .await;
    let victim = processes.busy(&job).await;
    processes.kill(&victim);
    assert_eq!(rows(&job.collect().await.unwrap()), (0..480).sum::<i64>().to_string());
}

/// The result of the last stage lies on the executors that ran it. When one of them dies before the result is
/// fetched, or while another still runs the same stage, the list of places is stale.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_lost_with_an_executor_is_computed_again() {
    let mut processes = Processes::start(3).await;
    let data = Csv::new(6, 10);
    let trace = Trace::new();
    let sql = format!("select trace(v, 0, '{}') as v from numbers", trace.path().display());
    let plan = plan(&processes.cluster, &data, &sql).await;
    let job = processes.cluster.submit(&plan, "last stage").await.unwrap();
    let first_id = job.job_id();
    let probe = job.progress();
    wait_until("all rows", || async { trace.len() == 60 }).await;
    wait_until("the end of the job", || async { probe.poll().await.unwrap().is_none() }).await;
    let ids = processes.ids().await;
    let holds_results = |id: &String| trace.of(processes.pid(id)) > 0;
    let victim = ids.into_iter().find(holds_results).expect("somebody has done the work");
    processes.kill(&victim);
    let batches = job.collect().await.unwrap();
    let found: BTreeSet<i64> = batches.iter().flat_map(|batch| ints(batch.column(0))).collect();
    assert_eq!((found.len(), batches.iter().map(RecordBatch::num_rows).sum::<usize>()), (60, 60));
    assert_ne!(job.job_id(), first_id, "the job must have run again");
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_a_part_of_the_last_stage_neither_loses_nor_doubles_rows() {
    let mut processes = Processes::start(3).await;
    let data = Csv::new(6, 30);
    let trace = Trace::new();
    // The first two of six files are read at once, the others slowly, all in the last stage.
    let sql =
        format!("select trace(v, case when v < 60 then 0 else 10 end, '{}') as v from numbers", trace.path().display());
    let plan = plan(&processes.cluster, &data, &sql).await;
    let options = SubmitOptions { settings: small_batches(), ..SubmitOptions::named("part") };
    let job = processes.cluster.submit_with(&plan, options).await.unwrap();
    wait_for(&job, "a finished and a running task", |progress| {
        progress.partitions_done >= 1 && progress.running_tasks >= 1
    })
    .await;
    let victim = processes.busy(&job).await;
    processes.kill(&victim);
    let batches = job.collect().await.unwrap();
    let mut found: Vec<i64> = batches.iter().flat_map(|batch| ints(batch.column(0))).collect();
    found.sort_unstable();
    assert_eq!(found, (0..180).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_executors_are_lost_the_job_fails_as_such() {
    let mut processes = Processes::start(1).await;
    let data = Csv::new(1, 3000);
    let job = slow_job(&processes.cluster, &data, &Trace::new(), None).await;
    wait_for(&job, "a running task", |progress| progress.running_tasks > 0).await;
    let victim = processes.busy(&job).await;
    processes.kill(&victim);
    let error = job.collect().await.unwrap_err();
    assert!(matches!(error, ClusterError::Failed { kind: FailureKind::ExecutorsLost, .. }), "{error:?}");
    assert_eq!(error.exit_code(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_an_executor_finish_its_tasks() {
    let mut processes = Processes::start(2).await;
    let data = Csv::new(2, 400);
    let trace = Trace::new();
    let job = slow_job(&processes.cluster, &data, &trace, None).await;
    wait_for(&job, "a task on each executor", |progress| progress.running_tasks >= 2).await;
    let chosen = processes.busy(&job).await;
    let pid = processes.pid(&chosen);
    let before = trace.of(pid);
    let ended = processes.terminate(&chosen);
    assert!(ended.success(), "{ended:?}");
    // It went on to the end of what it had begun: its whole file.
    let after = trace.of(pid);
    assert!(after > before && after == 400, "{before} rows before the signal, {after} in the end");
    assert_eq!(rows(&job.collect().await.unwrap()), (0..800).sum::<i64>().to_string());
}

// ---------------------------------------------------------------------------------------------------------------------
// Queries and data
// ---------------------------------------------------------------------------------------------------------------------

const THREE_STAGES: &str = "select k, sum(n) as n, sum(s) as s from \
    (select v % 10 as k, v % 3 as j, count(*) as n, sum(v) as s from numbers group by v % 10, v % 3) \
    group by k order by k";

fn three_stages_expected(count: i64) -> String {
    let groups = (0..10).map(|k| (k, (0..count).filter(|v| v % 10 == k).collect::<Vec<_>>()));
    groups.map(|(k, group)| format!("{k} {} {}", group.len(), group.iter().sum::<i64>())).collect::<Vec<_>>().join(" ")
}

/// A table `numbers` with the column `v`: so many files of so many rows, counted through.
struct Csv {
    dir: tempfile::TempDir,
}

impl Csv {
    fn new(files: i64, rows: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in 0..files {
            let values: Vec<String> = (file * rows..(file + 1) * rows).map(|v| v.to_string()).collect();
            std::fs::write(dir.path().join(format!("numbers-{file}.csv")), format!("v\n{}\n", values.join("\n")))
                .unwrap();
        }
        Self { dir }
    }
}

async fn plan(cluster: &Cluster, data: &Csv, sql: &str) -> LogicalPlan {
    let session = cluster.session().unwrap();
    register(&session, data).await;
    session.sql(sql).await.unwrap().into_unoptimized_plan()
}

async fn register(session: &SessionContext, data: &Csv) {
    let path = data.dir.path().to_str().unwrap();
    session.register_csv("numbers", path, CsvReadOptions::new()).await.unwrap();
}

async fn run_on(cluster: &Cluster, data: &Csv, sql: &str) -> String {
    let plan = plan(cluster, data, sql).await;
    rows(&cluster.submit(&plan, "test").await.unwrap().collect().await.unwrap())
}

async fn run(cluster: &Cluster, sql: &str) -> Vec<RecordBatch> {
    let plan = cluster.session().unwrap().sql(sql).await.unwrap().into_unoptimized_plan();
    cluster.submit(&plan, "test").await.unwrap().collect().await.unwrap()
}

/// All values, row by row, separated by blanks.
fn rows(batches: &[RecordBatch]) -> String {
    let table = pretty_format_batches(batches).unwrap().to_string();
    let lines: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).skip(1).collect();
    lines.join(" ").split(['|', ' ']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn ints(column: &ArrayRef) -> Vec<i64> {
    column.as_primitive::<Int64Type>().values().to_vec()
}

/// A row takes 2 ms and is counted in the trace; a task takes as many files as fall to a slot.
async fn slow_job(cluster: &Cluster, data: &Csv, trace: &Trace, deadline: Option<Duration>) -> Submitted {
    let sql = format!("select sum(trace(v, 2, '{}')) from numbers", trace.path().display());
    let plan = plan(cluster, data, &sql).await;
    let options = SubmitOptions { deadline, settings: small_batches(), ..SubmitOptions::named("slow") };
    cluster.submit_with(&plan, options).await.unwrap()
}

/// Small batches, so that tasks come to points at which they can be aborted.
fn small_batches() -> Vec<(String, String)> {
    let pairs = [("datafusion.execution.batch_size", "1"), ("ballista.scheduler.max_partitions_per_task", "1")];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
}

async fn wait_for(job: &Submitted, what: &str, reached: impl Fn(&Progress) -> bool) {
    let probe = job.progress();
    wait_until(what, || async { probe.poll().await.unwrap().is_some_and(|progress| reached(&progress)) }).await;
}

async fn wait_until<F: Future<Output = bool>>(what: &str, mut reached: impl FnMut() -> F) {
    let started = Instant::now();
    while !reached().await {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Functions that only tests have
// ---------------------------------------------------------------------------------------------------------------------

static IO_FAILURES: AtomicUsize = AtomicUsize::new(0);
static OTHER_FAILURES: AtomicUsize = AtomicUsize::new(0);

fn engine() -> Engine {
    Engine::new(vec![
        Arc::new(ScalarUDF::from(TestFunction::new(
            "trace",
            &[DataType::Int64, DataType::Int64, DataType::Utf8],
            trace,
        ))),
        Arc::new(ScalarUDF::from(TestFunction::new("fail", &[DataType::Int64, DataType::Utf8], fail))),
    ])
}

/// `trace(v, milliseconds, file)`: v, after a pause for each row, with a line for each row in the file.
fn trace(args: &[ColumnarValue], rows: usize) -> DataFusionResult<ArrayRef> {
    let file = text(&args[2]);
    let pauses = args[1].to_array(rows)?;
    for pause in ints(&pauses) {
        std::thread::sleep(Duration::from_millis(pause.unsigned_abs()));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&file)?;
        std::io::Write::write_all(&mut file, format!("{}\n", std::process::id()).as_bytes())?;
    }
    args[0].to_array(rows)
}

/// `fail(v, kind)`: v, but the first call fails, or with the kind `always` every one.
fn fail(args: &[ColumnarValue], rows: usize) -> DataFusionResult<ArrayRef> {
    let kind = text(&args[1]);
    if kind == "always" {
        return Err(DataFusionError::IoError(std::io::Error::other("a lasting fault of a disk")));
    }
    if kind == "io" {
        if IO_FAILURES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n == 0).then_some(1)).is_ok() {
            return Err(DataFusionError::IoError(std::io::Error::other("a passing fault")));
        }
    } else if OTHER_FAILURES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n == 0).then_some(1)).is_ok() {
        return Err(DataFusionError::Execution("a lasting fault".to_owned()));
    }
    args[0].to_array(rows)
}

fn text(value: &ColumnarValue) -> String {
    match value {
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(text))) => text.clone(),
        other => panic!("expected a literal, got {other:?}"),
    }
}

type Body = fn(&[ColumnarValue], usize) -> DataFusionResult<ArrayRef>;

#[derive(Debug)]
struct TestFunction {
    name: &'static str,
    signature: Signature,
    body: Body,
}

impl TestFunction {
    fn new(name: &'static str, types: &[DataType], body: Body) -> Self {
        Self { name, signature: Signature::exact(types.to_vec(), Volatility::Volatile), body }
    }
}

impl PartialEq for TestFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for TestFunction {}

impl std::hash::Hash for TestFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for TestFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(Arc::new(Int64Array::from(Vec::<i64>::new()))));
        }
        Ok(ColumnarValue::Array((self.body)(&args.args, args.number_rows)?))
    }
}

/// What `trace` has written.
struct Trace {
    dir: tempfile::TempDir,
}

impl Trace {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("trace")
    }

    /// Rows that the process has processed.
    fn of(&self, pid: u32) -> usize {
        let pid = pid.to_string();
        std::fs::read_to_string(self.path()).unwrap_or_default().lines().filter(|line| *line == pid).count()
    }

    fn len(&self) -> usize {
        std::fs::read_to_string(self.path()).unwrap_or_default().lines().count()
    }

    /// Soon no further row of a [`slow_job`] over 2 files of 3000 rows is processed, though some are left.
    async fn assert_stands_still(&self) {
        let started = Instant::now();
        loop {
            let before = self.len();
            tokio::time::sleep(Duration::from_millis(150)).await;
            if self.len() == before {
                assert!(before < 6000, "the job was over before");
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(4), "tasks of a cancelled job still run");
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Clusters
// ---------------------------------------------------------------------------------------------------------------------

fn options(slots: usize) -> EmbeddedOptions {
    EmbeddedOptions { slots, memory: MemoryLimit::Bytes(512 << 20), work_dir: None }
}

async fn embedded(slots: usize) -> Cluster {
    Cluster::embedded_with(engine(), options(slots)).await.unwrap()
}

/// The environment variable that makes this binary a part of a cluster.
const ROLE: &str = "QUICKCHAT_TEST_ROLE";

/// Not a test: a scheduler or executor process, when the environment says so.
#[test]
#[ignore = "the body of child processes"]
fn child_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    let code = match words[0] {
        "scheduler" => quickchat_scheduler::cli::run(&engine(), &quickchat_scheduler::cli::Options::parse_from(words)),
        "executor" => quickchat_executor::cli::run(&engine(), &quickchat_executor::cli::Options::parse_from(words)),
        other => panic!("unknown role {other}"),
    };
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 1 });
}

/// One scheduler and some executors of one slot each, all of them processes.
struct Processes {
    cluster: Cluster,
    scheduler: Child,
    /// Flight port and process of each.
    executors: Vec<(u16, Child)>,
    /// Flight port of each by its id.
    ports: HashMap<String, u16>,
    _work: tempfile::TempDir,
}

impl Processes {
    async fn start(executors: usize) -> Self {
        let work = tempfile::tempdir().unwrap();
        let url = SchedulerUrl::new("127.0.0.1", free_port());
        let scheduler = spawn(&format!(
            "scheduler --bind-port {} --http-bind-port 0 --executor-timeout-seconds 4 --no-executors-grace-seconds 2",
            url.port()
        ));
        let executors: Vec<_> = (0..executors)
            .map(|_| {
                let port = free_port();
                let child = spawn(&format!(
                    "executor --scheduler-url {url} --slots 1 --flight-bind-port {port} --memory 256MiB \
                     --heartbeat-seconds 1 --work-dir {}",
                    work.path().display()
                ));
                (port, child)
            })
            .collect();
        // The scheduler process needs a moment; connecting waits for it.
        let cluster = Cluster::connect_with(engine(), &url).await.unwrap();
        let mut this = Self { cluster, scheduler, executors, ports: HashMap::new(), _work: work };
        wait_until("all executors", || async { this.ids().await.len() == this.executors.len() }).await;
        let known = this.cluster.executors().await.unwrap();
        this.ports = known.into_iter().map(|one| (one.id, one.port)).collect();
        // So that the count of slots from before is not used.
        tokio::time::sleep(Duration::from_secs(2)).await;
        this
    }

    async fn ids(&self) -> Vec<String> {
        self.cluster.executors().await.unwrap().into_iter().map(|one| one.id).collect()
    }

    /// The id of an executor that runs a task of the job at this moment.
    async fn busy(&self, job: &Submitted) -> String {
        let progress = job.progress().poll().await.unwrap().expect("the job has ended");
        let running: Vec<_> = progress.stages.iter().flat_map(|stage| &stage.running).collect();
        running.first().expect("no task is running").executor_id.clone()
    }

    fn child(&mut self, id: &str) -> &mut Child {
        let port = self.ports[id];
        &mut self.executors.iter_mut().find(|(own, _)| *own == port).unwrap().1
    }

    fn pid(&self, id: &str) -> u32 {
        let port = self.ports[id];
        self.executors.iter().find(|(own, _)| *own == port).unwrap().1.id()
    }

    /// SIGKILL.
    fn kill(&mut self, id: &str) {
        let child = self.child(id);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; waits for the end.
    fn terminate(&mut self, id: &str) -> ExitStatus {
        let child = self.child(id);
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        child.wait().unwrap()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in self.executors.iter_mut().map(|(_, child)| child).chain([&mut self.scheduler]) {
            // Those that a test has ended are gone already.
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

fn spawn(role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cluster::child_process", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "error".to_owned()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
