//! A store that fails on the way: no version, a clear error, and the next run needs no repair.

use std::sync::Arc;

use parking_lot::Mutex;
use quickchat_lake::ErrorClass;
use quickchat_lake::operation::Scope;

use crate::fixtures::{Bench, event, events, sorted};
use crate::store::{Fault, Request};

#[tokio::test]
async fn a_store_that_fails_at_any_write_leaves_the_old_version() {
    let bench = Bench::new();
    let target = events(&bench);
    let old = vec![event("a", "2026-01-01", 1), event("b", "2026-01-02", 2)];
    bench.upsert(&target, &old).await.unwrap();
    let new = [event("a", "2026-01-01", 10), event("c", "2026-01-03", 3)];
    // Every put of an upsert in turn: landing, verdicts, data files, the commit.
    let mut allowed = 0;
    loop {
        let mut left = allowed;
        bench.store.set_rule(move |request, _| {
            if request != Request::Put {
                return None;
            }
            if left == 0 {
                return Some(Fault::Fail);
            }
            left -= 1;
            None
        });
        let result = bench.upsert(&target, &new).await;
        bench.store.clear_rule();
        match result {
            Ok(written) => {
                assert_eq!((written.version, written.written), (Some(1), 2));
                break;
            }
            Err(error) => {
                assert_eq!(error.class(), ErrorClass::External, "after {allowed} writes: {error:?}");
                assert!(error.to_string().contains("out of order"), "{error}");
                assert_eq!(bench.latest(&target).await.version, 0, "after {allowed} writes");
                assert_eq!(bench.rows(&target).await, sorted(old.clone()), "after {allowed} writes");
            }
        }
        allowed += 1;
    }
    assert!(allowed >= 5, "the store failed at {allowed} places");
    let expected = vec![new[0].clone(), old[1].clone(), new[1].clone()];
    assert_eq!(bench.rows(&target).await, sorted(expected));
}

#[tokio::test]
async fn a_store_that_fails_at_any_read_leaves_the_old_version() {
    let bench = Bench::new();
    let target = events(&bench);
    let old = vec![event("a", "2026-01-01", 1)];
    bench.replace(&target, Scope::Table, &old).await.unwrap();
    let mut failures = 0;
    for allowed in 0.. {
        let mut left = allowed;
        let failed_at: Arc<Mutex<Option<String>>> = Arc::default();
        let failed_at_path = Arc::clone(&failed_at);
        bench.store.set_rule(move |request, path| {
            if !matches!(request, Request::Get | Request::List) || path.contains("_last_checkpoint") {
                return None;
            }
            if left == 0 {
                failed_at_path.lock().get_or_insert_with(|| path.to_owned());
                return Some(Fault::Fail);
            }
            left -= 1;
            None
        });
        let result = bench.other_process().upsert(&target, &[event("a", "2026-01-01", 2)]).await;
        bench.store.clear_rule();
        match result {
            // Removing the landing is the last to read, and never fails an upsert.
            Ok(written) => {
                assert_eq!(written.version, Some(1));
                break;
            }
            Err(error) => {
                failures += 1;
                let failed_at = failed_at.lock().take().unwrap();
                // Parquet readers pass on a store's failure as text, in which its class is lost.
                match failed_at.ends_with(".parquet") {
                    true => assert_ne!(error.class(), ErrorClass::User, "{failed_at}: {error:?}"),
                    false => assert_eq!(error.class(), ErrorClass::External, "{failed_at}: {error:?}"),
                }
                assert!(error.to_string().contains("out of order"), "after {allowed} reads: {error}");
                assert_eq!(bench.rows(&target).await, old, "after {allowed} reads");
            }
        }
    }
    assert!(failures >= 4, "the store failed at {failures} places");
    assert_eq!(bench.rows(&target).await, [event("a", "2026-01-01", 2)]);
}
