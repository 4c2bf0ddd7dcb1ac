//! Contracts that change: what a stored table follows, and what is refused.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use quickchat_lake::operation::{Scope, Target};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::{COMMENT, ErrorClass, LakeError};
use serde_json::{Value, json};

use crate::fixtures::{Bench, actions, count_of, days, event, events, sorted};

/// A target with changed fields.
fn with_fields(target: &Target, change: impl Fn(&Field) -> Option<Field>) -> Target {
    let fields: Vec<Field> = target.schema.fields().iter().filter_map(|field| change(field)).collect();
    Target { schema: Arc::new(Schema::new(fields)), ..target.clone() }
}

/// With a column more, in the middle.
fn with_column(target: &Target, column: Field) -> Target {
    let mut fields: Vec<Field> = target.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.insert(3, column);
    let mut target = Target { schema: Arc::new(Schema::new(fields)), ..target.clone() };
    target.statistics_columns.push("mood".to_owned());
    target
}

fn mood() -> Field {
    Field::new("mood", DataType::Utf8, true)
}

/// With a description on every column.
fn described(target: &Target, words: &str) -> Target {
    with_fields(target, |field| {
        let comment = HashMap::from([(COMMENT.to_owned(), format!("{words} {}", field.name()))]);
        Some(field.clone().with_metadata(comment))
    })
}

/// Name and description of each column as the newest version's metadata has them.
async fn comments(bench: &Bench, target: &Target) -> Vec<(String, Option<String>)> {
    let metadata = serde_json::to_value(&bench.latest(target).await.metadata).unwrap();
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let fields = schema["fields"].as_array().unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    fields.iter().map(|field| (text(&field["name"]).unwrap(), text(&field["metadata"]["comment"]))).collect()
}

#[tokio::test]
async fn descriptions_are_written_with_a_new_table() {
    let bench = Bench::new();
    let target = described(&events(&bench), "the");
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
    for (name, comment) in comments(&bench, &target).await {
        assert_eq!(comment, Some(format!("the {name}")));
    }
    // Plans do not see them.
    let pinned = bench.latest(&target).await;
    assert!(pinned.schema.fields().iter().all(|field| field.metadata().is_empty()));
    assert_eq!(bench.rows(&target).await, [event("a", "2026-01-01", 1)]);
    assert_eq!(bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap().version, None);
}

#[tokio::test]
async fn changed_descriptions_come_with_the_next_commit() {
    let bench = Bench::new();
    let plain = events(&bench);
    bench.upsert(&plain, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let table_id = bench.latest(&plain).await.metadata.id().to_owned();
    for (id, words) in [("b", "the"), ("c", "a")] {
        let target = described(&plain, words);
        let same = bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
        assert_eq!(same.version, None, "a description alone is no reason for a version");
        bench.upsert(&target, &[event(id, "2026-01-01", 1)]).await.unwrap();
        assert_eq!(comments(&bench, &target).await[0], ("id".to_owned(), Some(format!("{words} id"))));
    }
    let pinned = bench.latest(&plain).await;
    assert_eq!(pinned.metadata.id(), table_id, "it is the same table");
    // Whoever does not describe columns keeps the descriptions; no metadata is written when nothing is new.
    let written = bench.upsert(&plain, &[event("d", "2026-01-01", 1)]).await.unwrap();
    let last = actions(&bench, &plain.url, written.version.unwrap()).await;
    assert_eq!(count_of(&last, "metaData"), 0);
    assert_eq!(comments(&bench, &plain).await[0].1.as_deref(), Some("a id"));
}

#[tokio::test]
async fn rows_written_before_a_column_have_null_in_it() {
    let bench = Bench::new();
    let old = events(&bench);
    let new = with_column(&old, mood());
    bench.upsert(&old, &[event("a", "2026-01-01", 1), event("b", "2026-01-02", 2)]).await.unwrap();
    let mut row = event("c", "2026-01-02", 3);
    row["mood"] = json!("fine");
    let written = bench.upsert(&new, &[row.clone(), event("a", "2026-01-01", 1)]).await.unwrap();
    assert_eq!((written.written, written.unchanged), (1, 1), "a null in the new column is no difference");
    let names: Vec<String> = comments(&bench, &new).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[3], "mood");
    let rows = sorted(vec![event("a", "2026-01-01", 1), event("b", "2026-01-02", 2), row.clone()]);
    assert_eq!(bench.rows(&new).await, rows);
    let pinned = bench.latest(&new).await;
    let scan = || DeltaScan::of(&bench.tables, &pinned);
    let null = bench.query("SELECT id, mood FROM t WHERE mood IS NULL ORDER BY id", scan()).await;
    assert_eq!(null, [json!({"id": "a"}), json!({"id": "b"})]);
    assert_eq!(bench.query("SELECT id FROM t WHERE mood = 'fine'", scan()).await, [json!({"id": "c"})]);
    assert_eq!(bench.query("SELECT count(mood) AS n FROM t", scan()).await, [json!({"n": 1})]);
    // The version before it has no such column, the files of then are merged and compacted as any others.
    let before = bench.tables.version(&new.url, 0, None).await.unwrap();
    assert!(before.schema.column_with_name("mood").is_none());
    let mut changed = event("b", "2026-01-02", 20);
    changed["mood"] = json!("well");
    assert_eq!(bench.upsert(&new, std::slice::from_ref(&changed)).await.unwrap().written, 1);
    let rows = sorted(vec![event("a", "2026-01-01", 1), changed, row]);
    assert_eq!(bench.rows(&new).await, rows);
    bench.upsert(&new, &[event("d", "2026-01-01", 4)]).await.unwrap();
    assert!(bench.optimize(&new, &[]).await.unwrap().version.is_some());
    let rows = sorted([rows, vec![event("d", "2026-01-01", 4)]].concat());
    assert_eq!(bench.rows(&new).await, rows);
}

#[tokio::test]
async fn a_replace_brings_a_new_column_and_leaves_other_partitions_alone() {
    let bench = Bench::new();
    let old = events(&bench);
    let new = with_column(&old, mood());
    let rows = [event("a", "2026-01-01", 1), event("b", "2026-01-02", 2)];
    bench.replace(&old, Scope::Table, &rows).await.unwrap();
    let mut row = event("b", "2026-01-02", 2);
    row["mood"] = json!("fine");
    let written = bench.replace(&new, days(&["2026-01-02"]), std::slice::from_ref(&row)).await.unwrap();
    assert_eq!(written.version, Some(1));
    assert_eq!(bench.rows(&new).await, sorted(vec![rows[0].clone(), row.clone()]));
    // An optimize before the first commit with the new column does not write it.
    bench.optimize(&old, &[]).await.unwrap_err();
    assert_eq!(bench.optimize(&new, &[]).await.unwrap().version, None);
    let all = [rows[0].clone(), row];
    bench.replace(&new, Scope::Table, &all).await.unwrap();
    assert_eq!(bench.rows(&new).await, sorted(all.to_vec()));
    assert_eq!(bench.replace(&new, Scope::Table, &all).await.unwrap().version, None);
}

#[tokio::test]
async fn an_optimize_writes_the_columns_that_the_table_has() {
    let bench = Bench::new();
    let old = events(&bench);
    let new = described(&with_column(&old, mood()), "the");
    for id in ["a", "b"] {
        bench.upsert(&old, &[event(id, "2026-01-01", 1)]).await.unwrap();
    }
    let done = bench.optimize(&new, &[]).await.unwrap();
    assert_eq!(done.version, Some(2));
    assert_eq!(count_of(&actions(&bench, &new.url, 2).await, "metaData"), 0);
    assert!(bench.latest(&new).await.schema.column_with_name("mood").is_none());
    assert_eq!(bench.rows(&old).await, [event("a", "2026-01-01", 1), event("b", "2026-01-01", 1)]);
}

#[tokio::test]
async fn any_other_change_is_refused_with_a_remedy() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let before = bench.store.objects().await;
    let retyped = |name: &'static str, kind: DataType| {
        with_fields(&target, move |field| {
            Some(if field.name() == name { field.clone().with_data_type(kind.clone()) } else { field.clone() })
        })
    };
    let place = DataType::Struct(vec![Field::new("city", DataType::Utf8, true)].into());
    let mut unpartitioned = target.clone();
    unpartitioned.partition_columns.clear();
    let never_null = |name: &'static str| {
        with_fields(&target, move |field| {
            Some(if field.name() == name { field.clone().with_nullable(false) } else { field.clone() })
        })
    };
    let mut row = event("b", "2026-01-01", 1);
    (row["mood"], row["note"], row["amount"]) = (json!("fine"), json!("n"), json!("1"));
    let rows = std::slice::from_ref(&row);
    for (changed, parts) in [
        (with_fields(&target, |field| (field.name() != "note").then(|| field.clone())), &["note is unknown"][..]),
        (with_column(&target, Field::new("mood", DataType::Utf8, false)), &["mood is missing", "never null"]),
        (retyped("amount", DataType::Utf8), &["amount is of another type", "long", "string"]),
        (retyped("amount", DataType::Int32), &["amount is of another type", "long", "integer"]),
        (retyped("place", place), &["place is of another type"]),
        (never_null("note"), &["note may be null, in the contract it is never null"]),
        (unpartitioned, &["partitioned by [\"day\"], the contract by []"]),
    ] {
        let replace = bench.replace(&changed, Scope::Table, rows).await.unwrap_err();
        let upsert = bench.upsert(&changed, rows).await.unwrap_err();
        for error in [replace, upsert] {
            assert!(matches!(&error, LakeError::ContractChanged { .. }), "{error:?}");
            assert_eq!(error.class(), ErrorClass::User);
            let text = error.to_string();
            for part in parts.iter().chain(&["nothing was written", "--full-refresh", "bronze/events"]) {
                assert!(text.contains(part), "{part:?} is not in {text}");
            }
        }
    }
    assert_eq!(bench.store.objects().await, before);
}

#[tokio::test]
async fn what_others_noted_about_a_column_stays() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let mut metadata = serde_json::to_value(&bench.latest(&target).await.metadata).unwrap();
    let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    schema["fields"][1]["metadata"] = json!({"theirs": 7, "comment": "an old one"});
    metadata["schemaString"] = json!(schema.to_string());
    metadata["configuration"] = json!({"theirs.too": "8"});
    let log = "lake/bronze/events/_delta_log/00000000000000000001.json";
    bench.store.write(log, &format!("{}\n", json!({"metaData": metadata}))).await;
    bench.upsert(&described(&target, "the"), &[event("b", "2026-01-01", 1)]).await.unwrap();
    let metadata = serde_json::to_value(&bench.latest(&target).await.metadata).unwrap();
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    assert_eq!(schema["fields"][1]["metadata"], json!({"theirs": 7, "comment": "the amount"}));
    assert_eq!(metadata["configuration"], json!({"theirs.too": "8"}));
}
