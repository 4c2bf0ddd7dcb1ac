//! The live systems: real servers, filled with the documents and rows of an export by clients that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use mongodb::Collection;
use mongodb::bson::Document;
use quickchat_testing::Bucket;
use serde_json::Value;
use url::Url;

use crate::fixtures::{SAMPLE_AS_OF, job, make_sample, pipeline};
use crate::forward::{Failure, Forwarder};
use crate::lake::{Tables, assert_no_landing, difference};
use crate::process::{etl, python, run, scratch};
use crate::remote::Remote;
use crate::s3::{assert_clean, media, tables, without_media};

/// A variable of the tests, without which they fail.
pub fn required(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run the tests by scripts/test.sh, or start the servers by `scripts/services.sh start`")
    })
}

/// A database of MongoDB and one of MySQL, both with the data of an export. Removed when this is dropped.
pub struct LiveSystems {
    pub exports: PathBuf,
    pub database: String,
    mongodb: String,
    mysql: String,
}

impl LiveSystems {
    /// Fills databases of their own with an export.
    pub fn with(exports: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let live = Self {
            exports: exports.to_owned(),
            database: format!("quickchat_test_{}_{number}", std::process::id()),
            mongodb: required("QUICKCHAT_TEST_MONGODB_URI"),
            mysql: required("QUICKCHAT_TEST_MYSQL_URL"),
        };
        let loaded = run(&mut live.loader(&[])).expect(0).json();
        for (name, counts) in loaded.as_object().unwrap() {
            assert_eq!(counts["refused"], 0, "lines of {name} that the server refused: {loaded}");
        }
        live
    }

    fn loader(&self, options: &[&str]) -> Command {
        let mut command = python("load_live.py", options);
        command.arg(&self.exports).args(["--database", &self.database, "--mongodb", &self.mongodb]);
        command.args(["--mysql", &self.mysql]);
        if let Ok(ca) = std::env::var("QUICKCHAT_TEST_MYSQL_CA") {
            command.args(["--ca", &ca]);
        }
        command
    }

    /// What tells a process of the project where these are.
    pub fn environment(&self) -> Vec<(String, String)> {
        let (server, _) = self.mysql.rsplit_once('/').unwrap();
        let mut variables = vec![
            ("MONGODB_URI".to_owned(), self.mongodb.clone()),
            ("MONGODB_DATABASE".to_owned(), self.database.clone()),
            ("MYSQL_URL".to_owned(), format!("{server}/{}", self.database)),
            ("MEDIA_PATH".to_owned(), self.exports.join("media").display().to_string()),
        ];
        variables.extend(std::env::var("QUICKCHAT_TEST_MYSQL_CA").map(|ca| ("MYSQL_CA".to_owned(), ca)));
        variables
    }

    /// A way to one of the systems that fails, and what tells a process of the project to take it.
    fn failing(&self, variable: &str, bytes: u64, failure: Failure) -> (Forwarder, (String, String)) {
        let (name, address) = self.environment().into_iter().find(|(name, _)| name == variable).unwrap();
        let mut address: Url = address.parse().unwrap();
        let server = format!("{}:{}", address.host_str().unwrap(), address.port().unwrap());
        let way = Forwarder::failing(&server, bytes, failure);
        address.set_port(Some(way.port)).unwrap();
        (way, (name, address.to_string()))
    }

    /// Takes a user out of the database.
    fn remove_user(&self) -> Document {
        self.users(async |users| users.find_one_and_delete(Document::new()).await.unwrap().unwrap())
    }

    fn remove_all_users(&self) {
        self.users(async |users| users.delete_many(Document::new()).await.unwrap());
    }

    /// Puts a user into the database.
    pub fn insert_user(&self, user: Document) {
        self.users(async |users| users.insert_one(user).await.unwrap());
    }

    fn users<T>(&self, action: impl AsyncFnOnce(Collection<Document>) -> T) -> T {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = mongodb::Client::with_uri_str(&self.mongodb).await.unwrap();
            action(client.database(&self.database).collection("users")).await
        })
    }

    /// Jobs over these, by an embedded cluster.
    pub fn select(&self, selector: &str, lake: &Path, as_of: &str) -> Command {
        let mut command = etl(&["run", selector, "-o", "json", "--as-of", as_of]);
        command.arg("--lake").arg(lake).envs(self.environment());
        command
    }
}

impl Drop for LiveSystems {
    fn drop(&mut self) {
        let ended = run(&mut self.loader(&["--drop"]));
        if ended.code != Some(0) && !std::thread::panicking() {
            panic!("{ended}");
        }
    }
}

/// An export of good documents only: what is bad in a file may not be possible in a server.
pub fn good_sample(folder: &Path) -> PathBuf {
    let exports = folder.join("exports");
    make_sample(&exports, &["--messages", "150", "--days", "30", "--bad-share", "0"]);
    exports
}

fn read_by(report: &Value, name: &str) -> u64 {
    job(report, name)["read"].as_u64().unwrap()
}

#[test]
fn live_systems_give_the_rows_of_their_exports() {
    let folder = scratch("live");
    let exports = good_sample(&folder);
    let (from_exports, from_live) = (folder.join("lake-exports"), folder.join("lake-live"));
    run(&mut pipeline(&exports, &from_exports, SAMPLE_AS_OF)).expect(0);
    let live = LiveSystems::with(&exports);
    let first = run(&mut live.select("full-pipeline", &from_live, SAMPLE_AS_OF)).expect(0).json();
    Tables::read(&from_live).assert_same_rows(&Tables::read(&from_exports), "live systems and exports");
    assert_no_landing(&from_live);

    // Only what may have changed since is read again, and nothing has.
    let second = run(&mut live.select("full-pipeline", &from_live, SAMPLE_AS_OF)).expect(0);
    second.says(&["nothing changed: no table has new rows"]);
    let second = second.json();
    for name in ["bronze.messages", "bronze.users", "bronze.audit_logs"] {
        assert!(read_by(&second, name) < read_by(&first, name), "{name}: {second}");
        assert_eq!(job(&second, name)["state"], "unchanged", "{second}");
    }
    // Whoever is told to read everything does.
    let mut full = live.select("bronze.messages", &from_live, SAMPLE_AS_OF);
    let full = run(full.arg("--full-refresh")).expect(0).json();
    assert_eq!(read_by(&full, "bronze.messages"), read_by(&first, "bronze.messages"));
}

/// Everything at once: the client knows the scheduler and the lake's bucket; where the sources are, the cluster's
/// processes know.
#[test]
fn a_cluster_reads_live_systems_into_a_bucket() {
    let folder = scratch("live-cluster");
    let exports = good_sample(&folder);
    let lake = folder.join("lake");
    run(&mut pipeline(&exports, &lake, SAMPLE_AS_OF)).expect(0);
    let live = LiveSystems::with(&exports);
    let bucket = Bucket::new();
    bucket.upload(&exports.join("media"), "chat/media");

    let store = bucket.owner().into_iter().map(|(name, value)| (name.to_owned(), value));
    let everything: Vec<(String, String)> = live.environment().into_iter().chain(store).collect();
    let of_cluster: Vec<(&str, String)> = everything
        .iter()
        .filter(|(name, _)| name != "MEDIA_PATH")
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let remote = Remote::start_with("live-remote", 3, &of_cluster);
    let pipeline = || {
        let mut command = etl(&["run", "full-pipeline", "-o", "json", "--as-of", SAMPLE_AS_OF]);
        command.args(["--scheduler", &remote.url, "--media", &bucket.url("chat/media")]);
        command.args(["--lake", &bucket.url("lake")]).envs(bucket.owner());
        run(&mut command).expect(0)
    };
    let first = pipeline();
    for job in first.json()["jobs"].as_array().unwrap() {
        assert_eq!(job["state"], "changed", "{job}");
    }
    let (from_live, from_exports) = (tables(&bucket, "live-cluster-lake"), Tables::read(&lake));
    without_media(&from_live).assert_same_rows(&without_media(&from_exports), "a cluster's live systems and exports");
    assert_eq!(media(&from_live), media(&from_exports));
    assert_clean(&bucket);
    pipeline().says(&["nothing changed: no table has new rows"]);

    let mut doctor = etl(&["doctor", "-o", "json", "--scheduler", &remote.url, "--lake", &bucket.url("lake")]);
    let findings = run(doctor.envs(bucket.owner())).expect(0).json();
    let cluster = findings.as_array().unwrap().iter().find(|finding| finding["system"] == "cluster").unwrap();
    assert_eq!((&cluster["state"], &cluster["counts"]["executors"]), (&"ok".into(), &3.into()), "{cluster}");
}

#[test]
fn a_table_that_came_from_an_export_is_read_as_a_whole_from_the_live_system_once() {
    let folder = scratch("live-after-export");
    let exports = good_sample(&folder);
    let lake = folder.join("lake");
    let mut command = etl(&["run", "bronze.messages", "-o", "json", "--as-of", SAMPLE_AS_OF, "--exports"]);
    let first = run(command.arg(&exports).arg("--lake").arg(&lake)).expect(0).json();
    let live = LiveSystems::with(&exports);
    let plan =
        run(etl(&["plan", "bronze.messages", "--as-of", SAMPLE_AS_OF, "--lake"]).arg(&lake).envs(live.environment()));
    assert!(plan.stdout.contains("the rows came from another source before"), "{plan}");
    let all = run(&mut live.select("bronze.messages", &lake, SAMPLE_AS_OF)).expect(0).json();
    assert_eq!(job(&all, "bronze.messages")["written"], 0);
    assert!(
        read_by(&all, "bronze.messages") > 0 && read_by(&all, "bronze.messages") <= read_by(&first, "bronze.messages")
    );
    let some = run(&mut live.select("bronze.messages", &lake, SAMPLE_AS_OF)).expect(0).json();
    assert!(read_by(&some, "bronze.messages") < read_by(&all, "bronze.messages"), "{some}");
}

#[test]
fn what_is_gone_is_marked_when_that_is_asked_and_comes_back_unmarked() {
    let folder = scratch("live-deletions");
    let exports = good_sample(&folder);
    let lake = folder.join("lake");
    let live = LiveSystems::with(&exports);
    let users = "bronze.users";
    let detect = || {
        let mut command = live.select(users, &lake, SAMPLE_AS_OF);
        run(command.arg("--detect-deletes")).expect(0).json()
    };
    let marked = || -> Vec<String> {
        let rows = Tables::read(&lake).rows(users);
        let marked = rows.iter().filter(|row| row["is_deleted_at_source"] == true);
        marked.map(|row| row["user_id"].as_str().unwrap().to_owned()).collect()
    };
    // Nothing is gone: the table does not even get the column.
    assert_eq!(job(&detect(), users)["marked_deleted"], 0);
    let all = Tables::read(&lake);
    assert!(!all.rows(users)[0].contains_key("is_deleted_at_source"));

    let gone = live.remove_user();
    let ordinary = run(&mut live.select(users, &lake, SAMPLE_AS_OF)).expect(0).json();
    assert_eq!(job(&ordinary, users)["state"], "unchanged");
    let report = detect();
    assert_eq!((&job(&report, users)["marked_deleted"], &job(&report, users)["state"]), (&1.into(), &"changed".into()));
    assert_eq!(marked(), [gone.get_object_id("_id").unwrap().to_hex()]);
    // No row is lost, and nothing but the mark is other than it was.
    let mut rows = Tables::read(&lake);
    let table = rows.0.get_mut(users).unwrap();
    for row in &mut table.rows {
        let mut object: serde_json::Map<String, Value> = serde_json::from_str(row).unwrap();
        object.remove("is_deleted_at_source");
        *row = Value::Object(object).to_string();
    }
    table.rows.sort_unstable();
    rows.assert_same_rows(&all, "a table with marks");

    // The same again changes nothing, and what the table was computed from is still known.
    let again = detect();
    assert_eq!((&job(&again, users)["marked_deleted"], &job(&again, users)["state"]), (&0.into(), &"unchanged".into()));
    assert_eq!(job(&again, users)["decision"]["action"], "incremental", "{again}");

    // It was changed long ago, so that no ordinary run reads it: the comparison of ids finds it.
    live.insert_user(gone);
    let back = detect();
    assert_eq!((&job(&back, users)["marked_deleted"], &job(&back, users)["state"]), (&0.into(), &"changed".into()));
    assert_eq!(marked(), Vec::<String>::new());
    assert_eq!(job(&detect(), users)["state"], "unchanged");

    live.remove_all_users();
    let mut command = live.select(users, &lake, SAMPLE_AS_OF);
    run(command.arg("--detect-deletes")).expect(1).says(&["its source has nothing at all", "nothing was marked"]);
    assert_eq!(marked(), Vec::<String>::new());
}

#[test]
fn deletions_are_not_detected_in_an_export() {
    let folder = scratch("export-deletions");
    let exports = good_sample(&folder);
    let mut command = etl(&["run", "bronze.users", "--detect-deletes", "--exports"]);
    let ended = run(command.arg(&exports).arg("--lake").arg(folder.join("lake")));
    assert_eq!(ended.code, Some(1), "{ended}");
    ended.says(&["cannot detect deletions for bronze.users", "leave --detect-deletes out"]);
}

#[test]
fn a_source_that_is_not_there_is_told_and_changes_nothing() {
    let folder = scratch("live-unreachable");
    let lake = folder.join("lake");
    let unreachable = "mongodb://reader:CANARY-PASSWORD@127.0.0.1:9/?serverSelectionTimeoutMS=500";
    let mut command = etl(&["run", "bronze.users", "--lake"]);
    let ended = run(command.arg(&lake).env("MONGODB_URI", unreachable)).expect(4);
    ended.says(&["cannot reach MongoDB", "is the address in MONGODB_URI right?"]);
    assert!(!ended.stderr.contains("CANARY") && !ended.stdout.contains("CANARY"), "{ended}");
    assert!(!lake.join("bronze").exists());
    let mut command = etl(&["run", "bronze.audit_logs", "--lake"]);
    run(command.arg(&lake).env("MONGODB_URI", unreachable)).expect(1).says(&["MYSQL_URL is not set"]);
    let ended = run(etl(&["run", "bronze.users", "--lake"]).arg(&lake)).expect(2);
    ended.says(&["no source is configured", "--exports", "MONGODB_URI"]);
}

#[test]
fn a_source_that_goes_away_in_the_middle_costs_a_run_and_no_row() {
    let folder = scratch("live-gone");
    let exports = good_sample(&folder);
    let expected = folder.join("lake-exports");
    run(&mut crate::fixtures::select("bronze", &exports, &expected, SAMPLE_AS_OF)).expect(0);
    let expected = without_media(&Tables::read(&expected));
    let live = LiveSystems::with(&exports);
    for (variable, bytes, failure, told) in [
        ("MONGODB_URI", 40_000, Failure::Cut, ["MongoDB", "MONGODB_URI"]),
        ("MYSQL_URL", 20_000, Failure::Hang, ["MySQL", "MYSQL_URL"]),
    ] {
        let lake = folder.join(format!("lake-{variable}"));
        let way = live.failing(variable, bytes, failure);
        let mut command = live.select("bronze", &lake, SAMPLE_AS_OF);
        let ended = run(command.envs([way.1]).env("SOURCE_TIMEOUT_SECONDS", "2")).expect(4);
        assert!(told.iter().any(|part| ended.stderr.contains(part)), "{ended}");
        let half = without_media(&Tables::read(&lake));
        assert!(half.0.len() < expected.0.len(), "{variable}: all tables are there");
        for (name, table) in &half.0 {
            assert_eq!(difference(&table.rows, &expected.0[name].rows), None, "{name} is half-written");
        }
        run(&mut live.select("bronze", &lake, SAMPLE_AS_OF)).expect(0);
        without_media(&Tables::read(&lake)).assert_same_rows(&expected, variable);
        assert_no_landing(&lake);
    }
}

#[test]
fn the_doctor_tells_what_works() {
    let folder = scratch("doctor");
    let exports = good_sample(&folder);
    let live = LiveSystems::with(&exports);
    let lake = folder.join("lake");
    let mut command = etl(&["doctor", "-o", "json", "--lake"]);
    let findings = run(command.arg(&lake).arg("--exports").arg(&exports).envs(live.environment())).expect(0).json();
    let of = |findings: &Value, system: &str| {
        let found = findings.as_array().unwrap().iter().find(|finding| finding["system"] == system);
        found.unwrap_or_else(|| panic!("nothing is said of {system}: {findings}")).clone()
    };
    assert_eq!(of(&findings, "cluster")["state"], "not_configured");
    assert_eq!(of(&findings, "lake")["state"], "ok");
    for (system, holds) in [("mongodb", "messages"), ("mysql", "auth_users")] {
        let finding = of(&findings, system);
        // Both test servers let their user write.
        assert_eq!(finding["state"], "warning", "{finding}");
        assert!(finding["counts"][holds].as_u64().is_some_and(|count| count > 0), "{finding}");
        assert!(finding["latency_ms"].as_f64().is_some_and(|latency| latency > 0.0), "{finding}");
        assert!(finding["clock_ahead_ms"].as_i64().is_some_and(|ahead| ahead.abs() < 60_000), "{finding}");
    }
    assert_eq!(of(&findings, "media")["state"], "ok");
    let mut command = etl(&["doctor", "--lake"]);
    let ended = run(command.arg(&lake).args(["--scheduler", "http://127.0.0.1:9"])).expect(4);
    assert!(ended.stdout.contains("cluster: cannot reach the scheduler at df://127.0.0.1:9"), "{ended}");
    let mut command = etl(&["doctor", "--lake"]);
    let uri = "mongodb://reader:CANARY@127.0.0.1:9/?serverSelectionTimeoutMS=500";
    let ended = run(command.arg(&lake).env("MONGODB_URI", uri)).expect(4);
    assert!(ended.stdout.contains("mongodb: cannot reach MongoDB") && !ended.stdout.contains("CANARY"), "{ended}");
}
