//! Opening a table that this process has opened before: cheap when nothing is new, and never out of date.

use quickchat_lake::operation::Scope;

use crate::fixtures::{Bench, event, events};
use crate::store::Request;

const LOG: &str = "lake/bronze/events/_delta_log";

fn entry(version: u64) -> String {
    format!("{LOG}/{version:020}.json")
}

#[tokio::test]
async fn with_nothing_new_it_costs_two_requests() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let first = bench.latest(&target).await;
    bench.store.take_requests();
    let again = bench.latest(&target).await;
    assert!(std::sync::Arc::ptr_eq(&first, &again));
    let mut requests = bench.store.take_requests();
    requests.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(requests, [(Request::Get, entry(0)), (Request::Get, entry(1))]);
}

#[tokio::test]
async fn versions_of_this_and_of_other_processes_are_seen() {
    let bench = Bench::new();
    let target = events(&bench);
    for (version, id) in ["a", "b", "c"].into_iter().enumerate() {
        let writer = if version % 2 == 0 { bench.clone() } else { bench.other_process() };
        writer.upsert(&target, &[event(id, "2026-01-01", 1)]).await.unwrap();
        assert_eq!(bench.latest(&target).await.version, version as u64);
        assert_eq!(bench.rows(&target).await.len(), version + 1);
    }
}

#[tokio::test]
async fn a_version_that_was_taken_back_and_replaced_is_another_one() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
    bench.replace(&target, Scope::Table, &[event("b", "2026-01-01", 1)]).await.unwrap();
    assert_eq!(bench.rows(&target).await, [event("b", "2026-01-01", 1)]);
    bench.store.remove(&entry(1)).await;
    assert_eq!(bench.latest(&target).await.version, 0);
    assert_eq!(bench.rows(&target).await, [event("a", "2026-01-01", 1)]);
    bench.latest(&target).await;
    bench.other_process().replace(&target, Scope::Table, &[event("c", "2026-01-01", 1)]).await.unwrap();
    assert_eq!(bench.rows(&target).await, [event("c", "2026-01-01", 1)]);
}

#[tokio::test]
async fn a_table_that_was_deleted_and_made_anew_is_another_one() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let first = bench.latest(&target).await;
    bench.store.remove(&entry(0)).await;
    assert!(bench.tables.latest(&target.url).await.unwrap().is_none());
    bench.other_process().replace(&target, Scope::Table, &[event("b", "2026-01-01", 1)]).await.unwrap();
    let second = bench.latest(&target).await;
    assert_eq!((first.version, second.version), (0, 0));
    assert_ne!(first.metadata.id(), second.metadata.id());
    assert_eq!(bench.rows(&target).await, [event("b", "2026-01-01", 1)]);
}
