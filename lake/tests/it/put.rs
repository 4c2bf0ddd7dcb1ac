//! Put: rows of this process, written and committed without a cluster.

use std::sync::Arc;

use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use quickchat_lake::operation::{CommitNote, Put, Scope, Target, Written, put};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::{ErrorClass, LakeError, Result, heartbeat};
use serde_json::{Map, Value, json};

use crate::fixtures::{Bench, actions, batch, count_of, events, reading, readings, sorted};
use crate::store::{Fault, Request};

async fn put_rows(bench: &Bench, target: &Target, rows: &[Value], replaces: Option<&str>) -> Result<u64> {
    let info = |written: &Written| Map::from_iter([("written".to_owned(), json!(written.written))]);
    let note = CommitNote { transaction: bench.transaction("records"), info: &info };
    let replaces = replaces.map(|value| ("id", value));
    put(&bench.tables, &Put { target, rows: batch(&target.schema, rows), replaces }, &note).await
}

#[tokio::test]
async fn rows_are_added_and_replaced_without_a_query() {
    let bench = Bench::new();
    let target = readings(&bench);
    assert_eq!(put_rows(&bench, &target, &[reading("a", 1, 1)], None).await.unwrap(), 0);
    assert_eq!(put_rows(&bench, &target, &[reading("b", 2, 2)], None).await.unwrap(), 1);
    let ended = [reading("a", 3, 10), reading("a", 3, 11)];
    assert_eq!(put_rows(&bench, &target, &ended, Some("a")).await.unwrap(), 2);
    assert!(bench.runner.take_runs().is_empty(), "nothing ran on the cluster");
    let rows = [reading("b", 2, 2), reading("a", 3, 10), reading("a", 3, 11)];
    assert_eq!(bench.rows(&target).await, sorted(rows.to_vec()));

    let actions = actions(&bench, &target.url, 2).await;
    assert_eq!((count_of(&actions, "add"), count_of(&actions, "remove")), (1, 1));
    let info = actions.iter().find_map(|action| action.get("commitInfo")).unwrap();
    assert_eq!(info["operationParameters"]["predicate"], "id = 'a'");
    assert_eq!((&info["isBlindAppend"], &info["written"]), (&json!(false), &json!(2)));
}

#[tokio::test]
async fn nothing_to_replace_is_an_append() {
    let bench = Bench::new();
    let target = readings(&bench);
    put_rows(&bench, &target, &[reading("b", 1, 1)], None).await.unwrap();
    put_rows(&bench, &target, &[reading("a", 1, 1)], Some("a")).await.unwrap();
    assert_eq!(bench.rows(&target).await, sorted(vec![reading("a", 1, 1), reading("b", 1, 1)]));
    assert_eq!(count_of(&actions(&bench, &target.url, 1).await, "remove"), 0);
}

/// A compaction puts rows of several ids into one file; the others must survive.
#[tokio::test]
async fn rows_that_were_moved_among_others_are_replaced_alone() {
    let bench = Bench::new();
    let target = readings(&bench);
    for id in ["a", "b", "c"] {
        put_rows(&bench, &target, &[reading(id, 1, 1)], None).await.unwrap();
    }
    compact(&bench, &target).await;
    assert_eq!(bench.latest(&target).await.files.len(), 1);
    put_rows(&bench, &target, &[reading("b", 2, 2)], Some("b")).await.unwrap();
    let rows = vec![reading("a", 1, 1), reading("b", 2, 2), reading("c", 1, 1)];
    assert_eq!(bench.rows(&target).await, sorted(rows.clone()));

    // Between the smallest and the largest id, but not there: the file is read and left alone.
    let files = bench.latest(&target).await.files.clone();
    put_rows(&bench, &target, &[reading("bb", 3, 3)], Some("bb")).await.unwrap();
    let after = bench.latest(&target).await;
    assert!(files.iter().all(|file| after.files.iter().any(|other| other.path == file.path)));
    assert_eq!(bench.rows(&target).await.len(), rows.len() + 1);
}

/// All rows into one file.
async fn compact(bench: &Bench, target: &Target) {
    let scan = Arc::new(DeltaScan::of(&bench.tables, bench.latest(target).await.as_ref()));
    let plan = LogicalPlanBuilder::scan("t", provider_as_source(scan), None).unwrap().build().unwrap();
    bench.replace_by(target, Scope::Table, plan).await.unwrap();
}

#[tokio::test]
async fn writers_that_start_at_once_all_get_through() {
    let bench = Bench::new();
    let target = readings(&bench);
    let ids: Vec<String> = (0..8).map(|number| format!("run-{number}")).collect();
    let started = ids.iter().map(|id| {
        let (bench, target) = (bench.other_process(), target.clone());
        async move {
            put_rows(&bench, &target, &[reading(id, 1, 0)], None).await?;
            put_rows(&bench, &target, &[reading(id, 2, 1)], Some(id)).await
        }
    });
    for result in futures::future::join_all(started).await {
        result.unwrap();
    }
    let rows = ids.iter().map(|id| reading(id, 2, 1)).collect();
    assert_eq!(bench.rows(&target).await, sorted(rows));
    assert_eq!(bench.latest(&target).await.version, 15);
    // Files of attempts that others got ahead of are gone; of the rest there is one for each version.
    let data = bench.store.objects().await.into_iter().filter(|path| path.ends_with(".parquet")).count();
    let checkpoints = bench.store.objects().await.into_iter().filter(|path| path.contains(".checkpoint")).count();
    assert_eq!(data - checkpoints, 16);
}

#[tokio::test]
async fn a_lost_answer_is_no_second_row() {
    let bench = Bench::new();
    let target = readings(&bench);
    put_rows(&bench, &target, &[reading("a", 1, 1)], None).await.unwrap();
    let mut lost = false;
    bench.store.set_rule(move |request, path| {
        let is_commit = request == Request::Put && path.ends_with("1.json");
        (is_commit && !std::mem::replace(&mut lost, true)).then_some(Fault::LoseAnswer)
    });
    assert_eq!(put_rows(&bench, &target, &[reading("b", 1, 1)], None).await.unwrap(), 1);
    bench.store.clear_rule();
    assert_eq!(bench.rows(&target).await.len(), 2);
}

#[tokio::test]
async fn a_store_out_of_order_is_told_as_such() {
    let bench = Bench::new();
    let target = readings(&bench);
    bench.store.set_rule(|request, _| (request == Request::Put || request == Request::Upload).then_some(Fault::Fail));
    let error = put_rows(&bench, &target, &[reading("a", 1, 1)], None).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::External, "{error}");
    bench.store.clear_rule();
    assert!(bench.tables.latest(&target.url).await.unwrap().is_none());
}

#[tokio::test]
async fn a_table_of_other_columns_and_partitions_is_refused() {
    let bench = Bench::new();
    let theirs = Target { url: bench.root.table("bronze", "readings"), ..events(&bench) };
    bench.replace(&theirs, Scope::Table, &[]).await.unwrap();
    let error = put_rows(&bench, &readings(&bench), &[reading("a", 1, 1)], None).await.unwrap_err();
    assert!(matches!(error, LakeError::ContractChanged { .. }), "{error}");
}

#[tokio::test]
async fn a_sign_of_life_has_a_time() {
    let bench = Bench::new();
    let folder = bench.root.folder("_landing").folder("run");
    assert_eq!(heartbeat::last_beat(&bench.tables, &folder).await.unwrap(), None);
    heartbeat::beat(&bench.tables, &folder).await.unwrap();
    let first = heartbeat::last_beat(&bench.tables, &folder).await.unwrap().expect("a sign of life");
    heartbeat::beat(&bench.tables, &folder).await.unwrap();
    assert!(heartbeat::last_beat(&bench.tables, &folder).await.unwrap().unwrap() >= first);
}
