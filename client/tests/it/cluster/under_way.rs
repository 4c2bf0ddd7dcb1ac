//! Jobs that are watched and cancelled while they run, on an embedded cluster.

use std::time::Duration;

use quickchat_client::cluster::{Cluster, ClusterError, SubmitOptions, Submitted};

use super::functions::{Gate, Trace};
use super::queries::{Csv, collect, embedded, rows, run, submit, wait_for, wait_for_end, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_the_tasks() {
    let cluster = embedded(2).await;
    let (data, trace) = (endless(), Trace::new());
    let job = slow_job(&cluster, &data, &trace, None).await;
    wait_for(&job, "two running tasks", |progress| progress.running_tasks == 2).await;
    wait_until("rows of them", async || trace.len() > 0).await;

    job.cancel().await.unwrap();
    assert!(matches!(collect(&job).await.unwrap_err(), ClusterError::Cancelled { .. }));
    trace.assert_stands_still().await;
    // The slots are free again.
    assert_eq!(rows(&run(&cluster, "select 1").await), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_cancelled_at_once_does_not_run_on() {
    let cluster = embedded(2).await;
    let (data, trace) = (endless(), Trace::new());
    // Very likely still being planned, when the scheduler ignores the request.
    slow_job(&cluster, &data, &trace, None).await.cancel().await.unwrap();
    trace.assert_stands_still().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_job_is_cancelled() {
    let cluster = embedded(2).await;
    let (data, trace) = (endless(), Trace::new());
    let job = slow_job(&cluster, &data, &trace, None).await;
    wait_for(&job, "a running task", |progress| progress.running_tasks > 0).await;
    let probe = job.progress();
    drop(job);
    wait_for_end(&probe).await;
    trace.assert_stands_still().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_too_long_is_cancelled() {
    let cluster = embedded(2).await;
    let (data, trace) = (endless(), Trace::new());
    let job = slow_job(&cluster, &data, &trace, Some(Duration::from_millis(300))).await;
    let error = collect(&job).await.unwrap_err();
    assert!(matches!(error, ClusterError::Deadline { .. }), "{error:?}");
    trace.assert_stands_still().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_partitions_and_rows() {
    let cluster = embedded(2).await;
    let data = Csv::new(2, 200);
    let (first, second) = (Gate::new(), Gate::new());
    let sql = format!(
        "select sum(gate(v, case when v < 200 then '{}' else '{}' end)) from numbers",
        first.path().display(),
        second.path().display()
    );
    let job = submit(&cluster, &data, &sql, SubmitOptions::named("watched")).await;

    // The last stage tells its partition when its inputs are ready.
    let progress = wait_for(&job, "a task for each file", |progress| progress.running_tasks == 2).await;
    assert_eq!((progress.partitions, progress.partitions_done, progress.source_rows), (2, 0, 0));
    first.open();
    let progress = wait_for(&job, "the end of one task", |progress| progress.running_tasks < 2).await;
    assert_eq!((progress.partitions, progress.partitions_done, progress.running_tasks), (2, 1, 1));
    assert_eq!(progress.source_rows, 200);
    second.open();
    assert_eq!(rows(&collect(&job).await.unwrap()), (0..400).sum::<i64>().to_string());
}

/// Two files over which a [`slow_job`] takes minutes, longer than anything is waited for.
fn endless() -> Csv {
    Csv::new(2, 100_000)
}

/// A row takes 2 ms and is counted in the trace.
async fn slow_job(cluster: &Cluster, data: &Csv, trace: &Trace, deadline: Option<Duration>) -> Submitted {
    let sql = format!("select sum(trace(v, 2, '{}')) from numbers", trace.path().display());
    submit(cluster, data, &sql, SubmitOptions { deadline, ..SubmitOptions::named("slow") }).await
}
