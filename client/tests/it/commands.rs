//! What commands print, to where, and their exit codes.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixtures::{SAMPLE_AS_OF, pipeline, sample, select};
use crate::lake::{Tables, files};
use crate::process::{Ended, etl, run, scratch};

/// A command that looks at the lake of the sample.
fn on_sample(arguments: &[&str]) -> Command {
    let mut command = etl(arguments);
    command.arg("--lake").arg(&sample().lake);
    command
}

/// Names of the fields of a JSON object, sorted.
#[track_caller]
fn fields(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

#[track_caller]
fn list(ended: &Ended) -> Vec<Value> {
    ended.json().as_array().unwrap_or_else(|| panic!("no list: {ended}")).clone()
}

#[test]
fn a_run_reports_as_documented() {
    let report = sample().ended.json();
    assert_eq!(fields(&report), ["as_of", "jobs", "run_id", "seconds"]);
    assert_eq!(report["as_of"], SAMPLE_AS_OF);
    let jobs = report["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 23);
    for job in jobs {
        assert_eq!(
            fields(job),
            [
                "bytes",
                "decision",
                "failed_checks",
                "files",
                "job",
                "marked_deleted",
                "quarantined",
                "read",
                "seconds",
                "state",
                "unchanged",
                "version",
                "written"
            ]
        );
        assert_eq!([&job["state"], &job["version"]], [&"changed".into(), &Value::from(0)], "{job}");
        assert!(job["files"].as_u64() > Some(0) && job["bytes"].as_u64() > Some(0), "{job}");
    }
    // Every commit names the run.
    let history = list(&run(&mut on_sample(&["tables", "history", "gold.daily_metrics", "-o", "json"])).expect(0));
    let expected = ["bytes_added", "bytes_removed", "changes_data", "committed_at", "files_added", "files_removed"];
    assert_eq!(fields(&history[0])[..6], expected);
    assert_eq!(fields(&history[0])[6..], ["note", "operation", "run_id", "version"]);
    assert_eq!([&history[0]["run_id"], &history[0]["version"]], [&report["run_id"], &Value::from(0)]);
}

#[test]
fn data_go_to_standard_output_and_the_rest_to_standard_error() {
    let lake = scratch("streams").join("lake");
    let mut command = etl(&["run", "bronze.users", "--as-of", SAMPLE_AS_OF, "--dry-run"]);
    let planned = run(command.arg("--lake").arg(&lake).arg("--exports").arg(&sample().exports)).expect(0);
    assert!(planned.stdout.contains("bronze.users") && planned.stderr.is_empty(), "{planned}");

    let mut command = etl(&["run", "bronze.users", "--as-of", SAMPLE_AS_OF]);
    let ended = run(command.arg("--lake").arg(&lake).arg("--exports").arg(&sample().exports)).expect(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let titles: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(titles, ["job", "read", "written", "unchanged", "quarantined", "files", "bytes", "seconds", "version"]);
    assert!(lines.len() == 2 && lines[1].contains("bronze.users"), "{ended}");
    ended.says(&["bronze.users: started", "bronze.users: ", " written, "]);
    // Neither colours nor bars: it is no terminal.
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stdout.contains('\u{1b}'), "{ended}");
    assert!(!ended.stderr.contains("ERROR"), "{ended}");
}

#[test]
fn a_dry_run_plans_in_order_and_changes_nothing() {
    let lake = scratch("planned").join("lake");
    let planned = list(&run(pipeline(&sample().exports, &lake, SAMPLE_AS_OF).arg("--dry-run")).expect(0));
    assert!(!lake.exists());
    let names: Vec<&str> = planned.iter().map(|job| job["job"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 23);
    for (index, job) in planned.iter().enumerate() {
        assert_eq!(fields(job), ["action", "after", "because", "job"]);
        assert_eq!([&job["action"], &job["because"]["reason"]], ["full", "never_written"]);
        for input in job["after"].as_array().unwrap().iter().map(|input| input.as_str().unwrap()) {
            assert!(names[..index].contains(&input), "{} stands before {input}", names[index]);
        }
    }

    // Where everything is done already, there is nothing to do, nor half an hour later; a day later there is.
    let actions = |as_of: &str| -> Vec<(String, String)> {
        let arguments = ["plan", "full-pipeline", "-o", "json", "--as-of", as_of];
        let planned = list(&run(on_sample(&arguments).arg("--exports").arg(&sample().exports)).expect(0));
        let text = |job: &Value, field: &str| job[field].as_str().unwrap().to_owned();
        planned.iter().map(|job| (text(job, "job"), text(job, "action"))).collect()
    };
    for (job, action) in actions(SAMPLE_AS_OF) {
        // What a media folder holds is known when it is listed.
        assert_eq!(action, if job == "bronze.media" { "incremental" } else { "nothing" }, "{job}");
    }
    let next_day = actions("2026-01-26T13:00:00Z");
    let action = |name: &str| next_day.iter().find(|(job, _)| job == name).unwrap().1.clone();
    assert_eq!([action("bronze.messages"), action("silver.calls")], ["nothing", "nothing"]);
    assert_eq!([action("silver.users"), action("gold.ml_features")], ["full", "full"]);
    assert_eq!(action("gold.daily_metrics"), "incremental");
}

#[test]
fn the_catalog_and_the_tables_are_listed() {
    let jobs = list(&run(&mut etl(&["jobs", "list", "-o", "json"])).expect(0));
    assert_eq!(jobs.len(), 24);
    assert_eq!(fields(&jobs[0]), ["job", "key", "kind", "partition", "reads", "schedule", "summary", "writes"]);
    let shown = list(&run(&mut etl(&["jobs", "show", "gold.daily_metrics", "-o", "json"])).expect(0));
    assert_eq!(fields(&shown[0]["columns"][0]), ["about", "column", "kind", "nullable"]);
    assert!(shown[0]["sql"].as_str().unwrap().to_lowercase().contains("select"));

    let tables = list(&run(&mut on_sample(&["tables", "list", "-o", "json"])).expect(0));
    let found = &sample().tables;
    for table in &tables {
        assert_eq!(fields(table), ["bytes", "files", "kind", "rows", "summary", "table", "version"]);
        let name = table["table"].as_str().unwrap();
        if name == "ops.runs" {
            continue;
        }
        if table["kind"] == "table" {
            assert_eq!(table["rows"], found.rows(name).len(), "{name}");
        } else {
            assert_eq!(
                [&table["kind"], &table["rows"], &table["version"]],
                [&"view".into(), &Value::Null, &Value::Null]
            );
        }
    }
    assert_eq!(tables.len(), found.0.len() + 2, "and ops.runs and a view");

    let shown = run(&mut on_sample(&["tables", "show", "silver.users", "-o", "json"])).expect(0).json();
    let expected =
        ["bytes", "columns", "file_sizes", "files", "kind", "partitions", "rows", "summary", "table", "version"];
    assert_eq!(fields(&shown), expected);
    assert_eq!(fields(&shown["file_sizes"]), ["largest", "median", "smallest"]);
    let rows =
        list(&run(&mut on_sample(&["tables", "preview", "silver.users", "--limit", "3", "-o", "json"])).expect(0));
    assert_eq!(rows.len(), 3);
    // Nulls are there, so that every row has every column.
    assert_eq!(fields(&rows[0]).len(), shown["columns"].as_array().unwrap().len());
}

#[test]
fn a_view_is_listed_shown_and_read_but_not_run() {
    const VIEW: &str = "gold.ml_features_latest";
    let jobs = list(&run(&mut etl(&["jobs", "list", "-o", "json"])).expect(0));
    let listed = jobs.iter().find(|job| job["job"] == VIEW).expect("the view is in the catalog");
    assert_eq!([&listed["kind"], &listed["schedule"]], [&"view".into(), &Value::Null]);
    assert_eq!(listed["reads"], serde_json::json!(["gold.ml_features"]));
    let jobs_shown = list(&run(&mut etl(&["jobs", "show", VIEW, "-o", "json"])).expect(0));
    let shown = run(&mut on_sample(&["tables", "show", VIEW, "-o", "json"])).expect(0).json();
    assert_eq!([&shown["kind"], &shown["version"]], [&"view".into(), &Value::Null]);
    assert_eq!(shown["columns"], jobs_shown[0]["columns"]);
    assert_eq!(shown["sql"], jobs_shown[0]["sql"]);

    // A lake with two feature dates: the view shows the later one.
    let lake = scratch("view").join("lake");
    crate::lake::copy(&sample().lake, &lake);
    let mut command = etl(&["run", "gold.ml_features", "--as-of", "2026-01-20", "--lake"]);
    run(command.arg(&lake)).expect(0);
    let rows = |query: &str| list(&run(etl(&["sql", query, "-o", "json", "--lake"]).arg(&lake)).expect(0));
    let dates = "SELECT feature_date, count(*) AS n FROM gold.ml_features GROUP BY feature_date ORDER BY feature_date";
    let dates = rows(dates);
    assert_eq!([&dates[0]["feature_date"], &dates[1]["feature_date"]], ["2026-01-19", "2026-01-25"]);
    let seen = rows("SELECT min(feature_date) AS date, count(*) AS n FROM gold.ml_features_latest");
    assert_eq!(seen, [serde_json::json!({"date": "2026-01-25", "n": dates[1]["n"]})]);
    let joined = "SELECT count(*) AS n FROM gold.ml_features_latest AS latest \
                  JOIN gold.ml_features AS features ON features.user_id = latest.user_id";
    let both = dates[0]["n"].as_u64().unwrap() + dates[1]["n"].as_u64().unwrap();
    assert_eq!(rows(joined)[0]["n"], both);
    let mut preview = etl(&["tables", "preview", VIEW, "--limit", "2", "-o", "json", "--lake"]);
    let preview = list(&run(preview.arg(&lake)).expect(0));
    assert_eq!(preview.len(), 2);
    assert_eq!(fields(&preview[0]).len(), shown["columns"].as_array().unwrap().len());

    run(&mut on_sample(&["tables", "history", VIEW])).expect(2).says(&["is a view", "gold.ml_features"]);
    run(&mut on_sample(&["run", VIEW])).expect(2).says(&["is a view", "nothing to run but gold.ml_features"]);
    let mut nowhere = etl(&["sql", "SELECT * FROM gold.ml_features_latest", "--lake"]);
    run(nowhere.arg(scratch("view-of-nothing"))).expect(1).says(&["there is no Delta table at", "gold/ml_features"]);
}

#[test]
fn sql_answers_with_rows() {
    let query = "SELECT count(*) AS n, sum(read_count) AS r, NULL AS nothing FROM silver.messages";
    let rows = list(&run(&mut on_sample(&["sql", query, "-o", "json"])).expect(0));
    let messages = sample().tables.rows("silver.messages");
    let reads: u64 = messages.iter().map(|row| row["read_count"].as_u64().unwrap()).sum();
    assert_eq!(rows, [serde_json::json!({"n": messages.len(), "r": reads, "nothing": null})]);
    let none =
        list(&run(&mut on_sample(&["sql", "SELECT user_id FROM silver.users WHERE false", "-o", "json"])).expect(0));
    assert!(none.is_empty());
}

#[test]
fn sql_reads_and_does_nothing_else() {
    let before = files(&sample().lake);
    for statement in [
        "DROP TABLE silver.users",
        "CREATE TABLE silver.mine AS SELECT 1 AS one",
        "CREATE VIEW silver.mine AS SELECT 1 AS one",
        "CREATE EXTERNAL TABLE mine STORED AS CSV LOCATION '/etc/hostname'",
        "INSERT INTO silver.users SELECT * FROM silver.users",
        "DELETE FROM silver.users",
        "UPDATE silver.users SET role = 'admin'",
        "TRUNCATE TABLE silver.users",
        "COPY silver.users TO '/tmp/never.parquet'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; SELECT 2",
        "SELECT FROM WHERE",
    ] {
        let ended = run(&mut on_sample(&["sql", statement, "-o", "json"])).expect(2);
        ended.says(&["error: "]);
        assert_eq!(ended.stdout, "", "{ended}");
    }
    assert_eq!(files(&sample().lake), before);
}

#[test]
fn sql_and_tables_know_only_the_tables_of_the_lake() {
    for (table, suggested) in [("silver.mesages", "silver.messages"), ("gold.daily_metric", "gold.daily_metrics")] {
        let query = format!("SELECT * FROM {table}");
        for command in [&["sql", query.as_str()][..], &["tables", "preview", table]] {
            run(&mut on_sample(command)).expect(2).says(&["there is no table", table, "did you mean", suggested]);
        }
    }
    for query in ["SELECT * FROM '/etc/hostname'", "SELECT * FROM users", "SELECT * FROM information_schema.tables"] {
        run(&mut on_sample(&["sql", query])).expect(2).says(&["there is no table"]);
    }
    let empty = scratch("no-lake").join("lake");
    let mut command = etl(&["sql", "SELECT * FROM silver.users", "--lake"]);
    run(command.arg(&empty)).expect(1).says(&["there is no Delta table at", "run the job that writes it first"]);
}

#[test]
fn unknown_selectors_get_suggestions() {
    for (selector, suggested) in
        [("silver.mesages", "silver.messages"), ("full-pipelin", "full-pipeline"), ("sliver", "silver")]
    {
        let ended = run(&mut etl(&["run", selector])).expect(2);
        ended.says(&[&format!("`{selector}` selects no job"), "did you mean", suggested]);
        assert_eq!(ended.stdout, "");
    }
    run(&mut etl(&["run", "qqqq"])).expect(2).says(&["jobs list"]);
    run(&mut etl(&["run"])).expect(2);
    run(&mut etl(&["run", "silver", "--as-of", "yesterday"])).expect(2).says(&["--as-of", "2026-01-31"]);
    run(&mut etl(&["run", "silver", "--lake", "ftp://host/lake"])).expect(2).says(&["--lake", "DATA_LAKE_PATH"]);
}

#[test]
fn a_scheduler_out_of_reach_ends_a_command_within_seconds() {
    let url = "df://127.0.0.1:1".to_owned();
    let lake = scratch("no-scheduler").join("lake");
    for arguments in [&["run", "silver"][..], &["sql", "SELECT 1"]] {
        let started = Instant::now();
        let ended = run(etl(arguments).args(["--scheduler", &url, "--lake"]).arg(&lake)).expect(4);
        // It tries for four seconds; the rest is for a busy machine.
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        ended.says(&["cannot reach the scheduler", &url]);
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn a_job_without_its_inputs_says_which_to_run() {
    let lake = scratch("no-inputs").join("lake");
    let ended = run(etl(&["run", "silver.messages", "--lake"]).arg(&lake)).expect(1);
    ended.says(&["silver.messages reads bronze.", "which is not in the lake", "+ before its name"]);
}

/// `quickchat-etl ... 2>&1 | head` closes both streams early.
#[test]
fn a_closed_standard_error_does_not_stop_a_run() {
    let lake = scratch("closed-stderr").join("lake");
    let mut command = select("bronze.users", &sample().exports, &lake, SAMPLE_AS_OF);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.env("RUST_LOG", "debug").stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(Tables::read(&lake).0["bronze.users"], sample().tables.0["bronze.users"]);
}
