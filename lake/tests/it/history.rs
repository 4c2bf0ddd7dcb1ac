//! Versions, instants, and tables that are not there (any more).

use chrono::{TimeDelta, Utc};
use quickchat_lake::operation::{QueryRunner, Scope};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::{ErrorClass, LakeError};

use crate::fixtures::{Bench, event, events, scan_plan};
use crate::store::Fault;

async fn pause() {
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
}

#[tokio::test]
async fn a_pinned_version_stays_what_it_was() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("old", "2026-01-01", 1)]).await.unwrap();
    let old = bench.latest(&target).await;
    bench.replace(&target, Scope::Table, &[event("new", "2026-01-01", 2)]).await.unwrap();
    assert_eq!(bench.rows_of(DeltaScan::of(&bench.tables, &old)).await, [event("old", "2026-01-01", 1)]);
    assert_eq!(bench.rows(&target).await, [event("new", "2026-01-01", 2)]);
    let again = bench.other_process().tables.version(&target.url, 0, None).await.unwrap();
    assert_eq!(again.files, old.files);
}

#[tokio::test]
async fn the_version_of_an_instant() {
    let bench = Bench::new();
    let target = events(&bench);
    let before = Utc::now() - TimeDelta::hours(1);
    let mut instants = Vec::new();
    for amount in 0..3 {
        bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", amount)]).await.unwrap();
        pause().await;
        instants.push(Utc::now());
        pause().await;
    }
    for (version, instant) in instants.into_iter().enumerate() {
        assert_eq!(bench.tables.at(&target.url, instant).await.unwrap().version, version as u64);
    }
    let error = bench.tables.at(&target.url, before).await;
    assert!(error.is_err() || error.unwrap().version == 0, "no version is older than the first");
}

#[tokio::test]
async fn a_table_that_is_not_there() {
    let bench = Bench::new();
    let target = events(&bench);
    assert!(bench.tables.latest(&target.url).await.unwrap().is_none());
    let errors = [
        bench.tables.version(&target.url, 3, None).await.unwrap_err(),
        bench.tables.at(&target.url, Utc::now()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, LakeError::NoTable { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::User);
        assert!(error.to_string().contains("s3://test/lake/bronze/events"), "{error}");
    }
}

#[tokio::test]
async fn a_version_that_is_not_there() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let error = bench.tables.version(&target.url, 7, None).await.unwrap_err();
    assert!(matches!(&error, LakeError::NoVersion { newest: 0, .. }), "{error:?}");
    assert!(error.to_string().contains("no version 7"), "{error}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_missing_version() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
    bench.store.set_rule(|_, path| path.contains("_delta_log").then_some(Fault::Fail));
    for error in [
        bench.tables.version(&target.url, 0, None).await.unwrap_err(),
        bench.tables.latest(&target.url).await.unwrap_err(),
    ] {
        assert_eq!(error.class(), ErrorClass::External, "{error:?}");
    }
}

#[tokio::test]
async fn a_table_made_anew_is_not_mistaken_for_the_old_one() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("old", "2026-01-01", 1)]).await.unwrap();
    let old = bench.latest(&target).await;
    quickchat_lake::operation::remove_folder(&bench.tables, &target.url).await;
    assert!(bench.tables.latest(&target.url).await.unwrap().is_none());
    bench.replace(&target, Scope::Table, &[event("new", "2026-01-01", 2)]).await.unwrap();
    assert_eq!(bench.rows(&target).await, [event("new", "2026-01-01", 2)]);
    let new = bench.latest(&target).await;
    assert_eq!(new.version, old.version);
    assert_ne!(new.metadata.id(), old.metadata.id());
    // A plan that was made for the old table reaches a process that never saw it.
    let other = bench.other_process();
    let error = other.tables.version(&target.url, old.version, Some(old.metadata.id())).await.unwrap_err();
    assert!(matches!(&error, LakeError::Conflict { .. }), "{error:?}");
    assert!(error.to_string().contains("made anew"), "{error}");
    let plan = scan_plan("t", std::sync::Arc::new(DeltaScan::of(&other.tables, &old)));
    let error = other.runner.run(plan, "read").await.unwrap_err();
    assert!(error.to_string().contains("made anew"), "{error}");
}
