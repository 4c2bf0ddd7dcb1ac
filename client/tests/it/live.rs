//! The live systems: real servers, filled with the documents and rows of an export by clients that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use mongodb::Collection;
use mongodb::bson::Document;
use quickchat_testing::Bucket;
use serde_json::Value;
use url::Url;

use crate::fixtures::{SAMPLE_AS_OF, job, make_sample, pipeline, sample};
use crate::forward::{Failure, Forwarder};
use crate::lake::{Tables, assert_no_landing, difference};
use crate::process::{Ended, etl, python, run, scratch};
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
        let live = Self {
            exports: exports.to_owned(),
            database: unused_database(),
            mongodb: required("QUICKCHAT_TEST_MONGODB_URI"),
            mysql: required("QUICKCHAT_TEST_MYSQL_URL"),
        };
        let loaded = run(live.loader().arg(exports)).expect(0).json();
        for (name, counts) in loaded.as_object().unwrap() {
            assert_eq!(counts["refused"], 0, "lines of {name} that the server refused: {loaded}");
        }
        live
    }

    fn loader(&self) -> Command {
        let mut command = python::<&str>("load_live.py", &[]);
        command.args(["--database", &self.database, "--mongodb", &self.mongodb, "--mysql", &self.mysql]);
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
        if variable == "MONGODB_URI" {
            address = only_this_way(address);
        }
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

/// A name that no server knows: one that runs longer than the tests keeps what was not removed.
pub fn unused_database() -> String {
    format!("quickchat_test_{}", uuid::Uuid::now_v7().simple())
}

/// The address of a MongoDB server that is reached by a way of the test's. A replica set tells where its members are, and
/// the driver would go there.
pub fn only_this_way(mut uri: Url) -> Url {
    let pairs = uri.query_pairs().into_owned();
    let kept: Vec<_> = pairs.filter(|(name, _)| name != "replicaSet" && name != "directConnection").collect();
    uri.query_pairs_mut().clear().extend_pairs(kept).append_pair("directConnection", "true");
    uri
}

impl Drop for LiveSystems {
    fn drop(&mut self) {
        let ended = run(self.loader().arg("--drop"));
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

/// What the doctor found out about a system.
#[track_caller]
fn finding(doctor: &Ended, system: &str) -> Value {
    let findings = doctor.json();
    let found = findings.as_array().unwrap().iter().find(|finding| finding["system"] == system);
    found.unwrap_or_else(|| panic!("nothing is said of {system}: {doctor}")).clone()
}

/// Fails unless a system was found in this state, and one of these is said of it.
#[track_caller]
fn assert_noted(finding: &Value, state: &str, parts: &[&str]) {
    assert_eq!(finding["state"], state, "{finding}");
    let notes: Vec<&str> = finding["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    let is_noted = |part: &&str| notes.iter().any(|note| note.contains(part));
    assert!(parts.iter().any(is_noted), "{parts:?} are not noted: {finding}");
}

#[test]
fn the_doctor_tells_what_works() {
    let folder = scratch("doctor");
    let exports = good_sample(&folder);
    let live = LiveSystems::with(&exports);
    let mut doctor = etl(&["doctor", "-o", "json", "--lake"]);
    doctor.arg(folder.join("lake")).arg("--exports").arg(&exports).envs(live.environment());
    let doctor = run(&mut doctor).expect(0);
    let of = |system| finding(&doctor, system);
    assert_eq!(of("cluster")["state"], "not_configured");
    assert_eq!(of("lake")["state"], "ok");
    // Who loads a sample may write.
    let may_write = [
        ("mongodb", "messages", ["nobody is logged in: the server lets everyone", "this account may insert"]),
        ("mysql", "auth_users", ["this account may change the database"; 2]),
    ];
    for (system, holds, parts) in may_write {
        let finding = of(system);
        assert_noted(&finding, "warning", &parts);
        assert!(finding["place"].as_str().unwrap().ends_with(&format!("/{}", live.database)), "{finding}");
        assert!(finding["version"].as_str().is_some_and(|version| version.contains('.')), "{finding}");
        assert!(finding["counts"][holds].as_u64().is_some_and(|count| count > 0), "{finding}");
        assert!(finding["latency_ms"].as_f64().is_some_and(|latency| latency > 0.0), "{finding}");
        assert!(finding["clock_ahead_ms"].as_i64().is_some_and(|ahead| ahead.abs() < 60_000), "{finding}");
    }
    assert_eq!(of("media")["state"], "ok");
}

#[test]
fn the_doctor_tells_what_a_run_would_miss() {
    let folder = scratch("doctor-missing");
    let live = LiveSystems::with(&good_sample(&folder));
    let file = folder.join("quickchat-etl.toml");
    let doctor = |optional: &str, code| {
        let text = format!("[mongodb.calls]\nname = 'rings'{optional}\n[mysql.audit_logs]\nname = 'trail'{optional}\n");
        std::fs::write(&file, text).unwrap();
        let mut doctor = etl(&["doctor", "-o", "json", "--lake"]);
        doctor.arg(folder.join("lake")).arg("--config").arg(&file).envs(live.environment()).env_remove("MEDIA_PATH");
        let doctor = run(&mut doctor).expect(code);
        assert_noted(&finding(&doctor, "media"), "warning", &["without that folder the job bronze.media fails"]);
        [("mongodb", "calls"), ("mysql", "audit_logs")].map(|(system, missing)| {
            let finding = finding(&doctor, system);
            assert_eq!(finding["counts"][missing], Value::Null, "{finding}");
            finding
        })
    };
    let [mongodb, mysql] = doctor("", 4);
    assert_noted(
        &mongodb,
        "failed",
        &["it has no calls; if they are called otherwise there, say so under [mongodb.calls]"],
    );
    assert_noted(
        &mysql,
        "failed",
        &["it has no audit_logs; if they are called otherwise there, say so under [mysql.audit"],
    );
    let [mongodb, mysql] = doctor("\noptional = true", 0);
    assert_eq!((&mongodb["state"], &mysql["state"]), (&"warning".into(), &"warning".into()));
}

#[test]
fn the_doctor_tells_what_cannot_be_reached() {
    let folder = scratch("doctor-unreachable");
    let lake = folder.join("lake");
    let arguments = ["doctor", "--scheduler", "http://127.0.0.1:9", "--lake", lake.to_str().unwrap()];
    let mut doctor = etl(&[&arguments[..], &["-o", "json"]].concat());
    doctor.env("MONGODB_URI", "mongodb://reader:CANARY@127.0.0.1:9/chat?serverSelectionTimeoutMS=500");
    doctor.env("MYSQL_URL", "mysql://reader:CANARY@127.0.0.1:9/accounts");
    let doctor = run(&mut doctor).expect(4);
    assert!(!doctor.stdout.contains("CANARY") && !doctor.stderr.contains("CANARY"), "{doctor}");
    for (system, place, part) in [
        ("cluster", "df://127.0.0.1:9", "cannot reach the scheduler at df://127.0.0.1:9"),
        ("mongodb", "127.0.0.1:9/chat", "cannot reach MongoDB"),
        ("mysql", "127.0.0.1:9/accounts", "cannot reach MySQL"),
    ] {
        let finding = finding(&doctor, system);
        assert_noted(&finding, "failed", &[part]);
        assert_eq!(finding["place"], place, "{finding}");
    }
    let doctor = run(&mut etl(&arguments)).expect(4);
    assert!(doctor.stdout.contains("cluster: cannot reach the scheduler at df://127.0.0.1:9"), "{doctor}");
}

#[test]
fn the_doctor_tells_that_a_cluster_has_no_executors() {
    let remote = Remote::start("doctor-idle", 0);
    let mut doctor = etl(&["doctor", "-o", "json", "--scheduler", &remote.url, "--lake"]);
    let doctor = run(doctor.arg(scratch("doctor-idle-lake"))).expect(4);
    let cluster = finding(&doctor, "cluster");
    assert_noted(&cluster, "failed", &["no executor is there"]);
    assert_eq!(cluster["version"], env!("CARGO_PKG_VERSION"), "{cluster}");
    assert!(cluster["clock_ahead_ms"].as_i64().is_some_and(|ahead| ahead.abs() < 60_000), "{cluster}");
}

#[test]
fn the_doctor_looks_at_exports_in_a_bucket() {
    let bucket = Bucket::new();
    bucket.upload(&sample().exports, "some/exports");
    let (folder, location) = (scratch("doctor-bucket"), bucket.url("some/exports"));
    let look = |environment: Vec<(&'static str, String)>| {
        let mut doctor = etl(&["doctor", "-o", "json", "--exports", &location, "--lake"]);
        finding(&run(doctor.arg(&folder).envs(environment)).expect(0), "exports")
    };
    let found = look(bucket.owner());
    assert_noted(&found, "warning", &["these credentials may also write there"]);
    assert_eq!((&found["place"], &found["counts"]["messages files"]), (&location.as_str().into(), &1.into()));
    let reader = bucket.server.session(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":["arn:aws:s3:::*"]}]}"#,
    );
    let found = look(bucket.environment(&bucket.server.endpoint, &reader));
    assert_eq!(found["state"], "ok", "{found}");
    assert_clean(&bucket);
}
