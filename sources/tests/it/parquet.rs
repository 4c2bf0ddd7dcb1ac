//! MySQL tables as Parquet.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int8Array, Int32Array,
    Int64Array, ListArray, StringArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Int8Type, Int32Type};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use parquet::arrow::ArrowWriter;
use quickchat_sources::{Collection, ExportFolder};

use crate::{export, location};

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

async fn query(bytes: &[u8], sql: &str) -> Result<String, String> {
    let folder = export(&[("mysql/auth_users.parquet", bytes)]);
    let opened = ExportFolder::open(location(&folder)).await.unwrap();
    let context = SessionContext::new();
    let table = Arc::new(opened.table(Collection::AuthUsers));
    context.register_table("auth_users", table).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.map_err(|error| error.to_string())?;
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

#[tokio::test]
async fn columns_of_many_types() {
    let micros = 1_709_164_800_123_456_789;
    let bytes = parquet(vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)]))),
        ("email", Arc::new(StringArray::from(vec![Some("a"), Some(""), Some("c"), None]))),
        (
            "status",
            Arc::new(vec!["active", "locked", "active", "x"].into_iter().collect::<DictionaryArray<Int8Type>>()),
        ),
        ("two_factor_enabled", Arc::new(Int8Array::from(vec![1, 0, 1, 1]))),
        ("email_verified", Arc::new(BooleanArray::from(vec![true, false, true, true]))),
        ("failed_login_attempts", Arc::new(Float64Array::from(vec![Some(3.0), None, None, Some(1.5)]))),
        ("login_count", Arc::new(Decimal128Array::from(vec![7, 8, 9, 10]).with_precision_and_scale(20, 0).unwrap())),
        ("created_at", Arc::new(TimestampNanosecondArray::from(vec![micros; 4]))),
        (
            "last_login_at",
            Arc::new(TimestampMillisecondArray::from(vec![1_709_164_800_000; 4]).with_timezone("Europe/Berlin")),
        ),
        ("password_hash", Arc::new(StringArray::from(vec!["h1", "h2", "h3", "h4"]))),
    ]);
    let table = query(&bytes, "SELECT auth_user_id, email, status, two_factor_enabled AS two, email_verified AS verified, failed_login_attempts AS failed, login_count AS logins, created_at, last_login_at, updated_at, _reject['reason'] AS reason, _reject['source_position'] AS position, _read FROM auth_users ORDER BY _ordinal NULLS LAST").await.unwrap();
    let expected = "\
+--------------+-------+--------+-------+----------+--------+--------+-----------------------------+----------------------+-----------------------------+-------------+----------------------------+-------+
| auth_user_id | email | status | two   | verified | failed | logins | created_at                  | last_login_at        | updated_at                  | reason      | position                   | _read |
+--------------+-------+--------+-------+----------+--------+--------+-----------------------------+----------------------+-----------------------------+-------------+----------------------------+-------+
| 1            | a     | active | true  | true     | 3      | 7      | 2024-02-29T00:00:00.123456Z | 2024-02-29T00:00:00Z | 2024-02-29T00:00:00.123456Z |             |                            |       |
| 2            |       | locked | false | false    |        | 8      | 2024-02-29T00:00:00.123456Z | 2024-02-29T00:00:00Z | 2024-02-29T00:00:00.123456Z |             |                            |       |
|              |       |        |       |          |        |        |                             |                      |                             | missing_key | mysql/auth_users.parquet:3 |       |
|              |       |        |       |          |        |        |                             |                      |                             | wrong_type  | mysql/auth_users.parquet:4 |       |
|              |       |        |       |          |        |        |                             |                      |                             |             |                            | 4     |
+--------------+-------+--------+-------+----------+--------+--------+-----------------------------+----------------------+-----------------------------+-------------+----------------------------+-------+";
    assert_eq!(table, expected);
    let raw = query(
        &bytes,
        "SELECT _reject['raw'] AS raw, _reject['document_sha256'] AS digest FROM auth_users WHERE _output = 1",
    )
    .await
    .unwrap();
    assert!(raw.contains("\"failed_login_attempts\":\"1.5\""), "{raw}");
    assert!(!raw.contains("h4") && !raw.contains("password"), "{raw}");
}

#[tokio::test]
async fn bytes_that_are_no_text_reject_their_row_only() {
    let bytes = parquet(vec![
        ("id", Arc::new(BinaryArray::from(vec![&b"a"[..], b"\xff", b"c"]))),
        ("unknown", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]); 3]))),
    ]);
    let table = query(
        &bytes,
        "SELECT auth_user_id AS id, _reject['reason'] AS reason FROM auth_users WHERE _output < 2 ORDER BY _ordinal",
    )
    .await
    .unwrap();
    let cells: Vec<&str> = table.split_whitespace().filter(|cell| !cell.starts_with(['+', '|'])).collect();
    assert_eq!(cells, ["id", "reason", "a", "invalid_utf8", "c"]);
}

#[tokio::test]
async fn files_that_cannot_be_read_are_named() {
    let no_id = parquet(vec![("email", Arc::new(StringArray::from(vec!["a"])))]);
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)])]));
    let wrong = parquet(vec![("id", Arc::new(Int32Array::from(vec![1]))), ("email", list)]);
    for (bytes, expected) in [
        (&b"PAR1 this is not parquet PAR1"[..], "not a readable Parquet file"),
        (&no_id, "column id"),
        (&wrong, "column email"),
    ] {
        let error = query(bytes, "SELECT * FROM auth_users").await.unwrap_err();
        assert!(error.contains(expected) && error.contains("mysql/auth_users.parquet"), "{error}");
    }
    let empty = query(b"", "SELECT sum(_read) AS read FROM auth_users").await.unwrap();
    assert!(empty.contains("| 0 "), "{empty}");
}
