//! The laws that hold for every job, on whole runs of real processes.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::fixtures::{RANDOM_AS_OF, SAMPLE_AS_OF, job, pipeline, sample, select, steps};
use crate::lake::{Tables, assert_no_landing, copy, data_files, difference, files};
use crate::process::{Running, run, scratch, until};
use crate::remote::Remote;

/// Law 1: running twice with the same inputs and `as_of` changes nothing.
#[test]
fn a_second_run_changes_nothing() {
    let sample = sample();
    let lake = scratch("second-run").join("lake");
    copy(&sample.lake, &lake);
    let before = data_files(&lake);
    let ended = run(&mut pipeline(&sample.exports, &lake, SAMPLE_AS_OF)).expect(0);
    ended.says(&["nothing changed: no table has new rows"]);
    for job in ended.json()["jobs"].as_array().unwrap() {
        assert_eq!((&job["state"], &job["version"]), (&"unchanged".into(), &Value::Null), "{job}");
        assert_eq!((&job["written"], &job["files"], &job["bytes"]), (&0.into(), &0.into(), &0.into()), "{job}");
    }
    assert_eq!(data_files(&lake), before, "files on disk");
    assert_no_landing(&lake);
}

/// Law 3: neither the order of lines, nor their split into files, nor the number of tasks matters.
#[test]
fn order_split_and_slots_do_not_matter() {
    let sample = sample();
    let folder = scratch("reordered");
    let (exports, lake) = (folder.join("exports"), folder.join("lake"));
    reorder(&sample.exports, &exports);
    let mut command = pipeline(&exports, &lake, SAMPLE_AS_OF);
    run(command.args(["--slots", "5", "--parallel", "1"])).expect(0);
    let tables = Tables::read(&lake).without_positions();
    tables.assert_same_rows(&sample.tables.clone().without_positions(), "reordered and original exports");
}

/// Writes the same documents in another order into other files: of a collection's lines, every third goes to each of
/// three files, backwards.
fn reorder(from: &Path, to: &Path) {
    for file in files(from).keys() {
        if file.starts_with("media") {
            // Objects have no lines, but a time, which a copy would lose.
            std::fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
            std::fs::hard_link(from.join(file), to.join(file)).unwrap();
            continue;
        }
        let bytes = std::fs::read(from.join(file)).unwrap();
        let is_csv = file.extension().is_some_and(|extension| extension == "csv");
        let mut lines = if is_csv { records(&bytes) } else { bytes.split_inclusive(|byte| *byte == b'\n').collect() };
        let header = if is_csv { lines.remove(0) } else { b"" };
        for part in 0..3 {
            let mut content = header.to_vec();
            for line in lines.iter().skip(part).step_by(3).rev() {
                content.extend_from_slice(line.trim_ascii_end());
                content.push(b'\n');
            }
            let (stem, extension) = (file.file_stem().unwrap().to_str().unwrap(), file.extension().unwrap());
            // Names in another order than the parts.
            let name = format!("{stem}-{}.{}", 9 - part, extension.to_str().unwrap());
            let target = to.join(file).with_file_name(name);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, content).unwrap();
        }
    }
}

/// The records of a CSV file; a line end in quotes belongs to a field.
fn records(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut records, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in bytes.iter().enumerate() {
        quoted ^= *byte == b'"';
        if *byte == b'\n' && !quoted {
            records.push(&bytes[start..=at]);
            start = at + 1;
        }
    }
    assert_eq!(start, bytes.len(), "the file ends with a line end");
    records
}

/// Law 4: the cluster inside the client's process, three executor processes, and these with one of them killed in the
/// middle of a task give the same rows.
#[test]
fn clusters_and_a_killed_executor_give_the_same_rows() {
    let sample = sample();
    let mut remote = Remote::start("executors", 3);
    let folder = scratch("remote");
    let lakes = ["undisturbed", "killed"].map(|name| folder.join(name));

    let url = remote.url.clone();
    let started = |lake: &Path| {
        let mut command = pipeline(&sample.exports, lake, SAMPLE_AS_OF);
        command.args(["--scheduler", &url]);
        Running::start(&mut command)
    };
    started(&lakes[0]).wait().expect(0);
    Tables::read(&lakes[0]).assert_same_rows(&sample.tables, "three executors and embedded");

    let client = started(&lakes[1]);
    let hit = remote.kill_a_busy_executor(|job| job.starts_with("silver.") || job.starts_with("gold."));
    let report = client.wait().expect(0).json();
    assert_eq!(remote.living(), 2);
    assert_eq!(job(&report, &hit.job)["state"], "changed", "the job that was hit: {hit:?}");
    Tables::read(&lakes[1]).assert_same_rows(&sample.tables, "with one executor killed and embedded");
    assert_no_landing(&lakes[1]);
}

/// Law 7: read = written + unchanged + quarantined, in the first run and in one that meets the rows again.
#[test]
fn every_document_that_was_read_is_accounted_for() {
    let steps = steps();
    let lake = scratch("accounts").join("lake");
    copy(&steps.lakes[1], &lake);
    let mut again = select("bronze", &steps.exports[1], &lake, RANDOM_AS_OF);
    let again = run(again.arg("--full-refresh")).expect(0).json();
    for (report, is_first) in [(sample().ended.json(), true), (again, false)] {
        for name in [
            "messages",
            "users",
            "conversations",
            "calls",
            "notifications",
            "auth_users",
            "auth_sessions",
            "audit_logs",
        ] {
            let report = job(&report, &format!("bronze.{name}"));
            let [read, written, unchanged, quarantined] =
                ["read", "written", "unchanged", "quarantined"].map(|field| report[field].as_u64().unwrap());
            assert!(read > 0, "{report}");
            assert_eq!(read, written + unchanged + quarantined, "{report}");
            assert_eq!(written > 0, is_first, "{report}");
            assert!(!is_first || quarantined > 0, "{report}");
        }
    }
    // Counted from the files, not by the program.
    let text = std::fs::read(sample().exports.join("mongodb/users.json")).unwrap();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    assert_eq!(job(&sample().ended.json(), "bronze.users")["read"], lines);
}

/// Law 8: whenever a run dies, every table is at its old or its new version, and the next run completes the work.
#[test]
fn a_run_that_dies_anywhere_leaves_only_whole_tables() {
    let steps = steps();
    let lake = scratch("killed-client").join("lake");
    copy(&steps.lakes[0], &lake);
    let (old, new) = (&steps.tables[0], &steps.tables[1]);
    let points = kill_points(4);
    println!("killed at these shares of an undisturbed run's messages, and some seconds later: {points:?}");
    let mut hits = 0;
    for (point, later) in points {
        let mut client = Running::start(&mut pipeline(&steps.exports[1], &lake, RANDOM_AS_OF));
        let messages = (steps.second_run_messages as f64 * point) as usize;
        until("the moment of the kill", Duration::from_secs(200), || {
            client.messages() >= messages || !client.is_running()
        });
        std::thread::sleep(Duration::from_secs_f64(later));
        hits += u32::from(client.kill());
        let found = Tables::read(&lake);
        assert_eq!(found.0.keys().collect::<Vec<_>>(), new.0.keys().collect::<Vec<_>>());
        for (name, table) in &found.0 {
            let is_old = difference(&old.0[name].rows, &table.rows);
            let is_new = difference(&new.0[name].rows, &table.rows);
            if let (Some(old), Some(new)) = (is_old, is_new) {
                panic!("{name} is neither old nor new after a kill at {point}\nold: {old}\nnew: {new}");
            }
        }
    }
    assert!(hits >= 2, "only {hits} kills hit a running process");
    run(&mut pipeline(&steps.exports[1], &lake, RANDOM_AS_OF)).expect(0);
    Tables::read(&lake).assert_same_rows(new, "completed and undisturbed");
}

/// Random points of a run, one in each of `count` equal parts of it but for its last tenth, and seconds to wait there. A
/// run is measured by what it says: how long it takes depends on what else the machine does.
fn kill_points(count: u32) -> Vec<(f64, f64)> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut state = u64::from(clock.subsec_nanos());
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(state >> 32).unwrap()) / f64::from(u32::MAX)
    };
    (0..count).map(|part| ((f64::from(part) + random()) / f64::from(count) * 0.9, random() * 0.3)).collect()
}
