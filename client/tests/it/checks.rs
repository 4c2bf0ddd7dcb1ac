//! Checks stop commits, tell which rows fail, and say nothing of what people wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quickchat_client::Sources;
use quickchat_client::cluster::{Cluster, EmbeddedOptions};
use quickchat_client::run::observer::Silent;
use quickchat_client::run::report::RunReport;
use quickchat_client::run::{Run, RunOptions};
use quickchat_executor::MemoryLimit;
use quickchat_jobs::{
    Catalog, Check, Column, ColumnType, Contract, Incremental, JobDefinition, Query, Schedule, TableName, WriteMode,
};
use quickchat_lake::LakeRoot;
use serde_json::{Value, json};

use crate::fixtures::{SAMPLE_AS_OF, job, sample, select};
use crate::lake::{assert_no_landing, copy, data_files, files};
use crate::process::{etl, run, scratch};

const NUMBERS: &[Column] = &[
    Column::required("id", ColumnType::String, "Key.").key(),
    Column::required("amount", ColumnType::Long, "A number."),
    Column::optional("content", ColumnType::String, "What somebody wrote."),
];

/// Two tables: `silver.numbers`, and `silver.readers`, which reads it.
fn catalog(sql: &'static str, checks: &'static [Check]) -> Catalog {
    let definition = |table: &'static str, sql: &'static str, checks: &'static [Check]| JobDefinition {
        contract: Contract { table: TableName::new("silver", table), summary: "Test.", columns: NUMBERS },
        write_mode: WriteMode::ReplaceTable,
        schedule: Schedule::Daily,
        checks,
        incremental: Incremental::EVERYTHING,
        query: Query::Sql(sql),
    };
    const READERS: &[Check] =
        &[Check::relation("number", "content", "silver.numbers", "id", "Readers read numbers.").warn()];
    let readers = "SELECT id, amount, content FROM silver.numbers WHERE amount < 100";
    Catalog::new(vec![definition("numbers", sql, checks), definition("readers", readers, READERS)]).unwrap()
}

/// Checks of single rows, the number of rows, and nothing else.
const ROWS: &[Check] = &[
    Check::between("amount", &["amount"], 0, 10, "Ten is a lot."),
    Check::condition("quiet", "amount <> 7 OR content IS NULL", &["amount", "content"], "Seven is silent.").warn(),
    Check::row_count("row_count", Some(50), None, "Rows do not vanish."),
];

/// 2026-01-15T12:00:00Z.
const AS_OF: i64 = 1_768_478_400_000_000;

/// Runs catalogs, one after the other, over one lake.
fn runs(lake: &Path, catalogs: &[Catalog]) -> Vec<RunReport> {
    runs_at(lake, &catalogs.iter().map(|catalog| (catalog, AS_OF)).collect::<Vec<_>>())
}

/// The same with the instant of each run.
fn runs_at(lake: &Path, catalogs: &[(&Catalog, i64)]) -> Vec<RunReport> {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let options = EmbeddedOptions { slots: 2, memory: MemoryLimit::Bytes(512 << 20), work_dir: None };
        let cluster = Cluster::embedded(options).await.unwrap();
        let root = LakeRoot::parse(lake.to_str().unwrap()).unwrap();
        let mut reports = Vec::new();
        for (catalog, as_of_micros) in catalogs {
            let options =
                RunOptions { as_of_micros: *as_of_micros, parallel: 2, full_refresh: false, detect_deletions: false };
            let run = Run::new(
                cluster.clone(),
                (*catalog).clone(),
                root.clone(),
                Sources::none(),
                &options,
                Arc::new(Silent),
            )
            .unwrap();
            let jobs: Vec<_> = catalog.jobs().iter().collect();
            reports.push(run.execute(&jobs).await);
        }
        cluster.stop().await;
        reports
    })
}

#[track_caller]
fn reported(report: &RunReport, name: &str) -> Value {
    job(&serde_json::to_value(report).unwrap(), name).clone()
}

#[test]
fn an_error_keeps_the_table_and_stops_its_readers() {
    let lake = scratch("check-error").join("lake");
    let good = catalog("SELECT 'a' AS id, CAST(10 AS BIGINT) AS amount, 'a' AS content", ROWS);
    let bad = catalog(
        "SELECT * FROM (VALUES ('a', 10, 'a'), ('b', 11, 'my private words'), ('c', -1, NULL)) AS v (id, amount, content)",
        ROWS,
    );
    let reports = runs(&lake, &[good]);
    assert_eq!(reports[0].exit_code(), 0, "{reports:?}");
    let before = files(&lake);
    let reports = runs(&lake, &[bad]);
    assert_eq!(reports[0].exit_code(), 3, "{reports:?}");
    assert_eq!(files(&lake), before, "neither a version nor a file");

    let numbers = reported(&reports[0], "silver.numbers");
    assert_eq!(
        [&numbers["state"], &numbers["class"], &numbers["version"]],
        [&json!("failed"), &json!("quality"), &Value::Null]
    );
    let expected = json!([{
        "check": "amount",
        "severity": "error",
        "rule": "amount from 0 to 10",
        "reason": "Ten is a lot.",
        "failing": 2,
        "rows": [{"id": "b", "amount": 11}, {"id": "c", "amount": -1}],
    }]);
    assert_eq!(numbers["failed_checks"], expected);
    let error = numbers["error"].as_str().unwrap();
    assert!(
        error.contains("amount (amount from 0 to 10): 2 rows fail") && error.contains("stays as it was"),
        "{error}"
    );
    let readers = reported(&reports[0], "silver.readers");
    assert_eq!([&readers["state"], &readers["because"]], [&json!("skipped"), &json!("silver.numbers")]);
}

#[test]
fn a_warning_stops_nothing_and_hides_texts() {
    let lake = scratch("check-warning").join("lake");
    let sql = "SELECT 'a' AS id, CAST(7 AS BIGINT) AS amount, 'my private words' AS content";
    let reports = runs(&lake, &[catalog(sql, ROWS), catalog(sql, ROWS)]);
    assert_eq!(reports[0].exit_code(), 0, "{reports:?}");
    let numbers = reported(&reports[0], "silver.numbers");
    assert_eq!([&numbers["state"], &numbers["version"]], [&json!("changed"), &json!(0)]);
    let failed = &numbers["failed_checks"];
    assert_eq!(
        [&failed[0]["check"], &failed[0]["severity"], &failed[0]["failing"]],
        [&json!("quiet"), &json!("warn"), &json!(1)]
    );
    assert_eq!(failed[0]["rows"], json!([{"id": "a", "amount": 7, "content": "(not shown)"}]));
    let readers = reported(&reports[0], "silver.readers");
    assert_eq!(readers["state"], "changed");
    assert_eq!(readers["failed_checks"][0]["check"], "number", "{readers}");
    assert!(!serde_json::to_string(&reports[0]).unwrap().contains("private words"));
    // What is not committed is not checked.
    assert_eq!(reported(&reports[1], "silver.numbers")["failed_checks"], json!([]));
}

#[test]
fn rows_that_vanish_repeated_keys_and_nulls_are_errors() {
    let lake = scratch("check-table").join("lake");
    const FOUR: &str =
        "SELECT * FROM (VALUES ('a', 1, 'a'), ('b', 2, 'b'), ('c', 3, 'c'), ('d', 4, 'd')) AS v (id, amount, content)";
    const TWO: &str = "SELECT * FROM (VALUES ('a', 1, 'a'), ('b', 2, 'b')) AS v (id, amount, content)";
    const ONE: &str = "SELECT 'a' AS id, 1 AS amount, 'a' AS content";
    const TWICE: &str = "SELECT * FROM (VALUES ('a', 1, 'a'), ('b', 2, 'b'), ('a', 3, 'c')) AS v (id, amount, content)";
    const NULLS: &str = "SELECT * FROM (VALUES ('a', 1, 'a'), ('b', NULL, 'b')) AS v (id, amount, content)";
    let catalogs = [FOUR, ONE, TWICE, NULLS, TWO].map(|sql| catalog(sql, ROWS));
    let reports = runs(&lake, &catalogs);
    let codes: Vec<u8> = reports.iter().map(RunReport::exit_code).collect();
    assert_eq!(codes, [0, 3, 3, 3, 0], "{reports:?}");
    let failed = |at: usize| reported(&reports[at], "silver.numbers")["failed_checks"].clone();
    assert_eq!(failed(1)[0]["rows"], json!([{"before": 4, "after": 1}]), "{}", failed(1));
    assert_eq!([&failed(1)[0]["check"], &failed(1)[0]["failing"]], [&json!("row_count"), &Value::Null]);
    assert_eq!(failed(2)[0]["check"], "unique_key");
    assert_eq!(failed(2)[0]["rows"], json!([{"id": "a", "rows": 2}]));
    // Nulls are refused while rows are written, before anything could be checked.
    let numbers = reported(&reports[3], "silver.numbers");
    let error = numbers["error"].as_str().unwrap();
    assert_eq!(numbers["class"], "quality", "{numbers}");
    assert!(error.contains("column amount is null in 1 of 2 rows"), "{error}");
}

#[test]
fn a_check_that_cannot_be_asked_has_not_passed() {
    const DIVIDES: &[Check] = &[Check::condition("divides", "10 / amount > 0", &["amount"], "Zero divides nothing.")];
    let lake = scratch("check-unasked").join("lake");
    let reports = runs(&lake, &[catalog("SELECT 'a' AS id, CAST(0 AS BIGINT) AS amount, 'a' AS content", DIVIDES)]);
    assert_eq!(reports[0].exit_code(), 1, "{reports:?}");
    let error = reported(&reports[0], "silver.numbers")["error"].as_str().unwrap().to_owned();
    assert!(error.contains("silver.numbers (checks)"), "{error}");
    assert!(!lake.join("silver/numbers/_delta_log").exists(), "nothing is committed");
}

#[test]
fn a_table_that_gets_no_rows_grows_old() {
    const EVENTS: &[Column] = &[
        Column::required("id", ColumnType::String, "Key.").key(),
        Column::required("at", ColumnType::Timestamp, "When."),
    ];
    const CHECKS: &[Check] = &[Check::fresh("fresh", "at", 24, "Something happens every day.").warn()];
    let events = JobDefinition {
        contract: Contract { table: TableName::new("silver", "events"), summary: "Test.", columns: EVENTS },
        write_mode: WriteMode::ReplaceTable,
        schedule: Schedule::Daily,
        checks: CHECKS,
        incremental: Incremental::EVERYTHING,
        query: Query::Sql("SELECT 'a' AS id, to_timestamp_micros('2026-01-15T00:00:00Z') AS at"),
    };
    let catalog = Catalog::new(vec![events]).unwrap();
    let lake = scratch("check-fresh").join("lake");
    let day = 86_400_000_000;
    let reports = runs_at(&lake, &[(&catalog, AS_OF), (&catalog, AS_OF), (&catalog, AS_OF + day)]);
    let [first, second, third] = [0, 1, 2].map(|at| reported(&reports[at], "silver.events"));
    assert_eq!([&first["state"], &first["failed_checks"]], [&json!("changed"), &json!([])]);
    assert_eq!([&second["state"], &second["failed_checks"]], [&json!("unchanged"), &json!([])]);
    assert_eq!(third["state"], "unchanged", "{third}");
    assert_eq!(third["failed_checks"][0]["check"], "fresh", "{third}");
    assert_eq!(third["failed_checks"][0]["rows"], json!([{"at": "2026-01-15T00:00:00Z"}]));
}

/// Another writer's commit on top of the newest version of a table. Each action is made of the `add` action of the
/// table's first file.
fn foreign_commit(table: &Path, actions: impl Fn(&Value) -> Vec<Value>) {
    let log = table.join("_delta_log");
    let mut versions: Vec<PathBuf> = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    versions.sort();
    let text = std::fs::read_to_string(versions.last().unwrap()).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let add = lines.find_map(|action| action.get("add").cloned()).expect("the newest version adds a file");
    let mut text = json!({"commitInfo": {"timestamp": 1_795_000_000_000_i64, "operation": "WRITE"}}).to_string();
    for action in actions(&add) {
        text.push('\n');
        text.push_str(&action.to_string());
    }
    std::fs::write(log.join(format!("{:020}.json", versions.len())), text).unwrap();
}

/// A lake whose `silver.users` has every user twice.
fn lake_with_doubled_users(name: &str) -> PathBuf {
    let lake = scratch(name).join("lake");
    copy(&sample().lake, &lake);
    let table = lake.join("silver/users");
    foreign_commit(&table, |add| {
        let mut again = add.clone();
        again["path"] = json!("again.parquet");
        std::fs::copy(table.join(add["path"].as_str().unwrap()), table.join("again.parquet")).unwrap();
        vec![json!({"add": again})]
    });
    lake
}

#[test]
fn a_run_on_a_damaged_input_ends_with_3_and_shows_rows_without_content() {
    let lake = lake_with_doubled_users("check-damaged");
    let before = data_files(&lake);
    let mut command = select("silver.messages+", &sample().exports, &lake, SAMPLE_AS_OF);
    let ended = run(command.arg("--full-refresh")).expect(3);
    assert_eq!(data_files(&lake), before, "no table has changed, no file is left");
    assert_no_landing(&lake);
    let report = ended.json();
    let messages = job(&report, "silver.messages");
    assert_eq!([&messages["state"], &messages["class"]], [&json!("failed"), &json!("quality")], "{messages}");
    let failed = &messages["failed_checks"][0];
    assert_eq!([&failed["check"], &failed["severity"]], [&json!("unique_key"), &json!("error")]);
    assert_eq!(failed["failing"], sample().tables.rows("silver.messages").len(), "{failed}");
    let rows = failed["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 10);
    let first = sample().tables.rows("silver.messages").iter().map(|row| row["message_id"].to_string()).min().unwrap();
    assert_eq!((rows[0]["message_id"].to_string(), &rows[0]["rows"]), (first, &json!(2)));
    for reader in ["silver.user_sessions", "silver.user_activity", "gold.daily_metrics"] {
        assert_eq!(job(&report, reader)["state"], "skipped", "{reader}");
    }
    let keys = format!("unique_key (message_id unique): {} keys occur more than once", failed["failing"]);
    ended.says(&["silver.messages: failed: checks of silver.messages failed", &keys]);

    let mut for_people = etl(&["run", "silver.messages+", "--full-refresh", "--as-of", SAMPLE_AS_OF, "--lake"]);
    let ended = run(for_people.arg(&lake)).expect(3);
    assert!(ended.stdout.contains("silver.messages: error: check unique_key (message_id unique)"), "{ended}");
    assert!(ended.stdout.contains(rows[9]["message_id"].as_str().unwrap()), "{ended}");
    for message in sample().tables.rows("silver.messages") {
        let content = message["content"].as_str().unwrap_or_default();
        assert!(content.len() < 8 || !(ended.stdout.contains(content) || ended.stderr.contains(content)), "{content}");
    }
}

#[test]
fn a_warning_is_told_and_the_run_goes_on() {
    let lake = scratch("check-orphans").join("lake");
    copy(&sample().lake, &lake);
    foreign_commit(&lake.join("silver/users"), |add| {
        let path = &add["path"];
        vec![json!({"remove": {"path": path, "deletionTimestamp": 1_795_000_000_000_i64, "dataChange": true}})]
    });
    let mut command = select("silver.messages", &sample().exports, &lake, SAMPLE_AS_OF);
    let ended = run(command.arg("--full-refresh")).expect(0);
    let report = ended.json();
    let messages = job(&report, "silver.messages");
    assert_eq!([&messages["state"], &messages["version"]], [&json!("changed"), &json!(1)]);
    let failed = messages["failed_checks"].as_array().unwrap();
    assert_eq!(failed.len(), 1, "{messages}");
    assert_eq!([&failed[0]["check"], &failed[0]["severity"]], [&json!("sender"), &json!("warn")]);
    assert_eq!(failed[0]["failing"], messages["written"]);
    assert!(failed[0]["rows"][0]["sender_id"].is_string(), "{}", failed[0]);
    ended.says(&["silver.messages: warn: check sender (sender_id in silver.users.user_id)"]);
}

#[test]
fn the_lake_as_it_stands_is_checked_on_demand() {
    let mut command = etl(&["check", "full-pipeline", "--as-of", SAMPLE_AS_OF, "-o", "json", "--lake"]);
    let tables = run(command.arg(&sample().lake)).expect(0).json();
    let tables = tables.as_array().unwrap();
    assert_eq!(tables.len(), Catalog::builtin().unwrap().jobs().len());
    for table in tables {
        let name = table["table"].as_str().unwrap();
        assert_eq!(table["rows"], sample().tables.rows(name).len(), "{name}");
        let checks = table["checks"].as_array().unwrap();
        assert!(checks.len() >= 3, "{table}");
        for check in checks {
            let state = check["state"].as_str().unwrap();
            assert!(state == "passed" || state == "skipped" || check["severity"] == "warn", "{name}: {check}");
        }
        assert_eq!([&checks[0]["check"], &checks[0]["state"]], [&json!("unique_key"), &json!("passed")]);
    }

    let damaged = lake_with_doubled_users("check-on-demand");
    let mut command = etl(&["check", "silver.users", "gold.daily_metrics", "-o", "json", "--lake"]);
    let checked = run(command.arg(&damaged)).expect(3).json();
    let users = checked.as_array().unwrap().iter().find(|table| table["table"] == "silver.users").unwrap();
    let unique = &users["checks"][0];
    assert_eq!([&unique["check"], &unique["state"]], [&json!("unique_key"), &json!("failed")]);
    assert_eq!(unique["failing"], sample().tables.rows("silver.users").len());
    assert_eq!(unique["rows"].as_array().unwrap().len(), 10);

    let mut command = etl(&["check", "silver.users", "--lake"]);
    let ended = run(command.arg(&damaged)).expect(3);
    assert!(ended.stdout.contains("unique_key") && ended.stdout.contains("failed"), "{ended}");

    let empty = scratch("check-nothing").join("lake");
    let mut command = etl(&["check", "gold", "--lake"]);
    assert!(run(command.arg(&empty)).expect(0).stdout.contains("never written"));
    run(&mut etl(&["check", "golden.metrics"])).expect(2).says(&["selects no job"]);
}

#[test]
fn jobs_show_their_checks() {
    let shown = run(&mut etl(&["jobs", "show", "gold.user_engagement", "-o", "json"])).expect(0).json();
    let checks = shown[0]["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["unique_key", "required", "engagement_score"]);
    assert_eq!(checks[2]["rule"], "engagement_score from 0 to 100");
    assert_eq!([&checks[2]["severity"], &checks[2]["when"]], [&json!("error"), &json!("always")]);
    let shown = run(&mut etl(&["jobs", "show", "silver.reactions"])).expect(0);
    assert!(shown.stdout.contains("check message") && shown.stdout.contains("error, on demand"), "{shown}");
}
