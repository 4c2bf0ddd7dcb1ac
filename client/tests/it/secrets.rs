//! Secrets of the sources and of the process are nowhere to be found.
//!
//! The sample puts texts that begin with `CANARY-` into every field that must never be ingested, and the run of the
//! sample has such texts in its environment. With a cluster, what its processes say to each other is searched too: plans,
//! session settings, the properties of tasks and results travel as they are.
//!
//! Files are searched as they are, which finds texts of a Parquet file only where its pages are not compressed; so every
//! table is read too, that of the program's own records with the texts of errors among them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mongodb::bson::{Bson, DateTime, doc, oid::ObjectId};
use quickchat_client::cluster::Cluster;
use quickchat_executor::SchedulerUrl;
use quickchat_mongodb_stand_in::{Access, Script, StandIn};
use quickchat_testing::Bucket;
use url::Url;

use crate::fixtures::{SAMPLE_AS_OF, sample};
use crate::forward::{Forwarder, Recording};
use crate::lake::{Tables, files};
use crate::live::{LiveSystems, good_sample};
use crate::process::{Ended, Running, etl, program, run, scratch, until};
use crate::remote::free_port;
use crate::s3::tables;

const CANARY: &str = "CANARY-";

#[test]
fn no_table_log_or_output_holds_a_secret() {
    let sample = sample();
    // The canaries are there to be found.
    let exported: usize =
        files(&sample.exports).keys().map(|file| count(&std::fs::read(sample.exports.join(file)).unwrap())).sum();
    assert!(exported > 100, "{exported} canaries in the exports");

    assert_eq!(count(sample.ended.stdout.as_bytes()), 0, "standard output");
    assert!(sample.ended.stderr.contains("DEBUG"), "everything is logged");
    if let Some(line) = sample.ended.stderr.lines().find(|line| line.contains(CANARY)) {
        panic!("logged: {line}");
    }
    for (name, table) in &sample.tables.0 {
        if let Some(row) = table.rows.iter().find(|row| row.contains(CANARY)) {
            panic!("{name} holds {row}");
        }
    }
    assert_eq!(count(records(&sample.lake.display().to_string(), &[]).as_bytes()), 0, "records of runs");
    for file in files(&sample.lake).keys() {
        assert_eq!(count(&std::fs::read(sample.lake.join(file)).unwrap()), 0, "{}", file.display());
    }
    assert!(!sample.tables.rows("quarantine.users").is_empty(), "rejected documents are there too");
}

#[test]
fn a_cluster_tells_nobody_the_secrets_of_the_systems_that_it_reads_and_writes() {
    let folder = scratch("secrets-cluster");
    let live = LiveSystems::with(&good_sample(&folder));
    // Something to be quarantined, with all kinds of secrets.
    live.insert_user(doc! {
        "_id": ObjectId::new(), "username": "nobody", "createdAt": "in spring", "password": "CANARY-PASSWORD",
        "twoFactorSecret": "CANARY-2FA", "devices": [{ "deviceId": "d", "pushToken": "CANARY-PUSH" }],
        "profile": { "refresh_token": "CANARY-REFRESH" },
    });
    let bucket = Bucket::new();
    bucket.upload(&live.exports.join("media"), "media");
    let key_file = folder.join("key");
    std::fs::write(&key_file, &bucket.server.keys.secret).unwrap();
    let mut environment = live.environment();
    environment.retain(|(name, _)| name != "MEDIA_PATH");
    let store = bucket.owner().into_iter().filter(|(name, _)| *name != "AWS_SECRET_ACCESS_KEY");
    environment.extend(store.map(|(name, value)| (name.to_owned(), value)));
    environment.push(("AWS_SECRET_ACCESS_KEY_FILE".to_owned(), key_file.display().to_string()));
    let mysql = environment.iter().find(|(name, _)| name == "MYSQL_URL").map(|(_, url)| url.parse::<Url>().unwrap());
    let secrets = [
        CANARY.to_owned(),
        mysql.unwrap().password().expect("the server of the tests asks for a password").to_owned(),
        bucket.server.keys.secret.clone(),
    ];

    let cluster = WatchedCluster::start(&folder, &environment);
    let mut command = etl(&["run", "full-pipeline", "-o", "json", "--as-of", SAMPLE_AS_OF]);
    command.args(["--scheduler", &cluster.url.to_string(), "--media", &bucket.url("media")]);
    command.args(["--lake", &bucket.url("lake"), "--detect-deletes"]);
    // The client needs the store alone.
    command.envs(environment.iter().filter(|(name, _)| name.starts_with("AWS_")).cloned());
    let ended = run(command.env("RUST_LOG", "debug")).expect(0);
    let mut places = Places::of(&ended, cluster, &bucket.url("lake"));
    let jobs = places.0.iter().filter(|(name, _)| name.starts_with("/api/progress/")).count();
    assert!(jobs > 20, "{jobs} jobs");
    let lake = tables(&bucket, "secrets-lake");
    assert_eq!(lake.rows("quarantine.users").len(), 1);
    let copy = scratch("secrets-files");
    bucket.download("lake", &copy);
    places.look_at_lake(&lake, &records(&bucket.url("lake"), &bucket.owner()), &copy);
    assert!(places.0.len() > 100, "{} places", places.0.len());
    places.assert_without(&secrets);
}

/// The server of the other tests of clusters has no accounts.
#[test]
fn a_cluster_tells_nobody_the_password_by_which_it_reads_mongodb() {
    let server = server_with_a_password("CANARY-MONGODB");
    let environment = [
        ("MONGODB_URI".to_owned(), server.uri_as("reader", "CANARY-MONGODB")),
        ("MONGODB_DATABASE".to_owned(), "chat".to_owned()),
    ];
    let cluster = WatchedCluster::start(&scratch("secrets-mongodb"), &environment);
    let lake = scratch("secrets-mongodb-lake").join("lake");
    let mut command = etl(&["run", "bronze.users", "-o", "json", "--as-of", SAMPLE_AS_OF, "--lake"]);
    command.arg(&lake).args(["--scheduler", &cluster.url.to_string()]);
    let ended = run(command.env("RUST_LOG", "debug")).expect(0);
    assert!(!server.requests_named("saslStart").is_empty(), "the password is used");

    let mut places = Places::of(&ended, cluster, "secrets-mongodb-lake/lake");
    let tables = Tables::read(&lake);
    assert_eq!((tables.rows("bronze.users").len(), tables.rows("quarantine.users").len()), (20, 1));
    places.look_at_lake(&tables, &records(lake.to_str().unwrap(), &[]), &lake);
    places.assert_without(&[CANARY.to_owned()]);
}

/// Users, one of them to be quarantined, for those who know the password of `reader`.
fn server_with_a_password(password: &str) -> StandIn {
    let user = |number: u32| {
        let created = Bson::DateTime(DateTime::from_millis(1_760_000_000_000));
        let created = if number == 0 { Bson::from("in spring") } else { created };
        let id = format!("user-{number}");
        doc! { "_id": id, "username": "somebody", "createdAt": created, "password": "CANARY-USER" }
    };
    let access = Access::Password { user: "reader".to_owned(), password: password.to_owned() };
    StandIn::start(Script::new().access(access).documents("chat.users", (0..21).map(user))).unwrap()
}

#[test]
fn what_a_source_refuses_is_told_and_recorded_without_the_secret() {
    let folder = scratch("secrets-refused");
    let mut mysql: Url = crate::live::required("QUICKCHAT_TEST_MYSQL_URL").parse().unwrap();
    mysql.set_password(Some("CANARY-MYSQL")).unwrap();
    let (mysql, mongodb) =
        (mysql.to_string(), "mongodb://reader:CANARY-MONGODB@127.0.0.1:9/?serverSelectionTimeoutMS=300");
    for (number, (job, variable, address, code, told)) in [
        ("bronze.users", "MONGODB_URI", mongodb.to_owned(), 4, "cannot reach MongoDB"),
        ("bronze.users", "MONGODB_URI", mongodb.replace("CANARY-", "CANARY-@"), 1, "MONGODB_URI cannot be used"),
        ("bronze.auth_sessions", "MYSQL_URL", mysql.clone(), 1, "MySQL refused"),
        ("bronze.auth_sessions", "MYSQL_URL", mysql.replace("mysql:", "mysql:CANARY-"), 1, "MYSQL_URL cannot be used"),
    ]
    .into_iter()
    .enumerate()
    {
        let lake = folder.join(number.to_string());
        let environment = vec![(variable, address)];
        refused(&mut etl(&["run", job, "-o", "json", "--lake", lake.to_str().unwrap()]), &environment, code, told);
        refused(&mut etl(&["doctor", "--lake", lake.to_str().unwrap()]), &environment, 4, told);
        let records = records(lake.to_str().unwrap(), &[]);
        assert!(records.contains(told), "{told:?} is not recorded: {records}");
        assert_eq!(count(records.as_bytes()), 0, "{records}");
        for file in files(&lake).keys() {
            assert_eq!(count(&std::fs::read(lake.join(file)).unwrap()), 0, "{}", file.display());
        }
    }
}

#[test]
fn an_address_with_keys_is_refused_and_not_shown() {
    let folder = scratch("secrets-address");
    let lake = folder.join("lake");
    let environment = vec![("EXPORTS_PATH", "s3a://id:CANARY-/KEY@bucket/exports".to_owned())];
    for (arguments, code) in
        [(&["run", "bronze.users", "-o", "json"][..], 2), (&["doctor"], 4), (&["doctor", "-o", "json"], 4)]
    {
        refused(etl(arguments).args(["--lake", lake.to_str().unwrap()]), &environment, code, "it holds credentials");
    }
}

#[test]
fn what_a_store_refuses_is_told_without_the_secret() {
    let folder = scratch("secrets-store");
    let bucket = Bucket::new();
    let key_file = folder.join("key");
    std::fs::write(&key_file, "CANARY-AWS-FILE").unwrap();
    let instead = |secret: (&'static str, String)| {
        let kept = bucket.owner().into_iter().filter(|(name, _)| *name != "AWS_SECRET_ACCESS_KEY");
        kept.chain([secret]).collect::<Vec<_>>()
    };
    let lake = bucket.url("lake");
    let exports = sample().exports.to_str().unwrap();
    for (environment, told) in [
        (instead(("AWS_SECRET_ACCESS_KEY", "CANARY-AWS".to_owned())), "correct AWS_SECRET_ACCESS_KEY"),
        (instead(("AWS_SECRET_ACCESS_KEY_FILE", key_file.display().to_string())), "correct AWS_SECRET_ACCESS_KEY"),
        ([bucket.owner(), vec![("AWS_SESSION_TOKEN", "CANARY-TOKEN".to_owned())]].concat(), "AWS_SESSION_TOKEN"),
    ] {
        let arguments = ["--exports", exports, "--lake", &lake];
        refused(etl(&["run", "bronze.users", "-o", "json"]).args(arguments), &environment, 4, told);
        refused(etl(&["doctor"]).args(arguments), &environment, 4, told);
    }
    assert_eq!(bucket.objects(), [""; 0]);
}

/// Runs a command that is refused, which must tell so and nothing secret.
#[track_caller]
fn refused(command: &mut Command, environment: &[(&'static str, String)], code: i32, told: &str) {
    let ended = run(command.env("RUST_LOG", "debug").envs(environment.iter().cloned())).expect(code);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains(told), "{told:?} is not said by {ended}");
    if let Some(line) = said.lines().find(|line| line.contains(CANARY)) {
        panic!("{line}");
    }
}

/// The program's own records of the runs over a lake, which hold the texts of errors.
#[track_caller]
fn records(lake: &str, environment: &[(&'static str, String)]) -> String {
    let mut command = etl(&["sql", "SELECT * FROM ops.runs", "-o", "json", "--lake", lake]);
    let ended = run(command.envs(environment.iter().cloned())).expect(0);
    assert!(!ended.json().as_array().unwrap().is_empty(), "no runs are recorded: {ended}");
    ended.stdout
}

/// Where a secret could show: what was said and what was kept, by its name.
struct Places(Vec<(String, Vec<u8>)>);

impl Places {
    /// What a client and its cluster, which is ended by that, have said. `known` is part of the plans.
    fn of(ended: &Ended, cluster: WatchedCluster, known: &str) -> Self {
        let answers = cluster.rest_answers();
        let (logs, [front, back]) = cluster.end();
        let mut places = Self(Vec::new());
        places.look_at("the client's output", ended.stdout.as_bytes());
        places.look_at("the client's log", ended.stderr.as_bytes());
        for (index, log) in logs.iter().enumerate() {
            assert!(log.stderr.contains("DEBUG"), "everything is logged: {log}");
            places.look_at(&format!("log {index} of the cluster"), format!("{}{}", log.stdout, log.stderr).as_bytes());
        }
        for (path, answer) in &answers {
            places.look_at(path, answer.as_bytes());
        }
        for (name, recording) in [("to the scheduler", &front), ("to the executor", &back)] {
            let said = recording.streams().concat();
            // Plans pass by, and can be read.
            assert!(holds(&said, known), "{} bytes {name}", said.len());
            places.look_at(&format!("what is said {name}"), &said);
        }
        places
    }

    /// Rows, records and files, these in a folder.
    fn look_at_lake(&mut self, tables: &Tables, records: &str, folder: &Path) {
        for (name, table) in &tables.0 {
            self.look_at(&format!("rows of {name}"), table.rows.concat().as_bytes());
        }
        self.look_at("records of runs", records.as_bytes());
        for file in files(folder).keys() {
            self.look_at(&format!("file {}", file.display()), &std::fs::read(folder.join(file)).unwrap());
        }
    }

    fn look_at(&mut self, name: &str, bytes: &[u8]) {
        self.0.push((name.to_owned(), bytes.to_vec()));
    }

    #[track_caller]
    fn assert_without(&self, secrets: &[String]) {
        for (name, bytes) in &self.0 {
            for (index, secret) in secrets.iter().enumerate() {
                assert!(!holds(bytes, secret), "secret {index} is found in {name}");
            }
        }
    }
}

/// A scheduler and an executor that reach each other, and are reached, by ways where everything is kept.
struct WatchedCluster {
    url: SchedulerUrl,
    processes: Vec<Running>,
    /// To the scheduler, and to the executor's two ports.
    ways: Vec<Forwarder>,
    front: Recording,
    back: Recording,
    runtime: tokio::runtime::Runtime,
    cluster: Cluster,
}

impl WatchedCluster {
    /// The address of the ways; behind each is the same port of 127.0.0.1.
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

    fn start(folder: &Path, environment: &[(String, String)]) -> Self {
        let [scheduler, flight, tasks] = [free_port(), free_port(), free_port()];
        let (to_scheduler, front) = Forwarder::recording(Self::ADDRESS, scheduler);
        let (to_tasks, back) = Forwarder::recording(Self::ADDRESS, tasks);
        let (to_flight, _rows) = Forwarder::recording(Self::ADDRESS, flight);
        let url = SchedulerUrl::new(Self::ADDRESS.to_string(), scheduler);
        let external = format!("--external-host={}", Self::ADDRESS);
        let port = format!("--bind-port={scheduler}");
        let start = |name: &str, arguments: &[&str]| {
            let mut command = program(name, arguments);
            Running::start(command.envs(environment.iter().cloned()).env("RUST_LOG", "debug"))
        };
        let mut processes = vec![
            start("quickchat-scheduler", &[&port, "--http-bind-port=0", &external]),
            start(
                "quickchat-executor",
                &[
                    &format!("--scheduler-url={url}"),
                    &external,
                    &format!("--flight-bind-port={flight}"),
                    &format!("--grpc-bind-port={tasks}"),
                    "--slots=2",
                    "--memory=512MiB",
                    &format!("--work-dir={}", folder.display()),
                ],
            ),
        ];
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut connected = None;
        until("the scheduler and its executor", Duration::from_secs(60), || {
            processes.iter_mut().for_each(Running::expect_running);
            let cluster = connected.take().or_else(|| runtime.block_on(Cluster::connect(&url)).ok());
            let is_there =
                |cluster: &Cluster| runtime.block_on(cluster.executors()).is_ok_and(|known| !known.is_empty());
            connected = cluster;
            connected.as_ref().is_some_and(is_there)
        });
        let ways = vec![to_scheduler, to_tasks, to_flight];
        Self { url, processes, ways, front, back, runtime, cluster: connected.unwrap() }
    }

    /// All that the scheduler tells of its jobs.
    fn rest_answers(&self) -> Vec<(String, String)> {
        let ask = |path: &str| {
            let answer = self.runtime.block_on(self.cluster.api(path));
            (path.to_owned(), answer.unwrap_or_else(|error| panic!("{path}: {error}")))
        };
        let mut answers: Vec<(String, String)> = ["/api/state", "/api/executors", "/api/jobs"].map(ask).into();
        let jobs: serde_json::Value = serde_json::from_str(&answers[2].1).unwrap();
        let jobs = jobs.as_array().unwrap();
        assert!(!jobs.is_empty(), "the scheduler tells of no job");
        for job in jobs {
            let id = job["job_id"].as_str().unwrap();
            let paths = ["", "/config", "/stages", "/dot"].map(|part| format!("/api/job/{id}{part}"));
            answers.extend(paths.iter().map(|path| ask(path)));
            answers.push(ask(&format!("/api/progress/{id}")));
        }
        answers
    }

    /// Ends the processes; gives what they wrote, and what was said to scheduler and executor.
    fn end(self) -> (Vec<Ended>, [Recording; 2]) {
        self.runtime.block_on(self.cluster.stop());
        let end = |process: Running| {
            process.signal("TERM");
            process.wait()
        };
        // The executor first: it says goodbye to the scheduler.
        let logs = self.processes.into_iter().rev().map(end).collect();
        drop(self.ways);
        (logs, [self.front, self.back])
    }
}

fn count(bytes: &[u8]) -> usize {
    memchr::memmem::find_iter(bytes, CANARY).count()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}
