//! Reviews see what is about to be committed, and what they refuse never happened.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use quickchat_lake::LakeError;
use quickchat_lake::operation::{Proposal, Review, Scope};
use quickchat_lake::scan::DeltaScan;
use serde_json::{Value, json};

use crate::fixtures::{Bench, days, event, events, reading, readings, sorted};

/// What a review saw of one proposal.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    added: Vec<Value>,
    result: Vec<Value>,
    rows: (Option<u64>, Option<u64>),
    is_merge: bool,
    adds_rows: bool,
}

/// Reads both scans of every proposal, and refuses when told to.
struct Reader {
    bench: Bench,
    refuses: bool,
    seen: Mutex<Vec<Seen>>,
}

impl Reader {
    fn new(bench: &Bench, refuses: bool) -> Arc<Self> {
        Arc::new(Self { bench: bench.clone(), refuses, seen: Mutex::default() })
    }

    fn only(&self) -> Seen {
        let seen = self.seen.lock();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }
}

#[async_trait]
impl Review for Reader {
    async fn review(&self, proposal: &Proposal<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let seen = Seen {
            added: self.bench.rows_of(proposal.added()).await,
            result: self.bench.rows_of(proposal.result()).await,
            rows: (proposal.rows_before(), proposal.rows_after()),
            is_merge: proposal.is_merge(),
            adds_rows: proposal.adds_rows(),
        };
        assert_eq!(seen.adds_rows, !seen.added.is_empty());
        self.seen.lock().push(seen);
        if self.refuses { Err("these rows are not wanted".into()) } else { Ok(()) }
    }
}

fn rows() -> Vec<Value> {
    vec![event("a", "2026-01-01", 1), event("b", "2026-01-01", 2), event("c", "2026-01-02", 3)]
}

#[tokio::test]
async fn a_replace_shows_the_changed_partitions_and_the_whole_result() {
    let bench = Bench::new();
    let target = events(&bench);
    let first = Reader::new(&bench, false);
    bench.with_review(first.clone()).replace(&target, Scope::Table, &rows()).await.unwrap();
    let all = sorted(rows());
    let expected = Seen { added: all.clone(), result: all, rows: (None, Some(3)), is_merge: false, adds_rows: true };
    assert_eq!(first.only(), expected);

    let mut changed = rows();
    changed[2]["amount"] = json!(4);
    let second = Reader::new(&bench, false);
    bench.with_review(second.clone()).replace(&target, Scope::Table, &changed).await.unwrap();
    let seen = second.only();
    assert_eq!(seen.added, [changed[2].clone()], "partition values are columns of the new files too");
    assert_eq!(seen.result, sorted(changed.clone()));
    assert_eq!(seen.rows, (Some(3), Some(3)));

    let third = Reader::new(&bench, false);
    bench.with_review(third.clone()).replace(&target, Scope::Table, &changed).await.unwrap();
    assert!(third.seen.lock().is_empty(), "nothing is committed, so nothing is reviewed");
}

#[tokio::test]
async fn a_replace_that_only_removes_is_reviewed() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    let reader = Reader::new(&bench, true);
    let error = bench.with_review(reader.clone()).replace(&target, days(&["2026-01-01"]), &[]).await.unwrap_err();
    assert!(matches!(error, LakeError::Refused(_)), "{error:?}");
    let expected = Seen {
        added: Vec::new(),
        result: vec![rows()[2].clone()],
        rows: (Some(3), Some(1)),
        is_merge: false,
        adds_rows: false,
    };
    assert_eq!(reader.only(), expected);
    assert_eq!(bench.rows(&target).await, sorted(rows()));
}

#[tokio::test]
async fn a_refused_replace_leaves_neither_version_nor_files() {
    let bench = Bench::new();
    let target = events(&bench);
    let refusing = bench.with_review(Reader::new(&bench, true));
    let error = refusing.replace(&target, Scope::Table, &rows()).await.unwrap_err();
    assert_eq!(error.to_string(), "these rows are not wanted");
    assert!(bench.store.objects().await.is_empty(), "a refused new table is not there at all");

    bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    let before = bench.store.objects().await;
    let mut changed = rows();
    changed[0]["amount"] = json!(7);
    refusing.replace(&target, Scope::Table, &changed).await.unwrap_err();
    assert_eq!(bench.store.objects().await, before);
    assert_eq!(
        bench.replace(&target, Scope::Table, &changed).await.unwrap().version,
        Some(1),
        "and nothing is in the way"
    );
}

#[tokio::test]
async fn an_upsert_shows_the_rewritten_files_and_can_be_refused() {
    let bench = Bench::new();
    let target = readings(&bench);
    let old = [reading("a", 100, 1), reading("b", 100, 2)];
    bench.upsert(&target, &old).await.unwrap();
    let before = bench.store.objects().await;
    let new = [reading("b", 101, 3), reading("c", 101, 4)];
    let refusing = Reader::new(&bench, true);
    let error = bench.with_review(refusing.clone()).upsert(&target, &new).await.unwrap_err();
    assert!(matches!(error, LakeError::Refused(_)), "{error:?}");
    let merged = sorted(vec![old[0].clone(), new[0].clone(), new[1].clone()]);
    let expected = Seen {
        added: merged.clone(),
        result: merged.clone(),
        rows: (Some(2), Some(3)),
        is_merge: true,
        adds_rows: true,
    };
    assert_eq!(refusing.only(), expected);
    assert_eq!(bench.store.objects().await, before, "no version, no files, no landing");
    assert_eq!(bench.upsert(&target, &new).await.unwrap().version, Some(1));
    assert_eq!(bench.rows(&target).await, merged);
}

/// Nulls where the table says that there are none are found by who asks in spite of it.
#[tokio::test]
async fn a_nullable_scan_believes_no_schema() {
    let bench = Bench::new();
    let target = readings(&bench);
    let mut rows = vec![reading("a", 100, 1), reading("b", 100, 2)];
    rows[1]["amount"] = Value::Null;
    bench.replace(&target, Scope::Table, &rows).await.unwrap();
    // As another writer may have left it: the log says that there are no nulls, the file says otherwise.
    let log = format!("{}/_delta_log/{:020}.json", target.url.path().unwrap(), 0);
    let text = String::from_utf8(bench.store.read(&log).await.to_vec()).unwrap();
    let column = r#"\"name\":\"amount\",\"type\":\"long\",\"nullable\":"#;
    assert!(text.contains(&format!("{column}true")), "{text}");
    bench.store.write(&log, &text.replace(&format!("{column}true"), &format!("{column}false"))).await;

    let bench = bench.other_process();
    let pinned = bench.latest(&target).await;
    assert!(!pinned.schema.field_with_name("amount").unwrap().is_nullable());
    let scan = DeltaScan::of(&bench.tables, &pinned);
    assert_eq!(bench.query("SELECT id FROM t WHERE amount IS NULL", scan.clone()).await, Vec::<Value>::new());
    assert_eq!(bench.query("SELECT id FROM t WHERE amount IS NULL", scan.nullable()).await, [json!({"id": "b"})]);
}
