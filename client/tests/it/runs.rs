//! What is recorded about runs, and how it is shown.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixtures::{SAMPLE_AS_OF, pipeline, sample, select};
use crate::lake::{Tables, assert_no_landing, data_files};
use crate::process::{Running, etl, run, scratch, until};

/// The answer of a command about a lake, as JSON.
#[track_caller]
fn ask(lake: &Path, arguments: &[&str]) -> Value {
    run(etl(arguments).args(["-o", "json", "--lake"]).arg(lake)).expect(0).json()
}

#[track_caller]
fn runs(lake: &Path) -> Vec<Value> {
    ask(lake, &["runs", "list"]).as_array().unwrap().clone()
}

#[test]
fn a_run_and_its_jobs_are_recorded() {
    let report = sample().ended.json();
    let listed = runs(&sample().lake);
    let [recorded] = listed.as_slice() else { panic!("one run: {listed:?}") };
    assert_eq!(recorded["run_id"], report["run_id"]);
    assert_eq!([&recorded["state"], &recorded["kind"], &recorded["job"]], ["succeeded", "run", ""]);
    assert_eq!([&recorded["as_of"], &recorded["selectors"]], [&json!(SAMPLE_AS_OF), &json!(["full-pipeline"])]);
    assert!(recorded["seconds"].as_f64() >= report["seconds"].as_f64(), "{recorded}");
    assert!(recorded["host"].is_string() && recorded["process"].is_string(), "{recorded}");

    // The beginning of an id is enough.
    let id = report["run_id"].as_str().unwrap();
    let shown = ask(&sample().lake, &["runs", "show", &id[..13]]);
    assert_eq!(&shown["run"], recorded);
    let jobs = shown["jobs"].as_array().unwrap();
    let reported = report["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), reported.len());
    for job in jobs {
        let of_run = reported.iter().find(|other| other["job"] == job["job"]).unwrap();
        let pairs = [
            ("state", "state"),
            ("version", "version"),
            ("rows_read", "read"),
            ("rows_written", "written"),
            ("rows_unchanged", "unchanged"),
            ("rows_quarantined", "quarantined"),
            ("files_written", "files"),
            ("bytes_written", "bytes"),
            ("seconds", "seconds"),
        ];
        for (recorded, reported) in pairs {
            assert_eq!(job[recorded], of_run[reported], "{recorded} of {job}");
        }
        assert!(job["started_at"].as_str() < job["ended_at"].as_str(), "{job}");
    }
    for (column, field) in [("rows_read", "read"), ("bytes_written", "bytes"), ("rows_quarantined", "quarantined")] {
        let sum: u64 = reported.iter().map(|job| job[field].as_u64().unwrap()).sum();
        assert_eq!(recorded[column], sum, "{column}");
    }
    let inputs = |name: &str| &jobs.iter().find(|job| job["job"] == name).unwrap()["input_versions"];
    assert_eq!(inputs("silver.users"), &json!({"bronze.auth_users": 0, "bronze.users": 0}));
    assert_eq!(inputs("bronze.users"), &json!({}));
}

/// A plain table like all others.
#[test]
fn records_are_a_table_of_the_lake() {
    let columns = ask(&sample().lake, &["tables", "show", "ops.runs"])["columns"].as_array().unwrap().len();
    let rows = ask(&sample().lake, &["sql", "SELECT * FROM ops.runs ORDER BY job"]);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), quickchat_jobs::Catalog::builtin().unwrap().jobs().len() + 1, "each job, and the run");
    assert_eq!(rows[0].as_object().unwrap().len(), columns);
    let history = ask(&sample().lake, &["tables", "history", "ops.runs"]);
    assert_eq!(history.as_array().unwrap().len(), 2, "a commit at the start and one at the end");
}

#[test]
fn failures_are_recorded_with_their_reasons() {
    let lake = scratch("failed-runs").join("lake");
    let failing = |arguments: &[&str], code: i32| run(etl(arguments).arg("--lake").arg(&lake)).expect(code);
    failing(&["runs", "show", "0"], 2).says(&["no run whose id begins with \"0\""]);
    assert_eq!(runs(&lake), [Value::Null; 0], "no lake, no runs");
    failing(&["run", "silver.users+"], 1);
    // What never got so far as to run a job.
    failing(&["run", "silver", "--scheduler", "df://127.0.0.1:1"], 4);
    failing(&["run", "sliver"], 2);

    let listed = runs(&lake);
    let [unreachable, failed] = listed.as_slice() else { panic!("a mistake in the command is no run: {listed:?}") };
    assert_eq!([&unreachable["state"], &unreachable["error_class"]], ["failed", "external"]);
    assert!(unreachable["error"].as_str().unwrap().contains("cannot reach the scheduler"), "{unreachable}");
    assert_eq!([&failed["state"], &failed["error_class"]], ["failed", "user"]);
    let error = failed["error"].as_str().unwrap();
    assert!(error.starts_with("silver.users: ") && error.contains("which is not in the lake"), "{error}");
    assert_eq!(ask(&lake, &["runs", "list", "--limit", "1"]).as_array().unwrap(), &listed[..1]);

    let shown = ask(&lake, &["runs", "show", failed["run_id"].as_str().unwrap()]);
    let jobs = shown["jobs"].as_array().unwrap();
    let job = |name: &str| jobs.iter().find(|job| job["job"] == name).unwrap_or_else(|| panic!("{name}: {shown}"));
    assert_eq!(job("silver.users")["state"], "failed");
    assert_eq!(format!("silver.users: {}", job("silver.users")["error"].as_str().unwrap()), error);
    assert_eq!([&job("silver.messages")["state"], &job("silver.messages")["why"]], ["skipped", "silver.users failed"]);
    failing(&["runs", "show", ""], 2).says(&["several runs", failed["run_id"].as_str().unwrap()]);
    let people = failing(&["runs", "show", failed["run_id"].as_str().unwrap()], 0);
    assert!(people.stdout.contains("which is not in the lake"), "{people}");
}

#[test]
fn a_failed_job_tells_the_versions_that_it_read() {
    let lake = scratch("failed-inputs").join("lake");
    crate::lake::copy(&sample().lake, &lake);
    // Nothing can be read from a table whose files are gone.
    for file in data_files(&lake)
        .keys()
        .filter(|file| file.starts_with("silver/calls") && file.extension() == Some("parquet".as_ref()))
    {
        std::fs::remove_file(lake.join(file)).unwrap();
    }
    let ended = run(&mut select("silver.user_sessions", &sample().exports, &lake, "2026-01-24"));
    assert!(matches!(ended.code, Some(1 | 4)), "{ended}");
    let shown = ask(&lake, &["runs", "show", runs(&lake)[0]["run_id"].as_str().unwrap()]);
    let job = &shown["jobs"][0];
    assert_eq!(
        [&job["job"], &job["state"], &job["version"]],
        [&json!("silver.user_sessions"), &json!("failed"), &Value::Null]
    );
    let inputs = json!({"silver.calls": 0, "silver.messages": 0, "silver.reactions": 0});
    assert_eq!(job["input_versions"], inputs, "{job}");
}

#[test]
fn a_run_is_running_then_crashed_or_interrupted() {
    let lake = scratch("ended-runs").join("lake");
    let started = |known: usize| {
        let running = Running::start(&mut pipeline(&sample().exports, &lake, SAMPLE_AS_OF));
        until("a run that is recorded", Duration::from_secs(60), || runs(&lake).len() > known);
        running
    };
    let client = started(0);
    assert_eq!(runs(&lake)[0]["state"], "running");
    assert!(client.kill(), "it was running");
    assert_eq!(runs(&lake)[0]["state"], "crashed");
    assert_eq!(runs(&lake)[0]["ended_at"], Value::Null);

    let client = started(1);
    client.signal("INT");
    client.wait().expect(130);
    let listed = runs(&lake);
    assert_eq!([&listed[0]["state"], &listed[1]["state"]], ["interrupted", "crashed"]);
    assert!(listed[0]["ended_at"].is_string());
    let shown = ask(&lake, &["runs", "show", listed[0]["run_id"].as_str().unwrap()]);
    for job in shown["jobs"].as_array().unwrap() {
        let state = job["state"].as_str().unwrap();
        assert!(["interrupted", "changed", "unchanged"].contains(&state), "{job}");
    }
    run(&mut pipeline(&sample().exports, &lake, SAMPLE_AS_OF)).expect(0);
    let states: Vec<Value> = runs(&lake).iter().map(|run| run["state"].clone()).collect();
    assert_eq!(states, ["succeeded", "interrupted", "crashed"]);
}

/// The record is no reason to fail: where it should be, there is a file in its way.
#[test]
fn a_run_that_cannot_be_recorded_does_its_work_and_says_so() {
    let lake = scratch("unrecorded").join("lake");
    std::fs::create_dir(&lake).unwrap();
    std::fs::write(lake.join("ops"), "in the way").unwrap();
    let ended = run(&mut select("bronze.users", &sample().exports, &lake, SAMPLE_AS_OF)).expect(0);
    ended.says(&["ERROR", "could not be recorded", "its tables are not concerned"]);
    assert_eq!(std::fs::read_to_string(lake.join("ops")).unwrap(), "in the way");
    std::fs::remove_file(lake.join("ops")).unwrap();
    assert_eq!(Tables::read(&lake).0["bronze.users"], sample().tables.0["bronze.users"]);
    assert_no_landing(&lake);
}
