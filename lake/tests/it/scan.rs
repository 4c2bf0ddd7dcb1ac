//! What a scan reads, and what it leaves out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use quickchat_lake::operation::{QueryRunner, Scope, Target};
use quickchat_lake::scan::{DeltaScan, Subset};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixtures::{Bench, day, days, event, events, file_of, json_rows, sorted};
use crate::store::TestStore;

const DAYS: [&str; 3] = ["2026-01-01", "2026-01-02", "2026-01-03"];

/// Three days with two rows each; amounts 10, 11, 20, 21, 30, 31.
async fn three_days(bench: &Bench) -> Target {
    let target = events(bench);
    let rows: Vec<Value> = DAYS
        .iter()
        .enumerate()
        .flat_map(|(at, day)| {
            let amount = (at as i64 + 1) * 10;
            [event(&format!("{at}-a"), day, amount), event(&format!("{at}-b"), day, amount + 1)]
        })
        .collect();
    bench.replace(&target, Scope::Table, &rows).await.unwrap();
    target
}

/// The days whose files a condition leaves to be read.
async fn days_read(bench: &Bench, target: &Target, condition: &str) -> Vec<&'static str> {
    let pinned = bench.latest(target).await;
    let sql = format!("SELECT id FROM t WHERE {condition}");
    let read = bench.files_read(&sql, DeltaScan::of(&bench.tables, &pinned)).await;
    DAYS.into_iter().filter(|day| read.iter().any(|path| path.contains(&format!("day={day}")))).collect()
}

#[tokio::test]
async fn files_are_pruned_by_partition() {
    let bench = Bench::new();
    let target = three_days(&bench).await;
    assert_eq!(days_read(&bench, &target, "day = date '2026-01-02'").await, ["2026-01-02"]);
    assert_eq!(days_read(&bench, &target, "day >= date '2026-01-02'").await, ["2026-01-02", "2026-01-03"]);
    assert_eq!(days_read(&bench, &target, "day IN (date '2026-01-01', date '2026-01-03')").await, [DAYS[0], DAYS[2]]);
    assert_eq!(days_read(&bench, &target, "day IS NULL").await, Vec::<&str>::new());
    assert_eq!(days_read(&bench, &target, "t.day = date '2026-01-02' AND t.amount > 5").await, ["2026-01-02"]);
}

#[tokio::test]
async fn files_are_pruned_by_statistics() {
    let bench = Bench::new();
    let target = three_days(&bench).await;
    assert_eq!(days_read(&bench, &target, "amount = 20").await, ["2026-01-02"]);
    assert_eq!(days_read(&bench, &target, "amount > 21").await, ["2026-01-03"]);
    assert_eq!(days_read(&bench, &target, "amount < 10").await, Vec::<&str>::new());
    assert_eq!(days_read(&bench, &target, "id = '1-b'").await, ["2026-01-02"]);
    assert_eq!(days_read(&bench, &target, "updated < timestamp '2026-01-01T12:00:00Z'").await, ["2026-01-01"]);
    assert_eq!(days_read(&bench, &target, "amount IS NULL").await, Vec::<&str>::new());
    // Nothing is known of a column without statistics.
    assert_eq!(days_read(&bench, &target, "note = 'x'").await, DAYS);
}

#[tokio::test]
async fn a_condition_finds_what_a_full_scan_finds() {
    let bench = Bench::new();
    let target = three_days(&bench).await;
    let pinned = bench.latest(&target).await;
    for (condition, expected) in [
        ("day = date '2026-01-02' AND amount = 21", vec!["1-b"]),
        ("amount + 0 >= 30 OR day = date '2026-01-01'", vec!["0-a", "0-b", "2-a", "2-b"]),
        ("day <> date '2026-01-02' AND id LIKE '%a'", vec!["0-a", "2-a"]),
        ("note IS NULL AND amount BETWEEN 11 AND 20", vec!["0-b", "1-a"]),
    ] {
        let sql = format!("SELECT id FROM t WHERE {condition} ORDER BY id");
        let rows = bench.query(&sql, DeltaScan::of(&bench.tables, &pinned)).await;
        assert_eq!(rows.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(), expected, "{condition}");
    }
}

#[tokio::test]
async fn a_subquery_as_a_condition_is_left_to_the_engine() {
    let bench = Bench::new();
    let target = three_days(&bench).await;
    let pinned = bench.latest(&target).await;
    // Planned and run in this process: subqueries cannot travel before they are made joins.
    let context = datafusion::prelude::SessionContext::new_with_state(crate::cluster::session(&bench.tables));
    context.register_table("t", Arc::new(DeltaScan::of(&bench.tables, &pinned))).unwrap();
    for condition in ["day IN (SELECT max(day) FROM t)", "day = (SELECT max(day) FROM t)"] {
        let sql = format!("SELECT id FROM t WHERE {condition} ORDER BY id");
        let rows = json_rows(&context.sql(&sql).await.unwrap().collect().await.unwrap());
        assert_eq!(rows, [json!({"id": "2-a"}), json!({"id": "2-b"})], "{condition}");
    }
}

#[tokio::test]
async fn only_asked_columns_are_read() {
    let bench = Bench::new();
    let target = three_days(&bench).await;
    let pinned = bench.latest(&target).await;
    let plan = bench.sql("SELECT day, amount FROM t", DeltaScan::of(&bench.tables, &pinned)).await;
    let plan = bench.runner.plan(&plan).await.unwrap();
    let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string();
    assert!(text.contains("projection=[day, amount]") || text.contains("projection=[amount, day]"), "{text}");
    let count = bench.query("SELECT count(*) AS n FROM t", DeltaScan::of(&bench.tables, &pinned)).await;
    assert_eq!(count, [json!({"n": 6})]);
    let days = bench.query("SELECT DISTINCT day FROM t", DeltaScan::of(&bench.tables, &pinned)).await;
    assert_eq!(days.len(), 3, "a query of partition columns alone");
}

#[tokio::test]
async fn nested_columns_come_back_as_they_went() {
    let bench = Bench::new();
    let target = events(&bench);
    let rows = vec![
        json!({"id": "full", "amount": 1, "day": "2026-01-01", "updated": "2026-01-01T01:02:03.000004Z", "note": "ä\u{0}é",
               "tags": ["x", "", "z"], "place": {"city": "Köln", "amount": 7}, "counts": {"a": 1, "b": 2}, "run_id": "r"}),
        json!({"id": "holes", "day": "2026-01-01", "tags": [null, "y"], "place": {"amount": 9}, "counts": {}}),
        json!({"id": "empty", "day": "2026-01-01", "tags": [], "place": {}}),
        json!({"id": "nothing", "day": "2026-01-01"}),
    ];
    bench.replace(&target, Scope::Table, &rows).await.unwrap();
    let found = bench.rows(&target).await;
    let by_id = |id: &str| found.iter().find(|row| row["id"] == id).unwrap().clone();
    assert_eq!(by_id("full"), rows[0]);
    assert_eq!(by_id("holes")["tags"], json!([null, "y"]));
    assert_eq!(by_id("holes")["place"], json!({"amount": 9}));
    assert_eq!(by_id("holes")["counts"], json!({}));
    assert_eq!(by_id("empty")["tags"], json!([]));
    assert_eq!(by_id("nothing"), rows[3]);
    let pinned = bench.latest(&target).await;
    let parts = bench
        .query(
            "SELECT t.place['city'] AS city FROM t WHERE t.place['amount'] = 7",
            DeltaScan::of(&bench.tables, &pinned),
        )
        .await;
    assert_eq!(parts, [json!({"city": "Köln"})]);
}

#[tokio::test]
async fn columns_keep_the_order_of_the_contract() {
    let bench = Bench::new();
    let target = three_days(&bench).await;
    let pinned = bench.latest(&target).await;
    let names = |schema: &arrow::datatypes::Schema| {
        schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&pinned.schema), names(&target.schema), "the partition column stays in the middle");
    let plan = bench.sql("SELECT * FROM t", DeltaScan::of(&bench.tables, &pinned)).await;
    let batches = bench.runner.run(plan, "all").await.unwrap();
    assert_eq!(names(&batches[0].schema()), names(&target.schema));
}

#[tokio::test]
async fn a_null_partition_value_is_null() {
    let bench = Bench::new();
    let target = events(&bench);
    let rows = [json!({"id": "a", "amount": 1}), json!({"id": "b", "amount": 2, "day": "2026-01-01"})];
    bench.replace(&target, Scope::Table, &rows).await.unwrap();
    assert_eq!(bench.rows(&target).await, sorted(rows.to_vec()));
    let pinned = bench.latest(&target).await;
    let scan = || DeltaScan::of(&bench.tables, &pinned);
    assert_eq!(bench.query("SELECT id FROM t WHERE day IS NULL", scan()).await, [json!({"id": "a"})]);
    assert_eq!(bench.files_read("SELECT id FROM t WHERE day IS NULL", scan()).await.len(), 1);
    assert_eq!(bench.files_read("SELECT id FROM t WHERE day IS NOT NULL", scan()).await.len(), 1);
    let none = BTreeMap::from([("day".to_owned(), None)]);
    let part = DeltaScan::part_of(&bench.tables, &pinned, Subset::Partitions(vec![none]));
    assert_eq!(bench.rows_of(part).await, [rows[0].clone()]);
}

#[tokio::test]
async fn the_file_column_names_the_file_of_each_row() {
    let bench = Bench::new();
    let target = three_days(&bench).await;
    let pinned = bench.latest(&target).await;
    let scan = DeltaScan::of(&bench.tables, &pinned).with_file_column("_file");
    let rows = bench.query("SELECT id, _file FROM t", scan).await;
    assert_eq!(rows.len(), 6);
    for row in rows {
        let at: usize = row["id"].as_str().unwrap()[..1].parse().unwrap();
        assert_eq!(row["_file"], json!(file_of(&pinned, DAYS[at]).path));
    }
}

#[tokio::test]
async fn a_subset_reads_its_files_alone() {
    let bench = Bench::new();
    let target = three_days(&bench).await;
    let first = bench.latest(&target).await;
    bench.replace(&target, days(&["2026-01-02"]), &[event("new", "2026-01-02", 5)]).await.unwrap();
    let second = bench.latest(&target).await;
    let read = async |subset| {
        let scan = DeltaScan::part_of(&bench.tables, &second, subset);
        let files = bench.files_read("SELECT * FROM t", scan.clone()).await;
        let ids = bench.query("SELECT id FROM t", scan).await;
        (files.len(), ids.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let strings = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(read(Subset::AddedSince(first.version)).await, (1, strings(&["new"])));
    assert_eq!(read(Subset::AddedSince(second.version)).await, (0, strings(&[])));
    assert_eq!(read(Subset::Partitions(vec![day("2026-01-01")])).await, (1, strings(&["0-a", "0-b"])));
    let two = vec![day("2026-01-02"), day("2026-01-03"), day("2030-01-01")];
    assert_eq!(read(Subset::Partitions(two)).await, (2, strings(&["2-a", "2-b", "new"])));
    let path = file_of(&second, "2026-01-03").path.clone();
    assert_eq!(read(Subset::Paths(vec![path, "day=2026-01-03/none.parquet".to_owned()])).await.1, ["2-a", "2-b"]);
}

#[tokio::test]
async fn special_characters_in_paths_and_partition_values() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(TestStore::new(Arc::new(LocalFileSystem::new())));
    let root = folder.path().join("my läke % 1+1 #2");
    let bench = Bench::over(store, root.to_str().unwrap());
    let mut target = events(&bench);
    target.partition_columns = vec!["note".to_owned()];
    let notes = [
        "a b",
        "a%20b",
        "50%",
        "ü/ö",
        "k=v",
        "x\\y",
        "d:e",
        "plus+plus",
        "q?r",
        "h#1",
        "it's",
        "\"q\"",
        "__HIVE_DEFAULT_PARTITION__",
        "..",
        ".",
    ];
    let rows: Vec<Value> = notes
        .iter()
        .enumerate()
        .map(|(at, note)| json!({"id": format!("{at:02}"), "note": note}))
        .chain([json!({"id": "99"})])
        .collect();
    bench.replace(&target, Scope::Table, &rows).await.unwrap();
    assert_eq!(bench.rows(&target).await, sorted(rows.clone()));
    let pinned = bench.latest(&target).await;
    assert_eq!(pinned.files.len(), rows.len());
    for note in notes {
        let sql = format!("SELECT note FROM t WHERE note = '{}'", note.replace('\'', "''"));
        assert_eq!(bench.query(&sql, DeltaScan::of(&bench.tables, &pinned)).await, [json!({"note": note})]);
        assert_eq!(bench.files_read(&sql, DeltaScan::of(&bench.tables, &pinned)).await.len(), 1, "{note}");
    }
    // The same rows again change nothing; without one of them, that one's file goes.
    assert_eq!(bench.replace(&target, Scope::Table, &rows).await.unwrap().version, None);
    let fewer = &rows[1..];
    assert_eq!(bench.replace(&target, Scope::Table, fewer).await.unwrap().version, Some(1));
    assert_eq!(bench.rows(&target).await, sorted(fewer.to_vec()));
    let theirs = deltalake::open_table(target.url.url().clone()).await.unwrap();
    let uris: BTreeSet<String> = theirs.get_file_uris().unwrap().collect();
    assert_eq!(uris.len(), fewer.len());
}

#[tokio::test]
async fn timestamps_are_pruned_to_the_microsecond_also_before_1970() {
    let bench = Bench::new();
    let target = events(&bench);
    // The log holds milliseconds only, cut off; so the largest value is larger than the log says.
    for (at, time) in ["1969-12-31T23:59:59.999999Z", "1901-05-05T05:05:05.000001Z", "2026-01-01T00:00:00.123456Z"]
        .into_iter()
        .enumerate()
    {
        let row = json!({"id": at.to_string(), "day": "2026-01-01", "updated": time});
        bench.replace(&target, Scope::Table, std::slice::from_ref(&row)).await.unwrap();
        let pinned = bench.latest(&target).await;
        for comparison in [">=", "<=", "="] {
            let sql = format!("SELECT id FROM t WHERE updated {comparison} timestamp '{time}'");
            let rows = bench.query(&sql, DeltaScan::of(&bench.tables, &pinned)).await;
            assert_eq!(rows.len(), 1, "{time} {comparison}");
        }
        let later = "SELECT id FROM t WHERE updated > timestamp '2026-02-01T00:00:00Z'";
        assert!(bench.files_read(later, DeltaScan::of(&bench.tables, &pinned)).await.is_empty());
        let earlier = "SELECT id FROM t WHERE updated < timestamp '1900-01-01T00:00:00Z'";
        assert!(bench.files_read(earlier, DeltaScan::of(&bench.tables, &pinned)).await.is_empty());
    }
}

#[tokio::test]
async fn long_texts_have_cut_bounds_that_still_hold() {
    let bench = Bench::new();
    let target = events(&bench);
    let long = |tail: &str| format!("{}{tail}", "k".repeat(300));
    let rows = [event(&long("a"), "2026-01-01", 1), event(&long("z"), "2026-01-01", 2)];
    bench.replace(&target, Scope::Table, &rows).await.unwrap();
    let pinned = bench.latest(&target).await;
    let stats: Value = serde_json::from_str(pinned.files[0].stats.as_ref().unwrap()).unwrap();
    let (low, high) = (stats["minValues"]["id"].as_str().unwrap(), stats["maxValues"]["id"].as_str().unwrap());
    assert!(low.len() < 300 && low <= long("a").as_str(), "{low}");
    assert!(high >= long("z").as_str(), "{high}");
    for (tail, found) in [("a", 1), ("z", 1), ("m", 0)] {
        let sql = format!("SELECT id FROM t WHERE id = '{}'", long(tail));
        assert_eq!(bench.query(&sql, DeltaScan::of(&bench.tables, &pinned)).await.len(), found);
    }
}

#[tokio::test]
async fn files_without_statistics_are_read() {
    let bench = Bench::new();
    let mut target = three_days(&bench).await;
    target.statistics_columns = Vec::new();
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1), event("b", "2026-01-02", 2)]).await.unwrap();
    assert_eq!(days_read(&bench, &target, "amount = 2").await, ["2026-01-01", "2026-01-02"]);
    assert_eq!(days_read(&bench, &target, "amount = 2 AND day = date '2026-01-02'").await, ["2026-01-02"]);
}

#[tokio::test]
async fn not_a_number_is_found_where_bounds_do_not_know_it() {
    use arrow::array::{Float64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    let bench = Bench::new();
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("ratio", DataType::Float64, true),
    ]));
    let mut target = events(&bench);
    target.schema = Arc::clone(&schema);
    target.partition_columns = Vec::new();
    target.metadata_columns = Vec::new();
    target.statistics_columns = vec!["id".to_owned(), "ratio".to_owned()];
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["a", "b", "c"])),
        Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None])),
    ];
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    bench.replace_by(&target, Scope::Table, crate::fixtures::source(vec![rows])).await.unwrap();
    let pinned = bench.latest(&target).await;
    // NaN is larger than every number, so this is the file of a row that qualifies.
    let files = bench.files_read("SELECT id FROM t WHERE ratio > 5", DeltaScan::of(&bench.tables, &pinned)).await;
    assert_eq!(files.len(), 1);
    let plan = bench.sql("SELECT id FROM t WHERE ratio IS NOT NULL", DeltaScan::of(&bench.tables, &pinned)).await;
    assert_eq!(json_rows(&bench.runner.run(plan, "some").await.unwrap()).len(), 2);
}
