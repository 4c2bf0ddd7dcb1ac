//! Optimize: what it rewrites, that rows stay, and what happens when others write at the same time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::BoxFuture;
use quickchat_lake::LakeError;
use quickchat_lake::maintenance::{OptimizePlan, Optimized};
use quickchat_lake::operation::{Scope, Target};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::snapshot::PinnedTable;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::commit::Meanwhile;
use crate::fixtures::{Bench, actions, batch, count_of, days, event, events, paths, readings, sorted, source};
use crate::store::{Fault, Request};

const ORDER_TAG: &str = "quickchat.order";
const FINGERPRINT_TAG: &str = "quickchat.rows";

fn tag<'a>(file: &'a deltalake::kernel::Add, name: &str) -> Option<&'a str> {
    file.tags.as_ref()?.get(name)?.as_deref()
}

/// Five files of one day and one of another, by upserts.
async fn scattered(bench: &Bench) -> (Target, Vec<Value>) {
    let target = events(bench);
    let mut rows = vec![event("z", "2026-01-02", 100)];
    bench.upsert(&target, &rows).await.unwrap();
    for at in 0..5 {
        let row = event(&format!("r{at}"), "2026-01-01", at);
        bench.upsert(&target, std::slice::from_ref(&row)).await.unwrap();
        rows.push(row);
    }
    assert_eq!(bench.latest(&target).await.files.len(), 6);
    (target, sorted(rows))
}

#[tokio::test]
async fn small_files_become_one_and_rows_stay() {
    let bench = Bench::new();
    let (target, rows) = scattered(&bench).await;
    let before = bench.latest(&target).await;
    let plan = OptimizePlan::of(&before, &[], 128 << 20);
    assert_eq!((plan.partitions(), plan.files(), plan.expected_files()), (1, 5, 1));
    let done = bench.optimize(&target, &[]).await.unwrap();
    assert_eq!((done.version, done.partitions, done.files_removed, done.files_added), (Some(6), 1, 5, 1));
    assert_eq!((done.rows, done.postponed), (5, 0));
    let after = bench.latest(&target).await;
    assert_eq!((after.version, after.files.len()), (6, 2));
    assert_eq!(bench.rows(&target).await, rows);
    let kept: BTreeSet<String> = paths(&before.files).intersection(&paths(&after.files)).cloned().collect();
    assert!(kept.iter().all(|path| path.starts_with("day=2026-01-02/")) && kept.len() == 1, "{kept:?}");
    // The old version is still there.
    assert_eq!(bench.rows_of(DeltaScan::of(&bench.tables, &before)).await, rows);
}

#[tokio::test]
async fn the_commit_says_that_no_data_changed() {
    let bench = Bench::new();
    let (target, _) = scattered(&bench).await;
    bench.optimize(&target, &[]).await.unwrap();
    let actions = actions(&bench, &target.url, 6).await;
    assert_eq!((count_of(&actions, "remove"), count_of(&actions, "add")), (5, 1));
    assert_eq!((count_of(&actions, "metaData"), count_of(&actions, "protocol")), (0, 0));
    for action in actions.iter().filter_map(|action| action.get("add").or(action.get("remove"))) {
        assert_eq!(action["dataChange"], json!(false), "{action}");
    }
    let optimized = bench.tables.entry(&target.url, 6).await.unwrap().unwrap();
    let info = optimized.info;
    assert_eq!((&info["operation"], &info["isBlindAppend"]), (&json!("OPTIMIZE"), &json!(false)));
    assert_eq!(info["operationMetrics"]["numRemovedFiles"], json!("5"));
    assert_eq!((optimized.added.count, optimized.removed.count, optimized.changes.is_empty()), (1, 5, true));
    let upsert = bench.tables.entry(&target.url, 5).await.unwrap().unwrap();
    assert_eq!((upsert.added.count, upsert.removed.count, upsert.changes.is_empty()), (1, 0, false));
}

#[tokio::test]
async fn where_nothing_is_worth_it_nothing_happens() {
    let bench = Bench::new();
    let (target, rows) = scattered(&bench).await;
    bench.optimize(&target, &[]).await.unwrap();
    bench.runner.take_runs();
    let before = bench.store.objects().await;
    assert_eq!(bench.optimize(&target, &[]).await.unwrap(), Optimized::default());
    assert!(bench.runner.take_runs().is_empty(), "nothing is computed");
    assert_eq!(bench.store.objects().await, before);
    assert_eq!(bench.rows(&target).await, rows);
    let empty = readings(&bench);
    let error = bench.optimize(&empty, &[]).await.unwrap_err();
    assert!(matches!(&error, LakeError::NoTable { .. }), "{error:?}");
    bench.replace(&empty, Scope::Table, &[]).await.unwrap();
    assert_eq!(bench.optimize(&empty, &[]).await.unwrap(), Optimized::default());
}

/// Rows of two days, nine of ten of the first, that do not compress well.
fn bulk(count: usize, shift: i64) -> Vec<Value> {
    (0..count)
        .map(|at| {
            let hash = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let id = format!("{at:06}-{hash:016x}{:016x}", hash.rotate_left(29).wrapping_mul(hash | 1));
            event(&id, if at % 10 == 0 { "2026-01-02" } else { "2026-01-01" }, at as i64 + shift)
        })
        .collect()
}

async fn replace_bulk(bench: &Bench, target: &Target, rows: &[Value]) -> quickchat_lake::operation::Written {
    let parts = rows.chunks(rows.len().div_ceil(8)).map(|rows| batch(&target.schema, rows)).collect();
    bench.replace_by(target, Scope::Table, source(parts)).await.unwrap()
}

fn sizes(pinned: &PinnedTable) -> Vec<i64> {
    pinned.files.iter().map(|file| file.size).collect()
}

/// A replace compares fingerprints: after an optimize it must still find equal rows equal, and others different.
#[tokio::test]
async fn a_replace_still_knows_which_rows_are_stored() {
    let rows = bulk(40_000, 0);
    for is_partial in [false, true] {
        let mut bench = Bench::new();
        bench.lake = bench.lake.with_file_bytes(100_000);
        let target = events(&bench);
        replace_bulk(&bench, &target, &rows).await;
        let before = bench.latest(&target).await;
        assert!(before.files.len() > 4, "{:?}", sizes(&before));
        // Either all files of a day are rewritten, or only the smaller ones.
        let mut all = sizes(&before);
        all.sort_unstable();
        let bound = if is_partial { all[all.len() / 2] as u64 * 2 + 1 } else { 128 << 20 };
        bench.lake = bench.lake.with_file_bytes(bound);
        let done = bench.optimize(&target, &[]).await.unwrap();
        assert!(done.files_removed > done.files_added, "{done:?}");
        let after = bench.latest(&target).await;
        let kept: BTreeSet<String> = paths(&before.files).intersection(&paths(&after.files)).cloned().collect();
        assert_eq!(kept.iter().any(|path| path.starts_with("day=2026-01-01/")), is_partial, "{kept:?}");
        assert!(after.files.iter().all(|file| tag(file, FINGERPRINT_TAG).is_some()));
        let again = replace_bulk(&bench, &target, &rows).await;
        assert_eq!((again.version, again.unchanged), (None, 40_000));
        assert_eq!(paths(&bench.latest(&target).await.files), paths(&after.files));
        // One row less on one day.
        let fewer: Vec<Value> = rows[..rows.len() - 1].to_vec();
        let changed = replace_bulk(&bench, &target, &fewer).await;
        assert_eq!(changed.unchanged, 4_000, "the other day's rows");
        assert_eq!(bench.rows(&target).await, sorted(fewer));
    }
}

#[tokio::test]
async fn files_without_fingerprints_get_none() {
    let bench = Bench::new();
    let (target, rows) = scattered(&bench).await;
    bench.optimize(&target, &[]).await.unwrap();
    assert!(bench.latest(&target).await.files.iter().all(|file| tag(file, FINGERPRINT_TAG).is_none()));
    let written = bench.replace(&target, Scope::Table, &rows).await.unwrap();
    assert_eq!((written.written, written.unchanged), (6, 0), "what is not known to be equal is written");
    assert_eq!(bench.rows(&target).await, rows);
}

#[tokio::test]
async fn a_large_partition_becomes_several_files_of_several_writers() {
    let mut bench = Bench::new();
    let target = events(&bench);
    let rows = bulk(20_000, 0);
    for part in rows.chunks(2_000) {
        bench.upsert(&target, part).await.unwrap();
    }
    bench.lake = bench.lake.with_file_bytes(200_000);
    bench.runner.take_runs();
    let done = bench.optimize(&target, &[]).await.unwrap();
    let (_, plan) = bench.runner.take_runs().pop().unwrap();
    assert!(crate::fixtures::writers(&plan) > 1);
    let after = bench.latest(&target).await;
    assert!(done.files_removed == 20 && done.files_added > 2 && done.files_added < 10, "{done:?}");
    assert!(sizes(&after).into_iter().all(|size| size < 400_000), "{:?}", sizes(&after));
    assert_eq!(bench.rows(&target).await, sorted(rows));
}

/// A table with two columns of ids besides its key, of which the one is made by time and the other is not.
fn messages(bench: &Bench) -> Target {
    use arrow::datatypes::{DataType, Field, Schema};
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema = Schema::new(vec![text("id"), text("room"), text("sender"), Field::new("day", DataType::Date32, true)]);
    Target {
        name: "silver.messages".to_owned(),
        url: bench.root.table("silver", "messages"),
        schema: std::sync::Arc::new(schema),
        partition_columns: vec!["day".to_owned()],
        key: vec!["id".to_owned()],
        metadata_columns: Vec::new(),
        statistics_columns: ["id", "room", "sender"].map(str::to_owned).to_vec(),
    }
}

fn message_rows(count: u64, day: &str) -> Vec<Value> {
    let hash = |at: u64| at.wrapping_add(7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let row = |at: u64| {
        let (room, sender) = (hash(at) >> 40, hash(at.wrapping_mul(31)) >> 33);
        json!({"id": format!("{day}-{at:06}-{:016x}", hash(at)), "day": day,
               "room": format!("65f0c1{:018x}", room % 1000), "sender": format!("user-{:04}", sender % 700)})
    };
    (0..count).map(row).collect()
}

#[tokio::test]
async fn z_order_lets_a_filter_on_either_column_leave_out_most_files() {
    let mut bench = Bench::new();
    bench.lake = bench.lake.with_file_bytes(20_000);
    let target = messages(&bench);
    let rows = [message_rows(30_000, "2026-01-01"), message_rows(1_000, "2026-01-02")].concat();
    replace_bulk(&bench, &target, &rows).await;
    let before = bench.latest(&target).await;
    let done = bench.optimize(&target, &["room", "sender"]).await.unwrap();
    assert_eq!(done.partitions, 2);
    let after = bench.latest(&target).await;
    assert!(after.files.len() > 10, "{:?}", sizes(&after));
    assert!(after.files.iter().all(|file| tag(file, ORDER_TAG) == Some("room,sender")));
    assert_eq!(bench.rows(&target).await, sorted(rows.clone()));
    for filter in ["room = '65f0c10000000000000000000001f4'", "sender = 'user-0300'"] {
        let query = format!("SELECT * FROM t WHERE day = '2026-01-01' AND {filter}");
        let read = |pinned: &PinnedTable| bench.files_read(&query, DeltaScan::of(&bench.tables, pinned));
        let (old, new) = (read(&before).await.len(), read(&after).await.len());
        let (old_files, new_files) = (before.files.len() - 1, after.files.len() - 1);
        assert_eq!(old, old_files, "{filter}: as the rows came, every file has to be read");
        assert!(new * 2 <= new_files, "{filter}: {new} of {new_files} files");
        let found = |pinned: &PinnedTable| bench.query(&query, DeltaScan::of(&bench.tables, pinned));
        assert_eq!(found(&before).await, found(&after).await);
    }
    // Fingerprints and the order stay; nothing is left to be done.
    assert_eq!(bench.optimize(&target, &["room", "sender"]).await.unwrap(), Optimized::default());
    assert_eq!(replace_bulk(&bench, &target, &rows).await.version, None);
}

#[tokio::test]
async fn a_partition_is_ordered_anew_when_enough_of_it_changed() {
    let mut bench = Bench::new();
    bench.lake = bench.lake.with_file_bytes(40_000);
    let target = messages(&bench);
    let mut rows = message_rows(10_000, "2026-01-01");
    bench.upsert_landing(&target, crate::fixtures::landing_source(&target, &[&rows], &[], None), None).await.unwrap();
    bench.optimize(&target, &["room", "sender"]).await.unwrap();
    let ordered = bench.latest(&target).await;
    for (more, is_ordered) in [(50, false), (6_000, true)] {
        let mut new = message_rows(more, "2026-01-01");
        for row in &mut new {
            row["id"] = json!(format!("new-{more}-{}", row["id"].as_str().unwrap()));
        }
        let landing = crate::fixtures::landing_source(&target, &[&new], &[], None);
        bench.upsert_landing(&target, landing, None).await.unwrap();
        rows.extend(new);
        let done = bench.optimize(&target, &["room", "sender"]).await.unwrap();
        let now = bench.latest(&target).await;
        assert_eq!(done.version.is_some(), is_ordered, "{more} more rows: {done:?}");
        assert_eq!(now.files.iter().all(|file| tag(file, ORDER_TAG).is_some()), is_ordered);
        let kept = paths(&ordered.files).intersection(&paths(&now.files)).count();
        assert_eq!(kept, if is_ordered { 0 } else { ordered.files.len() });
        assert_eq!(bench.rows(&target).await, sorted(rows.clone()));
    }
}

#[tokio::test]
async fn an_order_by_what_is_no_column_is_refused() {
    let bench = Bench::new();
    let (target, _) = scattered(&bench).await;
    for (columns, part) in [
        (&["nonsense"][..], "nonsense is no column"),
        (&["day"], "day is no column of its files"),
        (&["id", "amount", "note", "updated", "run_id", "id", "id"], "at most 6"),
    ] {
        let error = bench.optimize(&target, columns).await.unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(source.contains(part) || error.to_string().contains(part), "{error}");
    }
}

/// Upserts in another process, as a job of its own.
fn others_upsert(
    bench: &Bench,
    target: &Target,
    row: fn(usize) -> Value,
) -> impl Fn(usize) -> BoxFuture<'static, ()> + use<> {
    let (other, table) = (bench.other_process(), Target { name: "others".to_owned(), ..target.clone() });
    move |left| {
        let (other, table) = (other.clone(), table.clone());
        Box::pin(async move {
            other.upsert(&table, &[row(left)]).await.unwrap();
        })
    }
}

fn by_id(rows: &[Value]) -> BTreeMap<String, i64> {
    let pairs = rows.iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row["amount"].as_i64().unwrap()));
    let map: BTreeMap<_, _> = pairs.collect();
    assert_eq!(map.len(), rows.len(), "no row is there twice");
    map
}

#[tokio::test]
async fn rows_that_others_add_meanwhile_stay_and_cost_nothing() {
    let bench = Bench::new();
    let (target, rows) = scattered(&bench).await;
    let busy =
        Meanwhile::lake(&bench, &target.name, 0, 1, others_upsert(&bench, &target, |_| event("new", "2026-01-01", 7)));
    bench.runner.take_runs();
    let done = busy.optimize(&target, &[]).await.unwrap();
    assert_eq!((done.version, done.files_removed, done.postponed), (Some(7), 5, 0));
    // The upsert came between; its file is left for the next time.
    let mut expected = by_id(&rows);
    expected.insert("new".to_owned(), 7);
    assert_eq!(by_id(&bench.rows(&target).await), expected);
}

#[tokio::test]
async fn a_row_that_others_change_meanwhile_is_not_brought_back() {
    for (times, postponed) in [(1, 0), (2, 1)] {
        let bench = Bench::new();
        let (target, rows) = scattered(&bench).await;
        let newer: fn(usize) -> Value = |left| json!({"id": "r2", "day": "2026-01-01", "amount": 50 + left, "updated": format!("2026-02-0{}T00:00:00Z", 9 - left)});
        let busy = Meanwhile::lake(&bench, &target.name, 0, times, others_upsert(&bench, &target, newer));
        let done = busy.optimize(&target, &[]).await.unwrap();
        assert_eq!(done.postponed, postponed, "{done:?}");
        assert_eq!(done.version.is_none(), postponed == 1);
        let mut expected = by_id(&rows);
        expected.insert("r2".to_owned(), 51);
        assert_eq!(by_id(&bench.rows(&target).await), expected);
        // What an attempt in vain has written is gone: of each version, only what some version names is there.
        let named: BTreeSet<String> = named_files(&bench, &target).await;
        let stored = bench.store.objects().await.into_iter().filter(|path| path.ends_with(".parquet"));
        let stray: Vec<String> = stored.filter(|path| !path.contains("_delta_log") && !named.contains(path)).collect();
        assert!(stray.is_empty(), "{stray:?}");
        assert_eq!(bench.optimize(&target, &[]).await.unwrap().version.is_some(), postponed == 1);
        assert_eq!(by_id(&bench.rows(&target).await), expected);
    }
}

/// Every file that some version of a table names, by its path in the store.
async fn named_files(bench: &Bench, target: &Target) -> BTreeSet<String> {
    let newest = bench.latest(target).await.version;
    let mut named = BTreeSet::new();
    for version in 0..=newest {
        for action in actions(bench, &target.url, version).await {
            if let Some(path) = action.get("add").and_then(|add| add["path"].as_str()) {
                named.insert(format!("{}/{path}", target.url.path().unwrap()));
            }
        }
    }
    named
}

#[tokio::test]
async fn two_optimizers_of_one_table_never_double_a_row() {
    for z_order in [&[][..], &["id", "amount"]] {
        let mut bench = Bench::new();
        let (target, rows) = scattered(&bench).await;
        if !z_order.is_empty() {
            bench.lake = bench.lake.with_file_bytes(20_000);
        }
        let (other, table) = (bench.other_process(), target.clone());
        let act = move |_| -> BoxFuture<'static, ()> {
            let (other, table) = (other.clone(), table.clone());
            Box::pin(async move {
                let done = other.optimize(&table, &[]).await.unwrap();
                assert_eq!(done.files_removed, 5);
            })
        };
        let busy = Meanwhile::lake(&bench, &target.name, 0, 1, act);
        let done = busy.optimize(&target, z_order).await.unwrap();
        if z_order.is_empty() {
            assert_eq!(done, Optimized::default(), "the other has done it all");
        } else {
            assert_eq!((done.files_removed, done.postponed), (2, 0), "what the other has made is put in order");
        }
        assert_eq!(bench.latest(&target).await.files.len(), 2);
        assert_eq!(bench.rows(&target).await, rows);
    }
}

/// The other way round: an optimize between the reading and the commit of a job.
#[tokio::test]
async fn a_job_that_an_optimize_comes_before_is_right() {
    for replaces in [false, true] {
        let bench = Bench::new();
        let (target, rows) = scattered(&bench).await;
        let (other, table) = (bench.other_process(), target.clone());
        let act = move |_| -> BoxFuture<'static, ()> {
            let (other, table) = (other.clone(), table.clone());
            Box::pin(async move {
                assert!(other.optimize(&table, &[]).await.unwrap().version.is_some());
            })
        };
        let busy = Meanwhile::lake(&bench, &target.name, usize::from(!replaces), 1, act);
        let newer = json!({"id": "r3", "day": "2026-01-01", "amount": 70, "updated": "2026-02-01T00:00:00Z"});
        let mut expected = by_id(&rows);
        let written = if replaces {
            expected.retain(|id, _| id == "z");
            busy.replace(&target, days(&["2026-01-01"]), std::slice::from_ref(&newer)).await.unwrap()
        } else {
            busy.upsert(&target, std::slice::from_ref(&newer)).await.unwrap()
        };
        expected.insert("r3".to_owned(), 70);
        assert_eq!(written.version, Some(7), "on top of the optimized version 6");
        assert_eq!(by_id(&bench.rows(&target).await), expected);
    }
}

/// Random writers and optimizers, some of them in the middle of each other, against a map.
#[tokio::test]
async fn random_histories_keep_every_row_once() {
    for seed in 0..4 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut bench = Bench::new();
        let target = messages(&bench);
        let mut expected: HashMap<String, Value> = HashMap::new();
        for step in 0..12 {
            bench.lake = bench.lake.with_file_bytes([2_000, 20_000, 128 << 20][random.random_range(0..3)]);
            let row = |id: u32| {
                let day = format!("2026-01-0{}", 1 + id % 2);
                json!({"id": format!("m{id:03}"), "day": day, "room": format!("r{}", (id * 7 + step) % 5),
                       "sender": format!("s{step}")})
            };
            let rows: Vec<Value> = (0..random.random_range(1..20)).map(|_| row(random.random_range(0..60))).collect();
            let z_order: &[&str] = if random.random_bool(0.5) { &["room", "sender"] } else { &[] };
            let (other, table) = (bench.other_process(), target.clone());
            let upserts = random.random_bool(0.5);
            let landed = rows.clone();
            let act = move |_| -> BoxFuture<'static, ()> {
                let (other, table, rows) = (other.clone(), table.clone(), landed.clone());
                let by = Target { name: "others".to_owned(), ..table.clone() };
                Box::pin(async move {
                    if upserts {
                        upsert_all(&other, &by, &rows).await;
                    } else {
                        other.optimize(&table, &[]).await.unwrap();
                    }
                })
            };
            if bench.tables.latest(&target.url).await.unwrap().is_none() || random.random_bool(0.4) {
                upsert_all(&bench, &target, &rows).await;
                bench.optimize(&target, z_order).await.unwrap();
            } else if random.random_bool(0.5) {
                let busy = Meanwhile::lake(&bench, &target.name, 0, 1, act);
                busy.optimize(&target, z_order).await.unwrap();
                upsert_all(&bench, &target, &rows).await;
            } else {
                let busy = Meanwhile::lake(&bench, &target.name, 1, 1, act);
                upsert_all(&busy, &target, &rows).await;
            }
            for row in rows {
                expected.insert(row["id"].as_str().unwrap().to_owned(), row);
            }
            let all: Vec<Value> = expected.values().cloned().collect();
            assert_eq!(bench.rows(&target).await, sorted(all), "seed {seed}, step {step}");
        }
    }
}

/// Merges rows of which the later of a key wins, by its sender, which only grows.
async fn upsert_all(bench: &Bench, target: &Target, rows: &[Value]) {
    let landing = crate::fixtures::landing_source(target, &[rows], &[], None);
    bench.upsert_landing(target, landing, Some("day")).await.unwrap();
}

#[tokio::test]
async fn an_exchange_whose_answer_is_lost_or_that_failed_leaves_every_row_once() {
    for (fault, version) in [(Fault::LoseAnswer, 6), (Fault::RepeatLostAnswer, 6), (Fault::Fail, 5)] {
        let bench = Bench::new();
        let (target, rows) = scattered(&bench).await;
        let mut once = Some(fault.clone());
        bench.store.set_rule(move |request, path| {
            let is_commit = request == Request::Put && path.ends_with("00000000000000000006.json");
            if is_commit { once.take() } else { None }
        });
        let done = bench.optimize(&target, &[]).await;
        bench.store.clear_rule();
        assert_eq!(done.is_ok(), version == 6, "{fault:?}: {done:?}");
        assert_eq!(bench.latest(&target).await.version, version);
        assert_eq!(bench.rows(&target).await, rows);
        assert_eq!(bench.optimize(&target, &[]).await.unwrap().version, (version == 5).then_some(6));
        assert_eq!(bench.rows(&target).await, rows);
    }
}

#[tokio::test]
async fn rows_that_get_lost_on_the_way_are_noticed() {
    use arrow::array::RecordBatch;
    use datafusion::logical_expr::LogicalPlan;
    use quickchat_lake::operation::QueryRunner;

    /// A cluster that forgets to report a file.
    struct Forgetful(std::sync::Arc<dyn QueryRunner>);

    #[async_trait::async_trait]
    impl QueryRunner for Forgetful {
        async fn run(
            &self,
            plan: LogicalPlan,
            label: &str,
        ) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
            let rows = self.0.run(plan, label).await?;
            Ok(rows.into_iter().map(|batch| batch.slice(0, 0)).collect())
        }
    }

    let bench = Bench::new();
    let (target, rows) = scattered(&bench).await;
    let forgetful = bench.with_runner(std::sync::Arc::new(Forgetful(std::sync::Arc::clone(&bench.runner) as _)));
    let error = forgetful.optimize(&target, &[]).await.unwrap_err();
    assert!(matches!(&error, LakeError::Counts { .. }), "{error:?}");
    assert_eq!(bench.latest(&target).await.version, 5);
    assert_eq!(bench.rows(&target).await, rows);
}

#[tokio::test]
async fn delta_rs_sees_the_optimized_table() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = std::sync::Arc::new(crate::store::TestStore::new(std::sync::Arc::new(
        object_store::local::LocalFileSystem::new(),
    )));
    let mut bench = Bench::over(store, folder.path().join("lake").to_str().unwrap());
    let (target, _) = scattered(&bench).await;
    bench.lake = bench.lake.with_file_bytes(20_000);
    let done = bench.optimize(&target, &["id", "amount"]).await.unwrap();
    let table = deltalake::open_table(target.url.url().clone()).await.unwrap();
    let snapshot = table.snapshot().unwrap();
    assert_eq!(table.version(), done.version);
    let files: BTreeSet<String> = snapshot.snapshot().log_data().iter().map(|file| file.path().to_string()).collect();
    assert_eq!(files, paths(&bench.latest(&target).await.files));
    assert_eq!((snapshot.protocol().min_reader_version(), snapshot.protocol().min_writer_version()), (1, 2));
}
