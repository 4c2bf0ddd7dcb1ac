//! Vacuum: what it deletes, and what it must not.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use quickchat_lake::maintenance::{CheckpointOptions, VacuumOptions, Vacuumed, checkpoint, vacuum, vacuum_temporary};
use quickchat_lake::operation::{Scope, Target};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::{ErrorClass, LakeError};

use crate::fixtures::{Bench, event, events};
use crate::store::{Fault, Request};

const WEEK: TimeDelta = TimeDelta::days(7);

/// Time passes, so that what is written before and after differ in age.
async fn pause() -> DateTime<Utc> {
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let instant = Utc::now();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    instant
}

/// A vacuum that takes for old what was written before `instant`.
fn older_than(instant: DateTime<Utc>, execute: bool) -> VacuumOptions {
    VacuumOptions { retention: WEEK, execute, now: instant + WEEK }
}

async fn run(bench: &Bench, target: &Target, options: VacuumOptions) -> (BTreeSet<String>, Vacuumed) {
    let mut found = BTreeSet::new();
    let mut note = |path: &str, _: u64| assert!(found.insert(path.to_owned()), "{path} is found once");
    let done = vacuum(&bench.tables, &target.url, &options, &mut note).await.unwrap();
    assert_eq!(done.files, found.len() as u64);
    (found, done)
}

async fn data_files(bench: &Bench) -> BTreeSet<String> {
    let below = |path: String| path.strip_prefix("lake/bronze/events/").map(str::to_owned);
    bench.store.objects().await.into_iter().filter_map(below).filter(|path| path.ends_with(".parquet")).collect()
}

fn file_of(pinned: &quickchat_lake::snapshot::PinnedTable) -> String {
    assert_eq!(pinned.files.len(), 1);
    pinned.files[0].path.clone()
}

/// Versions 0, 1 and 2 of one file each, and the instants after each of them.
async fn three_versions(bench: &Bench) -> (Target, Vec<String>, Vec<DateTime<Utc>>) {
    let target = events(bench);
    let (mut files, mut instants) = (Vec::new(), Vec::new());
    for amount in 0..3 {
        bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", amount)]).await.unwrap();
        files.push(file_of(bench.latest(&target).await.as_ref()));
        instants.push(pause().await);
    }
    (target, files, instants)
}

#[tokio::test]
async fn a_dry_run_lists_and_deletes_nothing() {
    let bench = Bench::new();
    let (target, files, instants) = three_versions(&bench).await;
    let before = bench.store.objects().await;
    bench.store.take_requests();
    let (found, done) = run(&bench, &target, older_than(instants[2], false)).await;
    assert_eq!(found, BTreeSet::from([files[0].clone(), files[1].clone()]));
    assert!(done.bytes > 0);
    let requests = bench.store.take_requests();
    assert!(requests.iter().all(|(request, _)| matches!(request, Request::Get | Request::List)), "{requests:?}");
    assert_eq!(bench.store.objects().await, before);
}

#[tokio::test]
async fn files_of_versions_within_the_retention_stay() {
    let bench = Bench::new();
    let (target, files, instants) = three_versions(&bench).await;
    // At the first instant, version 0 was the newest: it and all later ones stay.
    assert_eq!(run(&bench, &target, older_than(instants[0], true)).await.1, Vacuumed::default());
    let (found, _) = run(&bench, &target, older_than(instants[1], true)).await;
    assert_eq!(found, BTreeSet::from([files[0].clone()]), "version 1 was the newest then");
    assert_eq!(data_files(&bench).await, BTreeSet::from([files[1].clone(), files[2].clone()]));
    let (found, _) = run(&bench, &target, older_than(instants[2], true)).await;
    assert_eq!(found, BTreeSet::from([files[1].clone()]));
    assert_eq!(run(&bench, &target, older_than(instants[2], true)).await.1, Vacuumed::default());
    assert_eq!(bench.rows(&target).await, [event("a", "2026-01-01", 2)]);
}

/// Checkpoints forget removed files; the commits do not.
#[tokio::test]
async fn a_checkpoint_does_not_shorten_the_retention() {
    let bench = Bench::new();
    let target = events(&bench);
    let mut first = None;
    for amount in 0..11 {
        bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", amount)]).await.unwrap();
        if first.is_none() {
            first = Some(pause().await);
        }
    }
    let other = bench.other_process();
    assert_eq!(run(&other, &target, older_than(first.unwrap(), true)).await.1, Vacuumed::default());
    for version in 0..11 {
        let pinned = bench.tables.version(&target.url, version, None).await.unwrap();
        let rows = bench.rows_of(DeltaScan::of(&bench.tables, &pinned)).await;
        assert_eq!(rows, [event("a", "2026-01-01", i64::try_from(version).unwrap())]);
    }
}

#[tokio::test]
async fn what_a_running_job_wrote_stays_and_what_a_dead_one_left_goes() {
    let bench = Bench::new();
    let (target, files, _) = three_versions(&bench).await;
    let stray = |name: &str| format!("lake/bronze/events/day=2026-01-01/{name}");
    bench.store.write(&stray("part-dead.parquet"), "of a job that died").await;
    let instant = pause().await;
    bench.store.write(&stray("part-running.parquet"), "not committed yet").await;
    let (found, _) = run(&bench, &target, older_than(instant, true)).await;
    let dead = "day=2026-01-01/part-dead.parquet".to_owned();
    assert_eq!(found, BTreeSet::from([files[0].clone(), files[1].clone(), dead]));
    assert!(data_files(&bench).await.contains("day=2026-01-01/part-running.parquet"));
    assert_eq!(bench.rows(&target).await, [event("a", "2026-01-01", 2)]);
}

#[tokio::test]
async fn the_log_and_hidden_folders_stay() {
    let bench = Bench::new();
    let (target, _, _) = three_versions(&bench).await;
    for name in ["_delta_log/_commits/x.json", "_other/part.parquet", ".hidden/part.parquet"] {
        bench.store.write(&format!("lake/bronze/events/{name}"), "x").await;
    }
    let before: BTreeSet<String> = bench.store.objects().await.into_iter().collect();
    let (found, _) = run(&bench, &target, older_than(pause().await, true)).await;
    assert_eq!(found.len(), 2);
    let after: BTreeSet<String> = bench.store.objects().await.into_iter().collect();
    let gone: Vec<_> = before.difference(&after).collect();
    assert!(gone.len() == 2 && gone.iter().all(|path| path.contains("/day=")), "{gone:?}");
    // Other tables are none of its business.
    assert!(bench.store.objects().await.iter().all(|path| path.starts_with("lake/bronze/events/")));
}

#[tokio::test]
async fn less_than_a_week_is_refused() {
    let bench = Bench::new();
    let (target, ..) = three_versions(&bench).await;
    let before = bench.store.objects().await;
    for retention in [TimeDelta::zero(), TimeDelta::days(6), TimeDelta::days(-1)] {
        let options = VacuumOptions { retention, execute: true, now: Utc::now() + TimeDelta::days(100) };
        let mut nothing = |path: &str, _: u64| panic!("{path}");
        for error in [
            vacuum(&bench.tables, &target.url, &options, &mut nothing).await.unwrap_err(),
            vacuum_temporary(&bench.tables, &target.url, &options, &mut nothing).await.unwrap_err(),
        ] {
            assert!(matches!(error, LakeError::Retention { .. }), "{error:?}");
            assert_eq!(error.class(), ErrorClass::User);
            assert!(error.to_string().contains("less than 7 days"), "{error}");
        }
    }
    assert_eq!(bench.store.objects().await, before);
}

#[tokio::test]
async fn a_version_without_its_files_is_told_apart_from_one_that_never_was() {
    let bench = Bench::new();
    let (target, files, instants) = three_versions(&bench).await;
    run(&bench, &target, older_than(instants[1], true)).await;
    let newest = bench.latest(&target).await;
    let check = async |version| {
        let pinned = bench.tables.version(&target.url, version, None).await.unwrap();
        bench.tables.check_readable(&pinned, &newest).await
    };
    let error = check(0).await.unwrap_err();
    assert!(matches!(&error, LakeError::Vacuumed { version: 0, missing: 1, .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::User);
    assert!(error.to_string().contains(&files[0]) && error.to_string().contains("vacuum"), "{error}");
    check(1).await.unwrap();
    check(2).await.unwrap();
}

#[tokio::test]
async fn a_store_that_fails_stops_it_and_is_named() {
    let bench = Bench::new();
    let (target, _, instants) = three_versions(&bench).await;
    let mut ignore = |_: &str, _: u64| {};
    // With a checkpoint, the newest version is known without the commits that vacuum asks what they removed.
    let sum_up = CheckpointOptions { execute: true, now: Utc::now() };
    checkpoint(&bench.tables, &target.url, &sum_up).await.unwrap();
    for (request, part, cutoff) in [
        (Request::Get, "_delta_log/00000000000000000001.json", 0),
        (Request::Delete, ".parquet", 2),
        (Request::List, "bronze/events", 2),
    ] {
        let options = older_than(instants[cutoff], true);
        let before = data_files(&bench).await;
        bench.store.set_rule(move |own, path| (own == request && path.contains(part)).then_some(Fault::Fail));
        let error = vacuum(&bench.tables, &target.url, &options, &mut ignore).await.unwrap_err();
        bench.store.clear_rule();
        assert_eq!(error.class(), ErrorClass::External, "{request:?}: {error:?}");
        assert!(error.to_string().contains("bronze/events"), "{error}");
        assert_eq!(data_files(&bench).await, before);
    }
    assert_eq!(run(&bench, &target, older_than(instants[2], true)).await.1.files, 2);
}

#[tokio::test]
async fn temporary_folders_of_dead_runs_go() {
    let bench = Bench::new();
    let folder = bench.root.folder("_landing");
    let write = async |path: &str| bench.store.write(&format!("lake/_landing/{path}"), "rows").await;
    for path in ["dead/messages/documents/a.parquet", "dead/users/b.parquet", "alive/messages/c.parquet"] {
        write(path).await;
    }
    let instant = pause().await;
    write("alive/messages/verdicts/d.parquet").await;
    write("new/messages/e.parquet").await;
    for execute in [false, true] {
        let mut found = Vec::new();
        let mut note = |name: &str, bytes: u64| found.push((name.to_owned(), bytes));
        let done = vacuum_temporary(&bench.tables, &folder, &older_than(instant, execute), &mut note).await.unwrap();
        assert_eq!(found, [("dead".to_owned(), 8)]);
        assert_eq!(done, Vacuumed { files: 2, bytes: 8 });
        assert_eq!(bench.store.objects().await.len(), if execute { 3 } else { 5 });
    }
    assert!(bench.store.objects().await.iter().all(|path| !path.contains("dead")));
    // A lake without such a folder.
    let none = bench.root.folder("nothing");
    let mut nothing = |name: &str, _: u64| panic!("{name}");
    let done = vacuum_temporary(&bench.tables, &none, &older_than(instant, true), &mut nothing).await.unwrap();
    assert_eq!(done, Vacuumed::default());
}
