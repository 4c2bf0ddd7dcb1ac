//! Runs on lakes to which something has happened since the last run. What a run builds on must still be there, or
//! everything is computed; either way the rows are those of one run over everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixtures::{RANDOM_AS_OF, SAMPLE_AS_OF, assert_equals_reference, job, pipeline, sample, steps};
use crate::histories::link_all;
use crate::lake::{Tables, assert_no_landing, copy, difference};
use crate::process::{Running, etl, run, scratch, until};
use crate::remote::Remote;

/// Tables that keep rows of earlier dates: only those of the last one are compared.
const DATED: [(&str, &str); 3] = [
    ("gold.user_engagement", "calculation_date"),
    ("gold.conversation_analytics", "calculation_date"),
    ("gold.ml_features", "feature_date"),
];

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

/// Has another writer remove one of a table's live files; gives the version.
fn delete_rows(lake: &Path, table: &str) -> u64 {
    let newest = newest_version(lake, table);
    let mut live = BTreeMap::new();
    for action in (0..=newest).flat_map(|version| actions(lake, table, version)) {
        let path = |kind: &str| action.get(kind).map(|file| file["path"].as_str().unwrap().to_owned());
        if let Some(path) = path("add") {
            live.insert(path, action["add"].clone());
        } else if let Some(path) = path("remove") {
            live.remove(&path);
        }
    }
    let (path, add) = live.first_key_value().unwrap_or_else(|| panic!("{table} has no files"));
    let remove = json!({"remove": {
        "path": path, "dataChange": true, "deletionTimestamp": 1_700_000_000_000_i64,
        "extendedFileMetadata": true, "partitionValues": add["partitionValues"], "size": add["size"],
    }});
    let info = json!({"commitInfo": {"timestamp": 1_700_000_000_000_i64, "operation": "DELETE"}});
    // Whoever commits at the same time may come first.
    for version in newest + 1.. {
        let mut file = match fs::File::create_new(commit_file(lake, table, version)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => panic!("{error}"),
        };
        std::io::Write::write_all(&mut file, format!("{info}\n{remove}\n").as_bytes()).unwrap();
        return version;
    }
    unreachable!("there is always a next version")
}

/// The run may meet it as a conflict and compute once more, or commit beside it; then the next run notices.
#[test]
fn what_others_commit_while_a_run_works_is_undone() {
    let steps = steps();
    let lake = scratch("foreign-meanwhile").join("lake");
    copy(&steps.lakes[0], &lake);
    let remote = Remote::start("foreign-executors", 1);
    let tables = ["bronze.messages", "silver.messages", "gold.user_engagement"];
    let before = tables.map(|table| newest_version(&lake, table));
    let client = Running::start(pipeline(&steps.exports[1], &lake, RANDOM_AS_OF).args(["--scheduler", &remote.url]));
    let theirs = tables.map(|table| {
        until(&format!("a job of {table}"), Duration::from_secs(200), || {
            remote.running_jobs().iter().any(|(_, name)| name == table)
        });
        delete_rows(&lake, table)
    });
    let report = client.wait().expect(0).json();
    let in_between = (0..tables.len()).filter(|&index| {
        let ours = job(&report, tables[index])["version"].as_u64();
        before[index] < theirs[index] && ours.is_some_and(|ours| theirs[index] < ours)
    });
    assert!(in_between.count() > 0, "{theirs:?} all came after the run's own: {report}");
    run(&mut pipeline(&steps.exports[1], &lake, RANDOM_AS_OF)).expect(0);
    Tables::read(&lake).assert_same_rows(&steps.tables[1], "after others deleted rows meanwhile");
}

#[test]
fn what_others_did_to_a_table_is_undone() {
    let lake = copy_of_sample("foreign-commits");
    // One that is merged into, one that is replaced as a whole, one that is replaced by dates.
    let tables = ["bronze.messages", "silver.messages", "gold.daily_metrics", "gold.ml_features"];
    for table in tables {
        delete_rows(&lake, table);
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
/// Gold tables with a row per user or conversation and date.
const OF_THE_DATE: [&str; 3] = ["gold.user_engagement", "gold.conversation_analytics", "gold.ml_features"];

#[test]
fn an_edited_message_concerns_its_date_alone() {
    let (exports, lake) = growing_sample("edited-message");
    let mut message = stored_message(&exports);
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
    let looked_at = ["silver.user_activity", "silver.user_sessions", "silver.media", "gold.daily_metrics"];
    for unchanged in looked_at.into_iter().chain(OF_THE_DATE) {
        assert_eq!(job(&report, unchanged)["state"], "unchanged", "{unchanged}");
        assert_eq!(decision(&report, unchanged).0, "incremental", "{unchanged}");
    }
    assert_same_as_at_once(&exports, &lake);
}

/// A message of an earlier date that nobody had seen, with an object that nobody used, and the answer to it.
#[test]
fn a_late_message_concerns_who_takes_part_in_its_conversation() {
    let (exports, lake) = growing_sample("late-message");
    let mut message = stored_message(&exports);
    message["_id"] = json!({"$oid": "0123456789abcdef01234567"});
    let key = sample().tables.rows("silver.media").into_iter().find(|row| row["is_orphan"] == true);
    let key = key.expect("an object that no message uses")["key"].clone();
    message["attachments"] = json!([{"type": "image", "url": format!("media/{}", key.as_str().unwrap())}]);
    fs::write(exports.join("mongodb/messages-late.json"), format!("{message}\n")).unwrap();

    let report = run(&mut pipeline(&exports, &lake, SAMPLE_AS_OF)).expect(0).json();
    for changed in OF_THE_DATE.into_iter().chain(["silver.media"]) {
        assert_eq!(job(&report, changed)["state"], "changed", "{changed}");
        assert_eq!(job(&report, changed)["files"], 1, "{changed}");
        assert_eq!(decision(&report, changed).0, "incremental", "{changed}");
    }
    let used = Tables::read(&lake).row("silver.media", "key", key.as_str().unwrap());
    assert_eq!(used["message_id"], message["_id"]["$oid"], "{used:?}");
    assert_same_as_at_once(&exports, &lake);
}

/// A copy of the sample's exports to which files can be added, and the lake that was made of them.
fn growing_sample(name: &str) -> (PathBuf, PathBuf) {
    let folder = scratch(name);
    let (exports, lake) = (folder.join("exports"), folder.join("lake"));
    copy(&sample().lake, &lake);
    link_all(&sample().exports, &exports, Path::to_owned);
    (exports, lake)
}

/// A document of the sample whose row is in silver.messages.
fn stored_message(exports: &Path) -> Value {
    let stored = sample().tables.rows("silver.messages");
    let known = |message: &Value| stored.iter().any(|row| message["_id"]["$oid"] == row["message_id"]);
    let files = fs::read_dir(exports.join("mongodb")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("messages"));
    let mut messages = files.flat_map(|file| {
        // Some documents of the sample are broken on purpose.
        let bytes = fs::read(file).unwrap();
        let lines = bytes.split(|byte| *byte == b'\n');
        lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()).collect::<Vec<_>>()
    });
    messages
        .find(|message| message["createdAt"]["$date"].is_string() && known(message))
        .expect("a message that is stored")
}

/// Fails unless one run over the exports gives the rows of the lake.
#[track_caller]
fn assert_same_as_at_once(exports: &Path, lake: &Path) {
    let fresh = lake.with_file_name("fresh");
    run(&mut pipeline(exports, &fresh, SAMPLE_AS_OF)).expect(0);
    let read = |lake: &Path| Tables::read(lake).without_positions();
    read(lake).assert_same_rows(&read(&fresh), "step by step and at once");
}

fn date_of(as_of_micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(as_of_micros - 1).unwrap().date_naive().to_string()
}

/// Compares all tables; of those that keep rows of earlier dates only the rows of `date`.
fn compare(stepwise: Tables, at_once: &Tables, date: &str) -> Result<(), String> {
    let stepwise = stepwise.without_positions();
    let at_once = at_once.clone().without_positions();
    let of_date = |rows: &[String], column: &str| -> Vec<String> {
        let wanted = format!("\"{column}\":\"{date}\"");
        rows.iter().filter(|row| row.contains(&wanted)).cloned().collect()
    };
    assert_eq!(stepwise.0.keys().collect::<Vec<_>>(), at_once.0.keys().collect::<Vec<_>>());
    for (name, table) in &at_once.0 {
        let dated = DATED.iter().find(|(dated, _)| dated == name);
        let found = match dated {
            Some((_, column)) => difference(&of_date(&stepwise.0[name].rows, column), &of_date(&table.rows, column)),
            None => difference(&stepwise.0[name].rows, &table.rows),
        };
        if let Some(difference) = found {
            return Err(format!("{name}, stepwise (left) and at once (right): {difference}"));
        }
    }
    Ok(())
}
