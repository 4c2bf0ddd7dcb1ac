//! Checkpoints on demand, and logs that are shortened.

use chrono::{TimeDelta, Utc};
use quickchat_lake::LakeError;
use quickchat_lake::maintenance::{CheckpointOptions, Checkpointed, checkpoint};
use quickchat_lake::operation::{Scope, Target};

use crate::fixtures::{Bench, event, events};
use crate::store::{Fault, Request};

const DONE: Checkpointed = Checkpointed { version: 0, made: false, dropped: 0, dropped_bytes: 0 };

/// As if so many days had passed.
fn after(days: i64, execute: bool) -> CheckpointOptions {
    CheckpointOptions { execute, now: Utc::now() + TimeDelta::days(days) }
}

async fn versions(bench: &Bench, count: i64) -> Target {
    let target = events(bench);
    for amount in 0..count {
        bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", amount)]).await.unwrap();
    }
    target
}

/// Names of the log's entries without leading zeros.
async fn log(bench: &Bench) -> Vec<String> {
    let name = |path: String| path.strip_prefix("lake/bronze/events/_delta_log/").map(str::to_owned);
    let names = bench.store.objects().await.into_iter().filter_map(name);
    names.map(|name| name.trim_start_matches("0000000000000000000").to_owned()).collect()
}

#[tokio::test]
async fn a_checkpoint_is_made_once() {
    let bench = Bench::new();
    let target = versions(&bench, 3).await;
    let before = log(&bench).await;
    let planned = checkpoint(&bench.tables, &target.url, &after(0, false)).await.unwrap();
    assert_eq!(planned, Checkpointed { version: 2, made: true, ..DONE });
    assert_eq!(log(&bench).await, before);
    let made = checkpoint(&bench.tables, &target.url, &after(0, true)).await.unwrap();
    assert_eq!(made, planned);
    assert!(log(&bench).await.contains(&"2.checkpoint.parquet".to_owned()));
    let again = checkpoint(&bench.tables, &target.url, &after(0, true)).await.unwrap();
    assert_eq!(again, Checkpointed { version: 2, ..DONE });
    let other = bench.other_process();
    assert_eq!(other.rows(&target).await, [event("a", "2026-01-01", 2)]);
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 9)]).await.unwrap();
    assert_eq!(other.rows(&target).await, [event("a", "2026-01-01", 9)]);
}

#[tokio::test]
async fn expired_entries_go_and_the_table_stays() {
    let bench = Bench::new();
    let target = versions(&bench, 3).await;
    checkpoint(&bench.tables, &target.url, &after(0, true)).await.unwrap();
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 9)]).await.unwrap();
    // Within 30 days nothing expires.
    let kept = checkpoint(&bench.tables, &target.url, &after(29, false)).await.unwrap();
    assert_eq!((kept.made, kept.dropped), (true, 0));
    let planned = checkpoint(&bench.tables, &target.url, &after(31, false)).await.unwrap();
    assert_eq!(planned.dropped, 2, "there is no checkpoint of version 3 yet, so version 2 stays");
    let done = checkpoint(&bench.tables, &target.url, &after(31, true)).await.unwrap();
    assert_eq!((done.made, done.dropped), (true, 2));
    let left = log(&bench).await;
    assert!(!left.iter().any(|name| name == "0.json" || name == "1.json"), "{left:?}");
    assert!(left.iter().any(|name| name == "2.json"), "{left:?}");
    let other = bench.other_process();
    assert_eq!(other.rows(&target).await, [event("a", "2026-01-01", 9)]);
    assert_eq!(other.tables.version(&target.url, 2, None).await.unwrap().version, 2);
    for gone in [0, 1] {
        let error = other.tables.version(&target.url, gone, None).await.unwrap_err();
        assert!(matches!(&error, LakeError::NoVersion { newest: 3, .. }), "{error:?}");
        assert!(error.to_string().contains("any more"), "{error}");
        assert!(other.tables.entry(&target.url, gone).await.unwrap().is_none());
    }
    let error = other.tables.at(&target.url, Utc::now() - TimeDelta::days(1)).await.unwrap_err();
    assert!(matches!(&error, LakeError::NoVersion { .. }), "{error:?}");
    assert_eq!(other.tables.at(&target.url, Utc::now()).await.unwrap().version, 3);
    // Work goes on.
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 10)]).await.unwrap();
    assert_eq!(other.rows(&target).await, [event("a", "2026-01-01", 10)]);
}

#[tokio::test]
async fn a_table_says_itself_how_long_its_log_stays() {
    let bench = Bench::new();
    let target = versions(&bench, 1).await;
    let mut metadata = serde_json::to_value(&bench.latest(&target).await.metadata).unwrap();
    metadata["configuration"] = serde_json::json!({"delta.logRetentionDuration": "interval 100 days"});
    let entry = "lake/bronze/events/_delta_log/00000000000000000001.json";
    bench.store.write(entry, &format!("{}\n", serde_json::json!({"metaData": metadata}))).await;
    checkpoint(&bench.tables, &target.url, &after(0, true)).await.unwrap();
    let dropped = async |days| checkpoint(&bench.tables, &target.url, &after(days, false)).await.unwrap().dropped;
    assert_eq!((dropped(99).await, dropped(101).await), (0, 1));
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_read_does_not_become_the_beginning() {
    let bench = Bench::new();
    let target = versions(&bench, 3).await;
    checkpoint(&bench.tables, &target.url, &after(0, true)).await.unwrap();
    let path = "lake/bronze/events/_delta_log/00000000000000000002.checkpoint.parquet";
    bench.store.write(path, "damaged").await;
    let before = log(&bench).await;
    let other = bench.other_process();
    assert!(checkpoint(&other.tables, &target.url, &after(31, true)).await.is_err());
    assert_eq!(log(&bench).await, before);
}

#[tokio::test]
async fn a_clean_up_that_is_stopped_leaves_no_hole() {
    let bench = Bench::new();
    let target = versions(&bench, 4).await;
    checkpoint(&bench.tables, &target.url, &after(0, true)).await.unwrap();
    bench
        .store
        .set_rule(|request, path| (request == Request::Delete && path.ends_with("1.json")).then_some(Fault::Fail));
    let error = checkpoint(&bench.tables, &target.url, &after(31, true)).await.unwrap_err();
    assert!(error.to_string().contains("bronze/events"), "{error}");
    bench.store.clear_rule();
    let left = log(&bench).await;
    assert!(!left.contains(&"0.json".to_owned()) && left.contains(&"1.json".to_owned()), "{left:?}");
    assert_eq!(bench.other_process().rows(&target).await, [event("a", "2026-01-01", 3)]);
    assert_eq!(checkpoint(&bench.tables, &target.url, &after(31, true)).await.unwrap().dropped, 2);
}

#[tokio::test]
async fn a_table_that_is_not_there() {
    let bench = Bench::new();
    let error = checkpoint(&bench.tables, &events(&bench).url, &after(0, true)).await.unwrap_err();
    assert!(matches!(&error, LakeError::NoTable { .. }), "{error:?}");
}
