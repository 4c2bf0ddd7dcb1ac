//! Commits: lost answers, conflicts, checkpoints, and what they cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use deltalake::kernel::{Action, Add};
use deltalake::protocol::{DeltaOperation, SaveMode};
use futures::future::BoxFuture;
use quickchat_lake::commit::{Commit, Outcome, ReadSet, commit};
use quickchat_lake::operation::{CommitNote, Put, QueryRunner, Scope, Target, Written, put};
use quickchat_lake::{ErrorClass, LakeError};
use serde_json::{Map, Value, json};

use crate::fixtures::{Bench, actions, batch, day, days, event, events, reading, readings, sorted};
use crate::store::{Fault, Request};

/// Whether a request puts a version into a log.
pub fn puts_version(request: Request, path: &str) -> bool {
    request == Request::Put && path.contains("_delta_log/0") && path.ends_with(".json")
}

/// A file that nobody will read.
fn made_up(path: &str, day: &str) -> Value {
    json!({"add": {"path": path, "size": 1, "partitionValues": {"day": day}, "modificationTime": 0,
                   "dataChange": true, "stats": "{\"numRecords\":1}"}})
}

fn append(bench: &Bench, target: &Target, file: &Value) -> Commit {
    let Action::Add(add) = serde_json::from_value::<Action>(file.clone()).unwrap() else { panic!("an add") };
    Commit {
        adds: vec![add],
        removes: Vec::new(),
        metadata: None,
        operation: DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None },
        transaction: bench.transaction(&format!("{} test", target.name)),
        info: Map::from_iter([("watermark".to_owned(), json!("w"))]),
        reads: ReadSet::Nothing,
    }
}

/// A cluster during whose queries somebody else acts.
pub struct Meanwhile {
    inner: Arc<dyn QueryRunner>,
    label: String,
    /// Queries of that label that are left alone first.
    before: AtomicUsize,
    left: AtomicUsize,
    act: Box<dyn Fn(usize) -> BoxFuture<'static, ()> + Send + Sync>,
}

#[async_trait]
impl QueryRunner for Meanwhile {
    async fn run(
        &self,
        plan: LogicalPlan,
        label: &str,
    ) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
        let rows = self.inner.run(plan, label).await?;
        let down = |counter: &AtomicUsize| {
            counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).ok()
        };
        if label == self.label
            && down(&self.before).is_none()
            && let Some(left) = down(&self.left)
        {
            (self.act)(left).await;
        }
        Ok(rows)
    }
}

impl Meanwhile {
    /// A lake during whose queries with the given label, from number `first` on, something happens; `times` times.
    pub fn lake(
        bench: &Bench,
        label: &str,
        first: usize,
        times: usize,
        act: impl Fn(usize) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Bench {
        bench.with_runner(Arc::new(Self {
            inner: Arc::clone(&bench.runner) as _,
            label: label.to_owned(),
            before: AtomicUsize::new(first),
            left: AtomicUsize::new(times),
            act: Box::new(act),
        }))
    }
}

/// A lake during whose queries for a table, from number `first` on, somebody else upserts a row; `times` times. An
/// upsert's query 0 is the landing, the next is the merge.
fn with_interference(bench: &Bench, target: &Target, first: usize, times: usize, row: fn(usize) -> Value) -> Bench {
    let (other, table) = (bench.other_process(), target.clone());
    let act = move |left: usize| -> BoxFuture<'static, ()> {
        let (other, table) = (other.clone(), Target { name: "others".to_owned(), ..table.clone() });
        Box::pin(async move {
            other.upsert(&table, &[row(left)]).await.unwrap();
        })
    };
    Meanwhile::lake(bench, &target.name, first, times, act)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_made_once() {
    for fault in [Fault::LoseAnswer, Fault::RepeatLostAnswer] {
        let bench = Bench::new();
        let target = events(&bench);
        for version in 0..3_u64 {
            let mut once = Some(fault.clone());
            bench.store.set_rule(move |request, path| if puts_version(request, path) { once.take() } else { None });
            let row = event(&version.to_string(), "2026-01-01", 1);
            let written = bench.upsert(&target, std::slice::from_ref(&row)).await.unwrap();
            assert_eq!(written.version, Some(version), "{fault:?}");
        }
        bench.store.clear_rule();
        assert_eq!(bench.rows(&target).await.len(), 3);
        assert_eq!(bench.latest(&target).await.version, 2);
    }
}

#[tokio::test]
async fn a_commit_that_failed_is_an_error_and_leaves_the_table_as_it_was() {
    let bench = Bench::new();
    let target = events(&bench);
    for version in [None, Some(0)] {
        bench.store.set_rule(|request, path| puts_version(request, path).then_some(Fault::Fail));
        let error = bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::External, "{error:?}");
        assert!(error.to_string().contains("commit to s3://test/lake/bronze/events"), "{error}");
        bench.store.clear_rule();
        assert_eq!(bench.tables.latest(&target.url).await.unwrap().map(|pinned| pinned.version), version);
        bench.upsert(&target, &[event("b", "2026-01-01", 1)]).await.unwrap();
    }
    assert_eq!(bench.rows(&target).await, [event("b", "2026-01-01", 1)]);
}

#[tokio::test]
async fn where_objects_are_overwritten_nothing_is_written() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.store.set_rule(|request, _| (request == Request::Put).then_some(Fault::Overwrite));
    let error = bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap_err();
    assert!(matches!(&error, LakeError::Unconditional { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::User);
    assert!(error.to_string().contains("s3://test overwrote"), "{error}");
    assert_eq!(bench.store.objects().await, [""; 0]);
    assert!(bench.runner.take_runs().is_empty(), "no source was read");
    // What was found out holds for the process, whatever it does.
    bench.store.take_requests();
    let rows = [event("a", "2026-01-01", 1)];
    let errors = [
        bench.replace(&target, Scope::Table, &rows).await.unwrap_err(),
        bench.upsert(&target, &rows).await.unwrap_err(),
        append_here(&bench, &target, &rows).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, LakeError::Unconditional { .. }), "{error:?}");
    }
    assert!(!bench.store.take_requests().iter().any(|(request, _)| *request == Request::Put));
    assert!(bench.runner.take_runs().is_empty());

    // Another tries it out again, when somebody has mended the store, and then no more.
    bench.store.clear_rule();
    let other = bench.other_process();
    other.replace(&target, Scope::Table, &rows).await.unwrap();
    bench.store.take_requests();
    other.replace(&target, Scope::Table, &[event("b", "2026-01-01", 1)]).await.unwrap();
    assert!(bench.store.take_requests().iter().all(|(_, path)| !path.contains("_probe")));
}

#[tokio::test]
async fn each_operation_tries_the_store_out_before_it_writes() {
    let bench = Bench::new();
    let target = readings(&bench);
    for version in 0..2 {
        bench.upsert(&target, &[reading(&version.to_string(), 1, 1)]).await.unwrap();
    }
    let stored = bench.store.objects().await;
    bench.store.set_rule(|request, _| (request == Request::Put).then_some(Fault::Overwrite));
    let rows = [reading("x", 2, 2)];
    // Each in a process of its own, so that none has the answer of another.
    let bench = || bench.other_process();
    let errors = [
        bench().replace(&target, Scope::Table, &rows).await.unwrap_err(),
        bench().upsert(&target, &rows).await.unwrap_err(),
        append_here(&bench(), &target, &rows).await.unwrap_err(),
        bench().optimize(&target, &[]).await.unwrap_err(),
        bench().optimize(&target, &["amount"]).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, LakeError::Unconditional { .. }), "{error:?}");
    }
    assert_eq!(bench().store.objects().await, stored);
}

/// Rows put by the process itself.
async fn append_here(bench: &Bench, target: &Target, rows: &[Value]) -> quickchat_lake::Result<u64> {
    let rows = batch(&target.schema, rows);
    let info = |_: &Written| Map::new();
    let note = CommitNote { transaction: bench.transaction("put"), info: &info };
    put(&bench.tables, &Put { target, rows, replaces: None }, &note).await
}

#[tokio::test]
async fn a_commit_that_is_refused_because_another_put_is_under_way_is_repeated() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let base = bench.latest(&target).await;
    let change = append(&bench, &target, &made_up("1.parquet", "2026-01-01"));
    bench.store.take_requests();
    let mut left = 4;
    bench.store.set_rule(move |request, path| {
        let refuses = puts_version(request, path) && left > 0;
        left -= usize::from(refuses);
        refuses.then_some(Fault::Refuse)
    });
    let outcome = commit(&bench.tables, &target.url, Some(&base), change).await.unwrap();
    assert_eq!(outcome, Outcome::Committed(1));
    let requests = bench.store.take_requests();
    assert_eq!(requests.iter().filter(|(request, path)| puts_version(*request, path)).count(), 5);
}

#[tokio::test]
async fn a_version_that_is_refused_for_long_and_not_there_is_no_other_writers() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let base = bench.latest(&target).await;
    let change = append(&bench, &target, &made_up("1.parquet", "2026-01-01"));
    bench.store.set_rule(|request, path| puts_version(request, path).then_some(Fault::Refuse));
    let began = std::time::Instant::now();
    let error = commit(&bench.tables, &target.url, Some(&base), change).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::External, "{error:?}");
    assert!(error.to_string().contains("a put of it may still be under way"), "{error}");
    assert!(began.elapsed() >= std::time::Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_commit_is_one_request_and_lists_nothing() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    for version in 1..=7 {
        let base = bench.latest(&target).await;
        let change = append(&bench, &target, &made_up(&format!("{version}.parquet"), "2026-01-01"));
        bench.store.take_requests();
        let outcome = commit(&bench.tables, &target.url, Some(&base), change).await.unwrap();
        assert_eq!(outcome, Outcome::Committed(version));
        let requests = bench.store.take_requests();
        let path = format!("lake/bronze/events/_delta_log/{version:020}.json");
        assert_eq!(requests, [(Request::Put, path)]);
    }
}

#[tokio::test]
async fn a_version_says_who_made_it_and_of_what() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let base = bench.latest(&target).await;
    let change = append(&bench, &target, &made_up("x.parquet", "2026-01-01"));
    let transaction = change.transaction.clone();
    commit(&bench.tables, &target.url, Some(&base), change).await.unwrap();
    let info = bench.tables.entry(&target.url, 1).await.unwrap().unwrap().info;
    assert_eq!(info["runId"], json!(transaction.run));
    assert_eq!(info["watermark"], json!("w"));
    assert_eq!(info["isBlindAppend"], json!(true));
    let actions = actions(&bench, &target.url, 1).await;
    let txn = actions.iter().find_map(|action| action.get("txn")).unwrap();
    assert_eq!((&txn["appId"], &txn["version"]), (&json!("bronze.events test"), &json!(transaction.sequence)));
    let first = bench.tables.entry(&target.url, 0).await.unwrap().unwrap().info;
    assert_eq!(first["isBlindAppend"], json!(false));
    assert_eq!(first["operation"], json!("MERGE"));
}

#[tokio::test]
async fn an_append_goes_on_top_of_what_others_added() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let base = bench.latest(&target).await;
    for version in 1..=3 {
        let change = append(&bench, &target, &made_up(&format!("{version}.parquet"), "2026-01-01"));
        assert_eq!(
            commit(
                &bench.tables,
                &target.url,
                Some(&base),
                Commit { transaction: bench.transaction(&format!("writer {version}")), ..change }
            )
            .await
            .unwrap(),
            Outcome::Committed(version)
        );
    }
    assert_eq!(bench.latest(&target).await.files.len(), 4);
}

#[tokio::test]
async fn a_change_in_another_partition_is_no_conflict() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1), event("b", "2026-01-02", 2)]).await.unwrap();
    let busy = with_interference(&bench, &target, 0, 1, |_| event("other", "2026-01-02", 5));
    bench.runner.take_runs();
    let written = busy.replace(&target, days(&["2026-01-01"]), &[event("c", "2026-01-01", 3)]).await.unwrap();
    assert_eq!(written.version, Some(2), "on top of the other's version 1");
    let queries = bench.runner.take_runs().into_iter().filter(|(label, _)| *label == target.name).count();
    assert_eq!(queries, 1, "nothing was computed again");
    let expected = vec![event("b", "2026-01-02", 2), event("c", "2026-01-01", 3), event("other", "2026-01-02", 5)];
    assert_eq!(bench.rows(&target).await, sorted(expected));
}

#[tokio::test]
async fn a_change_of_what_was_read_is_answered_by_merging_again() {
    let bench = Bench::new();
    let target = readings(&bench);
    bench.upsert(&target, &[reading("a", 1, 1), reading("b", 1, 1)]).await.unwrap();
    // The other writes a newer `a` and a key that is landed here too.
    let busy = with_interference(&bench, &target, 1, 1, |_| reading("a", 9, 99));
    bench.runner.take_runs();
    let written = busy.upsert(&target, &[reading("a", 5, 5), reading("b", 5, 5), reading("c", 5, 5)]).await.unwrap();
    assert_eq!((written.version, written.written, written.unchanged), (Some(2), 2, 1), "counts of the second attempt");
    let queries = bench.runner.take_runs().into_iter().filter(|(label, _)| *label == target.name).count();
    assert_eq!(queries, 3, "the landing once, the merge twice");
    assert_eq!(bench.rows(&target).await, sorted(vec![reading("a", 9, 99), reading("b", 5, 5), reading("c", 5, 5)]));
    let live: Vec<String> = bench.latest(&target).await.files.iter().map(|file| file.path.clone()).collect();
    let data = bench.store.objects().await.into_iter().filter(|path| path.ends_with(".parquet"));
    let orphans = data.filter(|path| live.iter().all(|live| !path.ends_with(live.as_str()))).count();
    // The two files that versions 1 and 2 removed are there for time travel; the first attempt's are not.
    assert_eq!(orphans, 2);
}

#[tokio::test]
async fn the_second_conflict_of_a_merge_is_an_error() {
    let bench = Bench::new();
    let target = readings(&bench);
    bench.upsert(&target, &[reading("a", 1, 1)]).await.unwrap();
    let busy = with_interference(&bench, &target, 1, 2, |left| reading("a", 9 - left as i64, 0));
    let error = busy.upsert(&target, &[reading("a", 5, 5), reading("b", 100, 5)]).await.unwrap_err();
    assert!(matches!(&error, LakeError::Conflict { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::External);
    assert!(error.to_string().contains("run the job again"), "{error}");
    assert_eq!(bench.rows(&target).await, [reading("a", 8, 0)], "as the others left it");
    assert_eq!(bench.latest(&target).await.version, 2);
}

#[tokio::test]
async fn conflicts_of_a_replace() {
    for (times, version) in [(1, Some(2)), (2, None)] {
        let bench = Bench::new();
        let target = events(&bench);
        bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
        let mut left = times;
        bench.store.set_rule(move |request, path| {
            if left == 0 || !puts_version(request, path) {
                return None;
            }
            left -= 1;
            Some(Fault::Precede(format!("{}\n", made_up(&format!("theirs-{left}.parquet"), "2026-01-01"))))
        });
        bench.runner.take_runs();
        let result = bench.replace(&target, Scope::Table, &[event("b", "2026-01-01", 2)]).await;
        bench.store.clear_rule();
        assert_eq!(bench.runner.take_runs().len(), 1, "the rows do not depend on the table: they are written once");
        let pinned = bench.latest(&target).await;
        match version {
            Some(_) => {
                assert_eq!(result.unwrap().version, version);
                assert_eq!(pinned.files.len(), 1, "the other's file was replaced, too");
                assert_eq!(bench.rows(&target).await, [event("b", "2026-01-01", 2)]);
            }
            None => {
                let error = result.unwrap_err();
                assert!(matches!(&error, LakeError::Conflict { .. }), "{error:?}");
                assert_eq!((pinned.version, pinned.files.len()), (2, 3), "as the others left it");
                let data = bench.store.objects().await.iter().filter(|path| path.ends_with(".parquet")).count();
                assert_eq!(data, 1, "the files of the attempt are deleted");
            }
        }
    }
}

#[tokio::test]
async fn what_others_do_that_is_a_conflict() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1), event("b", "2026-01-02", 1)]).await.unwrap();
    let base = bench.latest(&target).await;
    let removed: &Add = &base.files[0];
    let remove = |path: &str, day: &str, data_change: bool| {
        json!({"remove": {"path": path, "dataChange": data_change, "deletionTimestamp": 1,
                          "extendedFileMetadata": true, "partitionValues": {"day": day}}})
    };
    let mut compacted = made_up("compact.parquet", "2026-01-01");
    compacted["add"]["dataChange"] = json!(false);
    let partition: std::collections::HashMap<String, Option<String>> = day("2026-01-01").into_iter().collect();
    let partition = format!("day={}", partition["day"].as_deref().unwrap());
    let ours = ReadSet::Partitions([partition].into());
    let application = "bronze.events test";
    for (theirs, reads, conflict) in [
        (made_up("x.parquet", "2026-01-01"), ReadSet::Nothing, false),
        (made_up("x.parquet", "2026-01-01"), ReadSet::Everything, true),
        (made_up("x.parquet", "2026-01-01"), ours.clone(), true),
        (made_up("x.parquet", "2026-01-02"), ours.clone(), false),
        (remove(&removed.path, "2026-01-01", false), ReadSet::Nothing, true),
        (remove("y.parquet", "2026-01-01", true), ours.clone(), true),
        (remove("y.parquet", "2026-01-02", true), ours.clone(), false),
        (remove("y.parquet", "2026-01-02", true), ReadSet::Everything, true),
        (compacted.clone(), ReadSet::Everything, false),
        (json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}), ReadSet::Nothing, true),
        (json!({"metaData": serde_json::to_value(&base.metadata).unwrap()}), ReadSet::Nothing, true),
        (json!({"txn": {"appId": application, "version": 99}}), ReadSet::Nothing, true),
        (json!({"txn": {"appId": "another", "version": 99}}), ReadSet::Everything, false),
    ] {
        let bench = Bench::new();
        bench
            .replace(&target, Scope::Table, &[event("a", "2026-01-01", 1), event("b", "2026-01-02", 1)])
            .await
            .unwrap();
        let text = format!("{theirs}\n");
        let mut fault = Some(Fault::Precede(text.clone()));
        bench.store.set_rule(move |request, path| if puts_version(request, path) { fault.take() } else { None });
        let mut change = append(&bench, &target, &made_up("new.parquet", "2026-01-01"));
        change.reads = reads;
        let live = bench.latest(&target).await;
        let remove = json!({"path": removed.path, "dataChange": true, "partitionValues": {"day": "2026-01-01"}});
        change.removes = vec![serde_json::from_value(remove).unwrap()];
        let outcome = commit(&bench.tables, &target.url, Some(&live), change).await.unwrap();
        match conflict {
            true => assert!(matches!(outcome, Outcome::Outdated { .. }), "{text}: {outcome:?}"),
            false => assert_eq!(outcome, Outcome::Committed(2), "{text}"),
        }
    }
}

#[tokio::test]
async fn another_run_that_began_in_the_same_instant_is_not_taken_for_ours() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let base = bench.latest(&target).await;
    let first = append(&bench, &target, &made_up("1.parquet", "2026-01-01"));
    let mut second = append(&bench, &target, &made_up("2.parquet", "2026-01-01"));
    second.transaction.sequence = first.transaction.sequence;
    commit(&bench.tables, &target.url, Some(&base), first.clone()).await.unwrap();
    let outcome = commit(&bench.tables, &target.url, Some(&base), second).await.unwrap();
    assert!(matches!(outcome, Outcome::Outdated { .. }), "{outcome:?}");
    let again = commit(&bench.tables, &target.url, Some(&base), first).await.unwrap();
    assert_eq!(again, Outcome::Committed(1), "ours is recognised");
    assert_eq!(bench.latest(&target).await.version, 1);
}

#[tokio::test]
async fn two_that_create_a_table_at_once() {
    let bench = Bench::new();
    let target = readings(&bench);
    let busy = with_interference(&bench, &target, 0, 2, |left| reading(if left == 2 { "x" } else { "y" }, 1, 1));
    // The first interference, during the landing, creates the table; the second is a conflict.
    let written = busy.upsert(&target, &[reading("a", 1, 1)]).await.unwrap();
    assert_eq!(written.version, Some(2));
    assert_eq!(bench.rows(&target).await, sorted(vec![reading("a", 1, 1), reading("x", 1, 1), reading("y", 1, 1)]));
    let bench = Bench::new();
    let busy = with_interference(&bench, &readings(&bench), 0, 1, |_| reading("x", 1, 1));
    let target = readings(&busy);
    let rows = [reading("a", 1, 1)];
    let written = busy.replace(&target, Scope::Table, &rows).await.unwrap();
    assert_eq!(written.version, Some(1), "a replace creates, finds a table, and takes its place");
    assert_eq!(bench.rows(&target).await, rows);
}

#[tokio::test]
async fn a_foreign_table_that_appears_meanwhile_is_not_overwritten() {
    let bench = Bench::new();
    let target = events(&bench);
    let foreign = json!({"metaData": {"id": "f", "format": {"provider": "parquet", "options": {}},
        "schemaString": "{\"type\":\"struct\",\"fields\":[{\"name\":\"x\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}",
        "partitionColumns": [], "configuration": {}, "createdTime": 1}});
    let protocol = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
    let mut fault = Some(Fault::Precede(format!("{protocol}\n{foreign}\n")));
    bench.store.set_rule(move |request, path| if puts_version(request, path) { fault.take() } else { None });
    let error = bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap_err();
    assert!(matches!(&error, LakeError::ForeignTable { .. }), "{error:?}");
    let objects = bench.store.objects().await;
    assert_eq!(objects, ["lake/bronze/events/_delta_log/00000000000000000000.json"]);
}

#[tokio::test]
async fn every_tenth_version_has_a_checkpoint_from_which_the_table_is_read() {
    let bench = Bench::new();
    let target = events(&bench);
    let mut rows = Vec::new();
    for version in 0..12 {
        let row =
            json!({"id": format!("{version:02}"), "day": format!("2026-01-{:02}", version % 3 + 1), "amount": version});
        rows.push(row.clone());
        bench.upsert(&target, &[row]).await.unwrap();
    }
    let objects = bench.store.objects().await;
    let checkpoints: Vec<&String> = objects.iter().filter(|path| path.contains(".checkpoint.parquet")).collect();
    assert_eq!(checkpoints.len(), 1, "{checkpoints:?}");
    assert!(checkpoints[0].contains("00000000000000000009"), "{checkpoints:?}");
    assert!(objects.iter().any(|path| path.ends_with("_last_checkpoint")));
    for version in 0..9 {
        bench.store.remove(&format!("lake/bronze/events/_delta_log/{version:020}.json")).await;
    }
    let other = bench.other_process();
    assert_eq!(other.rows(&target).await, sorted(rows));
    assert_eq!(other.latest(&target).await.version, 11);
    // Partition values, statistics, tags: the checkpoint has what pruning and comparison need.
    let pinned = other.latest(&target).await;
    assert!(pinned.files.iter().all(|file| file.stats.is_some() && file.partition_values.contains_key("day")));
    let sql = "SELECT id FROM t WHERE day = date '2026-01-01' AND amount < 3";
    let files = other.files_read(sql, quickchat_lake::scan::DeltaScan::of(&other.tables, &pinned)).await;
    assert_eq!(files.len(), 1);
}

#[tokio::test]
async fn fingerprints_survive_a_checkpoint() {
    let bench = Bench::new();
    let target = events(&bench);
    for version in 0..11 {
        let rows = [event("a", "2026-01-01", 1), event("b", "2026-01-02", version)];
        bench.replace(&target, Scope::Table, &rows).await.unwrap();
    }
    for version in 0..9 {
        bench.store.remove(&format!("lake/bronze/events/_delta_log/{version:020}.json")).await;
    }
    let rows = [event("a", "2026-01-01", 1), event("b", "2026-01-02", 10)];
    let written = bench.other_process().replace(&target, Scope::Table, &rows).await.unwrap();
    assert_eq!((written.version, written.unchanged), (None, 2));
}

#[tokio::test]
async fn a_checkpoint_that_fails_is_no_failed_commit() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.store.set_rule(|_, path| path.contains("checkpoint.parquet").then_some(Fault::Fail));
    for version in 0..11 {
        let written = bench.upsert(&target, &[event(&version.to_string(), "2026-01-01", 1)]).await.unwrap();
        assert_eq!(written.version, Some(version));
    }
    assert_eq!(bench.rows(&target).await.len(), 11);
}
