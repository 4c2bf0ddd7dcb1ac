//! Tables as files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::JsonArray;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

use crate::fixtures::sample;
use crate::process::{etl, run, scratch};
use crate::remote::Remote;

fn export(table: &str, format: &str, to: &Path) -> Command {
    let mut command = etl(&["tables", "export", table, "--format", format, "-o", "json", "--to"]);
    command.arg(to).arg("--lake").arg(&sample().lake);
    command
}

type Row = Map<String, Value>;

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_cached_key(|row| Value::Object(row.clone()).to_string());
    rows
}

/// The only data file of an export.
fn part(folder: &Path, extension: &str) -> PathBuf {
    folder.join(format!("part-00000.{extension}"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn json_rows(folder: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(part(folder, "jsonl")).unwrap();
    sorted(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn parquet_rows(folder: &Path) -> Vec<Row> {
    let file = File::open(part(folder, "parquet")).unwrap();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.finish().unwrap();
    sorted(serde_json::from_slice(&writer.into_inner()).unwrap())
}

/// The rows of a CSV file, each cell as it would be in JSON, given what kind of cell stands there in JSON.
fn csv_rows(folder: &Path, like: &[Row]) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(part(folder, "csv")).unwrap();
    let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let is_text = |column: &str| like.iter().any(|row| row[column].is_string());
    let cell = |column: &str, text: &str| match text {
        "" => Value::Null,
        text if is_text(column) => Value::String(text.to_owned()),
        text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{column}: {error}: {text}")),
    };
    let row = |record: csv::StringRecord| {
        columns.iter().zip(&record).map(|(column, text)| (column.clone(), cell(column, text))).collect()
    };
    sorted(reader.records().map(|record| row(record.unwrap())).collect())
}

#[test]
fn every_form_holds_the_rows_of_the_table() {
    let folder = scratch("export-forms");
    // Lists and texts, maps and ratios, numbers and flags.
    for table in ["silver.messages", "gold.daily_metrics", "gold.ml_features"] {
        let rows = sorted(sample().tables.rows(table));
        assert!(!rows.is_empty());
        let to = |format: &str| folder.join(format).join(table);
        for (format, extension) in [("json", "jsonl"), ("parquet", "parquet"), ("csv", "csv")] {
            let exported = run(&mut export(table, format, &to(format))).expect(0).json();
            assert_eq!([&exported["rows"], &exported["version"]], [&Value::from(rows.len()), &Value::from(0)]);
            let names_expected = ["_export.json".to_owned(), format!("part-00000.{extension}")];
            assert_eq!(names(&to(format)), names_expected);
            let described = std::fs::read(to(format).join("_export.json")).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&described).unwrap(), exported);
        }
        assert_eq!(json_rows(&to("json")), rows, "{table} as JSON");
        assert_eq!(parquet_rows(&to("parquet")), rows, "{table} as Parquet");
        let without_empty_texts = |mut row: Row| {
            // Readers of CSV take an empty text for nothing.
            row.values_mut().filter(|value| **value == "").for_each(|value| *value = Value::Null);
            row
        };
        let rows: Vec<Row> = rows.into_iter().map(without_empty_texts).collect();
        assert_eq!(csv_rows(&to("csv"), &rows), sorted(rows), "{table} as CSV");
    }
}

#[test]
fn a_condition_chooses_rows() {
    let folder = scratch("export-where").join("active");
    let condition = "is_active -- a comment at the end";
    run(export("silver.conversations", "json", &folder).args(["--where", condition])).expect(0);
    let mut rows = sample().tables.rows("silver.conversations");
    rows.retain(|row| row["is_active"] == true);
    assert_eq!(json_rows(&folder), sorted(rows));
}

#[test]
fn an_existing_folder_is_left_alone() {
    let place = scratch("export-again");
    let folder = place.join("users");
    run(&mut export("silver.users", "csv", &folder)).expect(0);
    let before = std::fs::read(part(&folder, "csv")).unwrap();
    run(&mut export("silver.users", "json", &folder)).expect(2).says(&["it exists", "--overwrite"]);
    assert_eq!(std::fs::read(part(&folder, "csv")).unwrap(), before);
    run(export("silver.users", "json", &folder).arg("--overwrite")).expect(0);
    assert_eq!(names(&folder), ["_export.json", "part-00000.jsonl"]);

    let other = place.join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("precious"), "x").unwrap();
    run(export("silver.users", "json", &other).arg("--overwrite")).expect(2).says(&["no earlier export made it"]);
    run(&mut export("silver.users", "json", Path::new("s3://bucket/x"))).expect(2).says(&["folder of this machine"]);
    assert_eq!(names(&other), ["precious"]);
    assert_eq!(names(&place), ["other", "users"], "nothing is left beside them");
}

#[test]
fn a_failed_export_leaves_nothing() {
    let place = scratch("export-failed");
    let folder = place.join("messages");
    let failing = |table: &str, condition: &str, code: i32| {
        let ended = run(export(table, "csv", &folder).args(["--where", condition])).expect(code);
        assert_eq!((ended.stdout.as_str(), names(&place)), ("", Vec::new()), "{ended}");
        ended
    };
    failing("silver.mesages", "true", 2).says(&["there is no table", "silver.messages"]);
    failing("silver.messages", "no_such_column = 1", 2).says(&["no_such_column"]);
    failing("silver.messages", "true); DROP TABLE silver.messages; SELECT (1", 2);
    // Only the executors notice this.
    failing("silver.messages", "1 / (read_count - read_count) > 0", 1)
        .says(&["export silver.messages", "DivideByZero"]);
}

#[test]
fn a_remote_cluster_exports_the_same_rows() {
    let remote = Remote::start("export-executors", 2);
    let folder = scratch("export-remote").join("messages");
    run(export("silver.messages", "json", &folder).args(["--scheduler", &remote.url])).expect(0);
    assert_eq!(json_rows(&folder), sorted(sample().tables.rows("silver.messages")));
}
