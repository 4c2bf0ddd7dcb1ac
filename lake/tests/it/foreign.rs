//! Tables that are not ours are refused, or read as far as they can be, and never touched.

use quickchat_lake::operation::{Scope, Target};
use quickchat_lake::{ErrorClass, LakeError};
use serde_json::{Value, json};

use crate::fixtures::{Bench, event, events};

const FOLDER: &str = "lake/bronze/events/_delta_log";

/// The log of a table with the columns of `target`, as another program would have written it.
async fn write_log(bench: &Bench, actions: &[Value]) {
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    bench.store.write(&format!("{FOLDER}/00000000000000000000.json"), &text).await;
}

fn protocol(reader: i32, writer: i32) -> Value {
    json!({"protocol": {"minReaderVersion": reader, "minWriterVersion": writer}})
}

/// The metadata that this crate would give the table.
async fn metadata(configuration: Value) -> Value {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[]).await.unwrap();
    let mut metadata = serde_json::to_value(&bench.latest(&target).await.metadata).unwrap();
    metadata["configuration"] = configuration;
    json!({"metaData": metadata})
}

async fn refused(bench: &Bench, target: &Target) -> String {
    let before = bench.store.objects().await;
    let ours = |error: &LakeError| {
        matches!(error, LakeError::ForeignTable { .. } | LakeError::ContractChanged { .. })
            && error.class() == ErrorClass::User
    };
    let replace = bench.replace(target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap_err();
    assert!(ours(&replace), "{replace:?}");
    let upsert = bench.upsert(target, &[event("a", "2026-01-01", 1)]).await.unwrap_err();
    assert!(ours(&upsert), "{upsert:?}");
    let optimize = bench.optimize(target, &[]).await.unwrap_err();
    assert!(ours(&optimize), "{optimize:?}");
    assert_eq!(bench.store.objects().await, before, "nothing is written");
    replace.to_string()
}

#[tokio::test]
async fn a_table_with_other_columns_is_refused() {
    let bench = Bench::new();
    let target = events(&bench);
    let schema = json!({"type": "struct", "fields": [
        {"name": "theirs", "type": "long", "nullable": true, "metadata": {}}]});
    let mut theirs = metadata(json!({})).await;
    theirs["metaData"]["partitionColumns"] = json!([]);
    theirs["metaData"]["schemaString"] = json!(schema.to_string());
    write_log(&bench, &[protocol(1, 2), theirs]).await;
    let error = refused(&bench, &target).await;
    assert!(error.contains("this program did not make") && error.contains("theirs"), "{error}");
}

#[tokio::test]
async fn a_table_with_other_partitions_is_refused() {
    let bench = Bench::new();
    let target = events(&bench);
    let mut other = target.clone();
    other.partition_columns = vec!["note".to_owned()];
    bench.replace(&other, Scope::Table, &[json!({"id": "a", "note": "n"})]).await.unwrap();
    let error = refused(&bench, &target).await;
    assert!(error.contains("partitioned by [\"note\"]"), "{error}");
    assert_eq!(bench.rows(&other).await.len(), 1);
}

#[tokio::test]
async fn a_table_with_rules_that_we_do_not_keep_is_not_written() {
    let bench = Bench::new();
    write_log(&bench, &[protocol(1, 4), metadata(json!({"delta.enableChangeDataFeed": "true"})).await]).await;
    let target = events(&bench);
    let error = refused(&bench, &target).await;
    assert!(error.contains("version 4 of the writer protocol"), "{error}");
    assert!(bench.rows(&target).await.is_empty(), "it can be read");

    let bench = Bench::new();
    write_log(&bench, &[protocol(1, 2), metadata(json!({"delta.appendOnly": "true"})).await]).await;
    let error = refused(&bench, &events(&bench)).await;
    assert!(error.contains("only be added"), "{error}");
}

#[tokio::test]
async fn column_mapping_is_not_read() {
    let bench = Bench::new();
    let mut mapped =
        metadata(json!({"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "1"})).await;
    mapped["metaData"]["partitionColumns"] = json!([]);
    mapped["metaData"]["schemaString"] = json!(
        json!({"type": "struct", "fields": [{"name": "id", "type": "string", "nullable": true, "metadata":
            {"delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "col-1"}}]})
        .to_string()
    );
    write_log(&bench, &[protocol(2, 5), mapped]).await;
    let error = bench.tables.latest(&events(&bench).url).await.unwrap_err();
    assert!(matches!(&error, LakeError::Unsupported { feature: "column mapping", .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::User);
}

#[tokio::test]
async fn deletion_vectors_are_not_read() {
    let bench = Bench::new();
    let features = json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7,
                           "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}});
    let add = json!({"add": {"path": "day=2026-01-01/a.parquet", "size": 10, "partitionValues": {"day": "2026-01-01"},
        "modificationTime": 0, "dataChange": true, "stats": "{\"numRecords\":2}",
        "deletionVector": {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4,
                           "sizeInBytes": 40, "cardinality": 1}}});
    write_log(&bench, &[features, metadata(json!({"delta.enableDeletionVectors": "true"})).await, add]).await;
    let error = bench.tables.latest(&events(&bench).url).await.unwrap_err();
    assert!(matches!(&error, LakeError::Unsupported { feature: "deletion vectors", .. }), "{error:?}");
    assert!(error.to_string().contains("REORG"), "{error}");
}

#[tokio::test]
async fn files_of_another_table_are_not_read() {
    let bench = Bench::new();
    let add = json!({"add": {"path": "s3://elsewhere/table/a.parquet", "size": 10,
        "partitionValues": {"day": "2026-01-01"}, "modificationTime": 0, "dataChange": true}});
    write_log(&bench, &[protocol(1, 2), metadata(json!({})).await, add]).await;
    let error = bench.tables.latest(&events(&bench).url).await.unwrap_err();
    assert!(matches!(&error, LakeError::Unsupported { feature: "absolute file paths", .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_log_is_an_error_that_names_the_table() {
    let bench = Bench::new();
    bench.store.write(&format!("{FOLDER}/00000000000000000000.json"), "{\"protocol\": {\"minRe").await;
    let error = bench.tables.latest(&events(&bench).url).await.unwrap_err();
    assert!(error.to_string().contains("bronze/events"), "{error}");
    assert!(!matches!(error, LakeError::NoTable { .. }), "{error:?}");
    let refused = bench.replace(&events(&bench), Scope::Table, &[event("a", "2026-01-01", 1)]).await;
    assert!(refused.is_err());
    assert_eq!(bench.store.objects().await.len(), 1);
}
