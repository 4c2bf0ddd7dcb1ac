//! Runs on lakes to which something has happened since the last run. What a run builds on must still be there, or
//! everything is computed; either way the rows are those of one run over everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fixtures::{RANDOM_AS_OF, SAMPLE_AS_OF, assert_equals_reference, job, pipeline, sample, steps};
use crate::histories::{compare, date_of, link_all};
use crate::lake::{Tables, assert_no_landing, copy};
use crate::process::{etl, run, scratch};

/// What a run decided about a job: the action, and the reason if there is one.
#[track_caller]
fn decision<'a>(report: &'a Value, name: &str) -> (&'a str, Option<&'a str>) {
    let decision = &job(report, name)["decision"];
    (decision["action"].as_str().unwrap_or_else(|| panic!("{report}")), decision["because"]["reason"].as_str())
}

fn log(lake: &Path, table: &str) -> PathBuf {
    lake.join(table.replace('.', "/")).join("_delta_log")
}

fn commit_file(lake: &Path, table: &str, version: u64) -> PathBuf {
    log(lake, table).join(format!("{version:020}.json"))
}

fn newest_version(lake: &Path, table: &str) -> u64 {
    (0..).take_while(|version| commit_file(lake, table, *version).exists()).last().unwrap()
}

/// The actions of a version.
fn actions(lake: &Path, table: &str, version: u64) -> Vec<Value> {
    let text = fs::read_to_string(commit_file(lake, table, version)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn write_actions(lake: &Path, table: &str, version: u64, actions: &[Value]) {
    let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
    fs::write(commit_file(lake, table, version), lines.join("\n")).unwrap();
}

/// A copy of the sample's lake.
fn copy_of_sample(name: &str) -> PathBuf {
    let lake = scratch(name).join("lake");
    copy(&sample().lake, &lake);
    lake
}

#[test]
fn a_deleted_table_is_written_anew_and_so_is_what_was_computed_from_it() {
    let lake = copy_of_sample("deleted-table");
    for table in ["silver/messages", "gold/user_engagement"] {
        fs::remove_dir_all(lake.join(table)).unwrap();
    }
    let report = run(&mut pipeline(&sample().exports, &lake, SAMPLE_AS_OF)).expect(0).json();
    assert_eq!(decision(&report, "silver.messages"), ("full", Some("never_written")));
    assert_eq!(decision(&report, "gold.user_engagement"), ("full", Some("never_written")));
    assert_eq!(decision(&report, "gold.daily_metrics"), ("full", Some("input_replaced")));
    assert_eq!(decision(&report, "silver.calls").0, "nothing");
    Tables::read(&lake).assert_same_rows(&sample().tables, "after tables were deleted");
    assert_no_landing(&lake);
}

/// The lake's sources are taken back by one version and then filled with other documents, so that a version number
/// comes to mean other rows than those that the other layers have seen.
#[test]
fn a_version_that_another_one_has_replaced_is_noticed() {
    let steps = steps();
    let folder = scratch("rolled-back");
    let (rolled_back, expected) = (folder.join("rolled-back"), folder.join("expected"));
    copy(&steps.lakes[0], &expected);
    copy(&steps.lakes[1], &rolled_back);
    let mut taken_back = 0;
    for layer in ["bronze", "quarantine"] {
        for table in fs::read_dir(rolled_back.join(layer)).unwrap() {
            let table = format!("{layer}.{}", table.unwrap().file_name().to_str().unwrap());
            let Some(before) = steps.tables[0].0.get(&table).map(|table| table.version) else {
                fs::remove_dir_all(rolled_back.join(table.replace('.', "/"))).unwrap();
                continue;
            };
            for version in before + 1..=newest_version(&rolled_back, &table) {
                fs::remove_file(commit_file(&rolled_back, &table, version)).unwrap();
                taken_back += 1;
            }
        }
    }
    assert!(taken_back > 5, "{taken_back}");
    for lake in [&rolled_back, &expected] {
        run(&mut pipeline(&steps.exports[2], lake, RANDOM_AS_OF)).expect(0);
    }
    let read = |lake| Tables::read(lake).without_positions();
    read(&rolled_back).assert_same_rows(&read(&expected), "with the second export taken back and without it");
}

#[test]
fn what_others_did_to_a_table_is_undone() {
    let lake = copy_of_sample("foreign-commits");
    // One that is merged into, one that is replaced as a whole, one that is replaced by dates.
    let tables = ["bronze.messages", "silver.messages", "gold.daily_metrics", "gold.ml_features"];
    for table in tables {
        let newest = newest_version(&lake, table);
        let add = (0..=newest).flat_map(|version| actions(&lake, table, version));
        let add = add.filter_map(|action| action.get("add").cloned()).next().unwrap();
        let remove = json!({"remove": {
            "path": add["path"], "dataChange": true, "deletionTimestamp": 1_700_000_000_000_i64,
            "extendedFileMetadata": true, "partitionValues": add["partitionValues"], "size": add["size"],
        }});
        let info = json!({"commitInfo": {"timestamp": 1_700_000_000_000_i64, "operation": "DELETE"}});
        write_actions(&lake, table, newest + 1, &[info, remove]);
    }
    let report = run(&mut pipeline(&sample().exports, &lake, SAMPLE_AS_OF)).expect(0).json();
    for table in tables {
        assert_eq!(decision(&report, table), ("full", Some("foreign")), "{table}");
        assert_eq!(job(&report, table)["state"], "changed", "{table}");
    }
    Tables::read(&lake).assert_same_rows(&sample().tables, "after others deleted rows");
}

#[test]
fn commits_of_another_release_of_this_program_are_no_basis() {
    let lake = copy_of_sample("other-release");
    let change_note = |table: &str, change: &dyn Fn(&mut Value)| {
        let version = newest_version(&lake, table);
        let mut actions = actions(&lake, table, version);
        let note = actions.iter_mut().find_map(|action| action.get_mut("commitInfo")?.get_mut("quickchat"));
        change(note.unwrap_or_else(|| panic!("version {version} of {table} has no note")));
        write_actions(&lake, table, version, &actions);
    };
    let older = |note: &mut Value| *note = json!({"program": "0.0.1", "written": 3});
    change_note("bronze.users", &older);
    change_note("silver.user_activity", &older);
    change_note("gold.monthly_metrics", &|note| note["definition"] = "another query".into());
    // A release that did not yet tell versions of one number apart.
    change_note("silver.reactions", &|note| {
        for input in note["inputs"].as_object_mut().unwrap().values_mut() {
            input.as_object_mut().unwrap().remove("files").expect("a version tells its files");
        }
    });
    let run_again = || run(&mut pipeline(&sample().exports, &lake, SAMPLE_AS_OF)).expect(0).json();
    let report = run_again();
    assert_eq!(decision(&report, "bronze.users"), ("full", Some("no_basis")));
    assert_eq!(decision(&report, "silver.user_activity"), ("full", Some("no_basis")));
    assert_eq!(decision(&report, "gold.monthly_metrics"), ("full", Some("definition_changed")));
    assert_eq!(decision(&report, "silver.reactions"), ("full", Some("input_replaced")));
    assert_eq!(decision(&report, "gold.daily_metrics").0, "nothing");
    Tables::read(&lake).assert_same_rows(&sample().tables, "after another release");
    // What was computed now is known to the next run.
    let report = run_again();
    for table in ["bronze.users", "silver.user_activity", "gold.monthly_metrics", "silver.reactions"] {
        assert_eq!(decision(&report, table).0, "nothing", "{table}");
    }
}

#[test]
fn as_of_before_all_data_there_are_tables_without_rows() {
    let lake = scratch("before-all-data").join("lake");
    let as_of = "2001-06-01T00:00:00Z";
    let report = run(&mut pipeline(&sample().exports, &lake, as_of)).expect(0).json();
    assert_eq!(job(&report, "gold.daily_metrics")["written"], 0);
    assert_equals_reference(&lake, &[&sample().exports], as_of);
}

/// The program's clock, or that of another machine, may be behind that of the last run.
#[test]
fn a_run_as_of_an_earlier_instant_gives_the_rows_of_then() {
    let lake = copy_of_sample("clock-behind");
    let earlier = "2026-01-21T09:30:00Z";
    let report = run(&mut pipeline(&sample().exports, &lake, earlier)).expect(0).json();
    assert_eq!(decision(&report, "gold.daily_metrics"), ("full", Some("went_back")));
    let fresh = scratch("clock-behind-fresh").join("lake");
    run(&mut pipeline(&sample().exports, &fresh, earlier)).expect(0);
    let micros = chrono::DateTime::parse_from_rfc3339(earlier).unwrap().timestamp_micros();
    compare(Tables::read(&lake), &Tables::read(&fresh), &date_of(micros)).unwrap();
}

#[test]
fn a_backfill_runs_date_by_date_and_reports_in_one_document() {
    let folder = scratch("backfill");
    let (lake, fresh) = (folder.join("lake"), folder.join("fresh"));
    let backfill = |from: &str, to: &str| {
        let mut command = etl(&["run", "full-pipeline", "-o", "json", "--from", from, "--to", to]);
        command.arg("--exports").arg(&sample().exports).arg("--lake").arg(&lake);
        command
    };
    let ended = run(&mut backfill("2026-01-24", "2026-01-22")).expect(2);
    ended.says(&["--to 2026-01-22 is before --from 2026-01-24"]);
    assert!(!lake.exists());

    let reports = run(&mut backfill("2026-01-22", "2026-01-23")).expect(0).json();
    let as_of: Vec<&str> = reports.as_array().unwrap().iter().map(|report| report["as_of"].as_str().unwrap()).collect();
    assert_eq!(as_of, ["2026-01-23T00:00:00Z", "2026-01-24T00:00:00Z"]);
    run(&mut pipeline(&sample().exports, &fresh, "2026-01-24T00:00:00Z")).expect(0);
    let tables = Tables::read(&lake);
    compare(tables.clone(), &Tables::read(&fresh), "2026-01-23").unwrap();
    // Dated tables have a row per user for each of the dates.
    let mut dates: BTreeMap<String, usize> = BTreeMap::new();
    for row in tables.rows("gold.user_engagement") {
        *dates.entry(row["calculation_date"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(dates.keys().collect::<Vec<_>>(), ["2026-01-22", "2026-01-23"]);
}

/// Law 6 from the near: what one edited message concerns is computed, and nothing else.
#[test]
fn an_edited_message_concerns_its_date_alone() {
    let folder = scratch("edited-message");
    let (exports, lake, fresh) = (folder.join("exports"), folder.join("lake"), folder.join("fresh"));
    copy(&sample().lake, &lake);
    link_all(&sample().exports, &exports, Path::to_owned);
    let first = |file: &Path| {
        // Some documents of the sample are broken on purpose.
        let bytes = fs::read(file).unwrap();
        let lines = bytes.split(|byte| *byte == b'\n');
        let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let stored = sample().tables.rows("silver.messages");
        let known = |message: &Value| stored.iter().any(|row| message["_id"]["$oid"] == row["message_id"]);
        messages.filter(|message| message["createdAt"]["$date"].is_string()).find(known)
    };
    let mut files = fs::read_dir(exports.join("mongodb")).unwrap().map(|entry| entry.unwrap().path());
    let is_messages = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().starts_with("messages");
    let mut message = files.find(is_messages).and_then(|file| first(&file)).expect("a message that is stored");
    message["content"] = "edited".into();
    message["updatedAt"] = json!({"$date": "2026-01-25T12:00:00.000Z"});
    fs::write(exports.join("mongodb/messages-edited.json"), format!("{message}\n")).unwrap();

    let report = run(&mut pipeline(&exports, &lake, SAMPLE_AS_OF)).expect(0).json();
    let date = &message["createdAt"]["$date"].as_str().unwrap()[..10];
    assert_eq!(job(&report, "bronze.messages")["written"], 1, "{report}");
    let silver = job(&report, "silver.messages");
    assert_eq!(silver["decision"]["units"], json!([date]), "{silver}");
    assert_eq!(silver["files"], 1, "{silver}");
    for untouched in ["silver.users", "silver.calls", "silver.conversations", "bronze.calls"] {
        assert_eq!(decision(&report, untouched).0, "nothing", "{untouched}");
    }
    for unchanged in ["silver.user_activity", "silver.user_sessions", "gold.daily_metrics", "gold.ml_features"] {
        assert_eq!(job(&report, unchanged)["state"], "unchanged", "{unchanged}");
    }
    run(&mut pipeline(&exports, &fresh, SAMPLE_AS_OF)).expect(0);
    let read = |lake| Tables::read(lake).without_positions();
    read(&lake).assert_same_rows(&read(&fresh), "step by step and at once");
}
