//! What queries answer, embedded and remote, and how they fail.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use quickchat_client::cluster::{Cluster, ClusterError, EmbeddedOptions, ErrorClass, FailureKind};

use super::functions::{IO_FAILURES, OTHER_FAILURES, engine};
use super::processes::Processes;
use super::queries::{Csv, THREE_STAGES, embedded, ints, options, plan, rows, run, run_on, three_stages_expected};

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_cluster_answers_one_small_query_after_the_other() {
    let cluster = embedded(2).await;
    let data = Csv::new(4, 50);
    for _ in 0..10 {
        assert_eq!(rows(&run(&cluster, "select 1 + 1 as two").await), "2");
        assert_eq!(run_on(&cluster, &data, THREE_STAGES).await, three_stages_expected(200));
    }
    cluster.stop().await;
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
    let batches: Vec<_> = stream.try_collect().await.unwrap();
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
