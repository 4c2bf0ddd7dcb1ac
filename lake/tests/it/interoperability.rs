//! The tables are plain Delta: delta-rs reads what we write, and we read what it writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use quickchat_lake::operation::{Scope, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixtures::{Bench, event, events, sorted};
use crate::store::TestStore;

fn on_disk(folder: &TempDir) -> (Bench, Target) {
    let store = Arc::new(TestStore::new(Arc::new(LocalFileSystem::new())));
    let bench = Bench::over(store, folder.path().join("lake").to_str().unwrap());
    let target = events(&bench);
    (bench, target)
}

async fn theirs(target: &Target) -> deltalake::DeltaTable {
    deltalake::open_table(target.url.url().clone()).await.unwrap()
}

#[tokio::test]
async fn delta_rs_sees_the_same_table() {
    let folder = TempDir::new().unwrap();
    let (bench, target) = on_disk(&folder);
    bench
        .upsert(&target, &[event("a", "2026-01-01", 1), event("b", "2026-01-02", 2), json!({"id": "c"})])
        .await
        .unwrap();
    bench.upsert(&target, &[event("a", "2026-01-01", 10)]).await.unwrap();
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 10), event("d", "2026-01-04", 4)]).await.unwrap();
    let table = theirs(&target).await;
    let snapshot = table.snapshot().unwrap();
    assert_eq!((snapshot.protocol().min_reader_version(), snapshot.protocol().min_writer_version()), (1, 2));
    assert_eq!(table.version(), Some(2));
    let pinned = bench.latest(&target).await;
    let ours: BTreeSet<String> = pinned.files.iter().map(|file| file.path.clone()).collect();
    let files: BTreeSet<String> = snapshot.snapshot().log_data().iter().map(|file| file.path().to_string()).collect();
    assert_eq!(files, ours);
    let schema = snapshot.schema();
    let names: Vec<&str> = schema.fields().map(|field| field.name().as_str()).collect();
    let wanted: Vec<&str> = target.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, wanted);
    assert_eq!(snapshot.metadata().partition_columns(), ["day"]);
    for uri in table.get_file_uris().unwrap() {
        assert!(std::path::Path::new(uri.trim_start_matches("file://")).is_file(), "{uri}");
    }
}

#[tokio::test]
async fn lists_have_the_names_that_other_readers_expect() {
    let folder = TempDir::new().unwrap();
    let (bench, target) = on_disk(&folder);
    bench.replace(&target, Scope::Table, &[json!({"id": "a", "day": "2026-01-01", "tags": ["x"]})]).await.unwrap();
    let file = &bench.latest(&target).await.files[0];
    let path = folder.path().join("lake/bronze/events").join(&file.path);
    let reader = parquet::file::reader::SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    use parquet::file::reader::FileReader;
    let columns: Vec<String> =
        reader.metadata().file_metadata().schema_descr().columns().iter().map(|c| c.path().string()).collect();
    assert!(columns.contains(&"tags.list.element".to_owned()), "{columns:?}");
    assert!(columns.contains(&"counts.key_value.key".to_owned()), "{columns:?}");
    assert!(!columns.contains(&"day".to_owned()), "partition columns stand in the log alone: {columns:?}");
    let updated = reader.metadata().file_metadata().schema_descr().columns().iter().find(|c| c.name() == "updated");
    let kind = format!("{:?}", updated.unwrap().logical_type_ref());
    assert!(kind.to_uppercase().contains("MICROS"), "{kind}");
}

#[tokio::test]
async fn rows_that_delta_rs_appended_are_read_and_merged() {
    use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
    use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
    use deltalake::protocol::{DeltaOperation, SaveMode};

    let folder = TempDir::new().unwrap();
    let (bench, target) = on_disk(&folder);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let mut table = theirs(&target).await;
    let config = WriterConfig::new(
        Arc::clone(&bench.latest(&target).await.schema),
        target.partition_columns.clone(),
        None,
        None,
        None,
        Default::default(),
        None,
    );
    let mut writer = DeltaWriter::new(table.log_store().object_store(None), config);
    let rows = [event("b", "2026-01-01", 2), event("c", "2026-01-02", 3)];
    let batch = crate::fixtures::batch(&bench.latest(&target).await.schema, &rows);
    writer.write(&batch).await.unwrap();
    let adds = writer.close().await.unwrap().into_iter().map(deltalake::kernel::Action::Add).collect();
    let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    CommitBuilder::from(CommitProperties::default())
        .with_actions(adds)
        .build(Some(table.snapshot().unwrap()), table.log_store(), operation)
        .await
        .unwrap();
    table.update_state().await.unwrap();
    assert_eq!(table.version(), Some(1));
    let all: Vec<Value> = vec![event("a", "2026-01-01", 1), rows[0].clone(), rows[1].clone()];
    assert_eq!(bench.rows(&target).await, sorted(all));
    let written = bench.upsert(&target, &[event("b", "2026-01-01", 20), event("c", "2026-01-02", 3)]).await.unwrap();
    assert_eq!((written.version, written.written, written.unchanged), (Some(2), 1, 1));
    let all = vec![event("a", "2026-01-01", 1), event("b", "2026-01-01", 20), rows[1].clone()];
    assert_eq!(bench.rows(&target).await, sorted(all));
}

#[tokio::test]
async fn a_new_table_is_created_by_one_version_with_its_metadata() {
    let folder = TempDir::new().unwrap();
    let (bench, target) = on_disk(&folder);
    bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let log = folder.path().join("lake/bronze/events/_delta_log");
    let names: Vec<_> = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["00000000000000000000.json"]);
    let text = std::fs::read_to_string(log.join("00000000000000000000.json")).unwrap();
    let kinds: BTreeSet<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap().as_object().unwrap().keys().next().unwrap().clone())
        .collect();
    let wanted = ["add", "commitInfo", "metaData", "protocol", "txn"].map(str::to_owned);
    assert_eq!(kinds, BTreeSet::from(wanted));
}
