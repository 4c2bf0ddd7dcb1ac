//! Executors that are killed, and one that may finish, while a job needs them.

use std::collections::BTreeSet;

use datafusion::arrow::record_batch::RecordBatch;
use quickchat_client::cluster::{ClusterError, FailureKind, Progress, SubmitOptions};

use super::functions::{Gate, Trace};
use super::processes::Processes;
use super::queries::{Csv, collect, ints, plan, rows, submit, wait_for, wait_for_end, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_killed_while_it_runs_a_task_costs_time_but_no_row() {
    let mut processes = Processes::start(3).await;
    let data = Csv::new(3, 400);
    let (trace, gate) = (Trace::new(), Gate::new());
    let job = submit(&processes.cluster, &data, &halting(&trace, &gate), SubmitOptions::named("halting")).await;
    wait_for(&job, "a task on each executor", |progress| progress.running_tasks == 3).await;
    let victim = processes.busy(&job).await;
    let pid = processes.pid(&victim);
    wait_until("rows of the victim", async || trace.of(pid) > 0).await;
    processes.kill(&victim);
    gate.open();
    assert_eq!(rows(&collect(&job).await.unwrap()), (0..1200).sum::<i64>().to_string());
    let processed = trace.of(pid);
    assert!((1..400).contains(&processed), "killed in the middle of its part, not after {processed} of 400 rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_killed_after_its_shuffle_was_written_costs_time_but_no_row() {
    let mut processes = Processes::start(3).await;
    let data = Csv::new(6, 80);
    let gate = Gate::new();
    // The second stage waits: when the victim dies, a task of it at least still needs what the victim wrote.
    let sql =
        format!("select sum(gate(v, '{}')) from (select v, count(*) from numbers group by v)", gate.path().display());
    let job = submit(&processes.cluster, &data, &sql, SubmitOptions::named("second stage")).await;
    let in_second_stage = |progress: &Progress| match progress.stages.as_slice() {
        [first, second, ..] => first.running.is_empty() && second.running.len() == 3,
        _ => false,
    };
    wait_for(&job, "the second stage", in_second_stage).await;
    let victim = processes.busy(&job).await;
    processes.kill(&victim);
    gate.open();
    assert_eq!(rows(&collect(&job).await.unwrap()), (0..480).sum::<i64>().to_string());
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
    wait_until("all rows", async || trace.len() == 60).await;
    wait_for_end(&job.progress()).await;
    let ids = processes.known().await;
    let holds_results = |id: &String| trace.of(processes.pid(id)) > 0;
    let victim = ids.into_iter().find(holds_results).expect("somebody has done the work");
    processes.kill(&victim);
    let batches = collect(&job).await.unwrap();
    let found: BTreeSet<i64> = batches.iter().flat_map(|batch| ints(batch.column(0))).collect();
    assert_eq!((found.len(), batches.iter().map(RecordBatch::num_rows).sum::<usize>()), (60, 60));
    assert_ne!(job.job_id(), first_id, "the job must have run again");
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_a_part_of_the_last_stage_neither_loses_nor_doubles_rows() {
    let mut processes = Processes::start(3).await;
    let data = Csv::new(6, 30);
    let (trace, gate) = (Trace::new(), Gate::new());
    // Of six parts the first two are done at once, three wait on an executor each and one for an executor.
    let sql = format!(
        "select trace(gate(v, case when v < 60 then '' else '{}' end), 0, '{}') as v from numbers",
        gate.path().display(),
        trace.path().display()
    );
    let six_parts = vec![("datafusion.execution.target_partitions".to_owned(), "6".to_owned())];
    let options = SubmitOptions { settings: six_parts, ..SubmitOptions::named("part") };
    let job = submit(&processes.cluster, &data, &sql, options).await;
    wait_for(&job, "two finished and three running tasks", |progress| {
        progress.partitions_done == 2 && progress.running_tasks == 3
    })
    .await;
    // It holds a part of the result and works on another.
    let ids = processes.known().await;
    let holds_a_part = |id: &String| trace.of(processes.pid(id)) > 0;
    let victim = ids.into_iter().find(holds_a_part).expect("somebody has done the first parts");
    processes.kill(&victim);
    wait_until("the loss to be noticed", async || !processes.known().await.contains(&victim)).await;
    gate.open();
    let batches = collect(&job).await.unwrap();
    let mut found: Vec<i64> = batches.iter().flat_map(|batch| ints(batch.column(0))).collect();
    found.sort_unstable();
    assert_eq!(found, (0..180).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_executors_are_lost_the_job_fails_as_such() {
    let mut processes = Processes::start(1).await;
    let data = Csv::new(1, 10);
    let (trace, gate) = (Trace::new(), Gate::new());
    let job = submit(&processes.cluster, &data, &halting(&trace, &gate), SubmitOptions::named("lost")).await;
    wait_until("the first row", async || trace.len() > 0).await;
    let victim = processes.busy(&job).await;
    processes.kill(&victim);
    let error = collect(&job).await.unwrap_err();
    assert!(matches!(error, ClusterError::Failed { kind: FailureKind::ExecutorsLost, .. }), "{error:?}");
    assert_eq!(error.exit_code(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_an_executor_finish_its_tasks() {
    let mut processes = Processes::start(2).await;
    let data = Csv::new(2, 400);
    let (trace, gate) = (Trace::new(), Gate::new());
    let job = submit(&processes.cluster, &data, &halting(&trace, &gate), SubmitOptions::named("halting")).await;
    wait_for(&job, "a task on each executor", |progress| progress.running_tasks == 2).await;
    let chosen = processes.busy(&job).await;
    let mut executor = processes.take(&chosen);
    let pid = executor.id();
    wait_until("rows of the executor", async || trace.of(pid) > 0).await;
    executor.signal("TERM");
    wait_until("the executor to be finishing", async || {
        executor.expect_running();
        executor.said().contains("finishing running tasks")
    })
    .await;
    let before = trace.of(pid);
    gate.open();
    let ended = tokio::task::spawn_blocking(|| executor.wait()).await.unwrap().expect(0);
    // It went on to the end of what it had begun: its whole file.
    let after = trace.of(pid);
    assert!(after > before && after == 400, "{before} rows before the signal, {after} in the end: {ended}");
    assert_eq!(rows(&collect(&job).await.unwrap()), (0..800).sum::<i64>().to_string());
}

/// A query whose tasks leave a trace of their first row and wait with it at the gate.
fn halting(trace: &Trace, gate: &Gate) -> String {
    format!("select sum(gate(trace(v, 0, '{}'), '{}')) from numbers", trace.path().display(), gate.path().display())
}
