//! Stopping a run's operations between two commits.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use quickchat_lake::operation::{Closed, Scope};

use crate::commit::{Meanwhile, puts_version};
use crate::fixtures::{Bench, event, events};

#[tokio::test]
async fn a_closed_gate_holds_commits_back() {
    let bench = Bench::new();
    let target = events(&bench);
    // The gate is closed when the rows are written, and only the commit is left to do.
    let gate: Arc<Mutex<Option<Closed>>> = Arc::default();
    let (slot, lake) = (Arc::clone(&gate), bench.lake.clone());
    let close = move |_| -> BoxFuture<'static, ()> {
        let (slot, lake) = (Arc::clone(&slot), lake.clone());
        Box::pin(async move { *slot.lock() = Some(lake.close().await) })
    };
    let closing = Meanwhile::lake(&bench, &target.name, 0, 1, close);
    let replaced = target.clone();
    let writing =
        tokio::spawn(async move { closing.replace(&replaced, Scope::Table, &[event("a", "2026-01-01", 1)]).await });
    while gate.lock().is_none() {
        tokio::task::yield_now().await;
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!writing.is_finished(), "the commit waits");
    assert!(bench.tables.latest(&target.url).await.unwrap().is_none());

    let closed = gate.lock().take().unwrap();
    assert_eq!(closed.committed(), []);
    drop(closed);
    assert_eq!(writing.await.unwrap().unwrap().version, Some(0));
    assert_eq!(bench.lake.close().await.committed(), [(target.name.clone(), 0)]);
}

#[tokio::test]
async fn a_gate_is_closed_when_no_commit_is_under_way() {
    let bench = Bench::new();
    let target = events(&bench);
    let lake = bench.lake.clone();
    let could_close = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&could_close);
    bench.store.set_rule(move |request, path| {
        if puts_version(request, path) {
            seen.lock().push(lake.close().now_or_never().is_some());
        }
        None
    });
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
    assert_eq!(*could_close.lock(), [false]);
    assert!(bench.lake.close().now_or_never().is_some());
}
