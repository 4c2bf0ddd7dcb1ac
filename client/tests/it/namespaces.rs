//! What must reach what: a run with each process in a network namespace of its own, which has only the routes that the
//! README says it needs.
//!
//! The servers of source and lake stay where they are, on 127.0.0.1 of this machine. Hosts get to them by forwarders on
//! segments of their own, which look at each request to the lake: client and scheduler get the logs and what the client's
//! `run` module says it writes, executors everything else.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use quickchat_testing::Bucket;
use serde_json::Value;
use url::Url;

use crate::fixtures::{SAMPLE_AS_OF, job, make_sample};
use crate::forward::{Asked, Forwarder, Requests, Verb};
use crate::live::{only_this_way, required, unused_database};
use crate::network::{Network, OUTSIDE};
use crate::process::{Running, etl, program, python, run, scratch, until};

const CLIENT: &str = "client";
const SCHEDULER: &str = "scheduler";
const EXECUTORS: [&str; 2] = ["executor-1", "executor-2"];

/// Client and scheduler.
const FRONT: &str = "front";
/// Scheduler and executors.
const BACK: &str = "back";
/// The client's way to the lake.
const CLIENT_STORE: &str = "client-store";
/// The scheduler's ways to lake and source.
const SCHEDULER_DATA: &str = "scheduler-data";
/// The executors' ways to lake and source.
const EXECUTOR_DATA: &str = "executor-data";

const SCHEDULER_PORT: u16 = 50050;
const SCHEDULER_HTTP_PORT: u16 = 8080;
const FLIGHT_PORT: u16 = 50051;

const COLLECTIONS: [&str; 3] = ["messages", "users", "conversations"];

#[test]
fn a_run_needs_the_scheduler_and_the_logs_and_neither_source_nor_data() {
    let services = Services::new();
    let folder = scratch("namespaces");
    let (lake, loaded) = services.fill(&folder);
    let place = Place::start(&services, &folder);

    place.assert_only_the_needed_routes();
    for attempt in ["first", "second"] {
        let ended = run(&mut place.etl(&RUN, &lake)).expect(0);
        // The rows were read and written, by processes that this one cannot reach.
        let report = ended.json();
        for collection in COLLECTIONS {
            let bronze = job(&report, &format!("bronze.{collection}"));
            let expected = loaded[&format!("mongodb.{collection}")]["loaded"].as_u64().unwrap();
            assert!(expected > 0);
            if attempt == "first" {
                assert_eq!((&bronze["read"], &bronze["written"]), (&expected.into(), &expected.into()), "{bronze}");
            } else {
                assert_eq!((&bronze["written"], &bronze["version"]), (&0.into(), &Value::Null), "{bronze}");
            }
        }
        // The only thing that a client without the data cannot do is named, once.
        ended.says(&["_landing", "maintain vacuum --execute"]);
        assert_eq!(ended.stderr.matches("temporary files may be left").count(), 1, "{ended}");
        let refused = place.client_requests.refused();
        let tried = |asked: &Asked| asked.key.contains("/_landing/") && asked.verb == Verb::List;
        assert!(!refused.is_empty() && refused.iter().all(tried), "{refused:?}");
    }
    let reads = place.client_requests.allowed().into_iter().filter(|asked| asked.verb == Verb::Read);
    assert!(reads.clone().count() > 0 && reads.clone().all(|asked| asked.key.contains("/_delta_log/")));
    assert_eq!(place.scheduler_requests.refused(), [], "the scheduler plans by the logs alone");
    assert!(!place.scheduler_requests.allowed().is_empty());
    assert_eq!(place.executor_requests.refused(), [], "executors are told which files there are");
    assert!(place.executor_requests.allowed().iter().any(|asked| asked.verb == Verb::Write));

    for collection in COLLECTIONS {
        let sql = format!(
            "SELECT (SELECT count(*) FROM bronze.{collection}) AS b, (SELECT count(*) FROM silver.{collection}) AS s"
        );
        let rows = run(&mut place.etl(&["sql", &sql, "-o", "json"], &lake)).expect(0).json();
        let count = |name: &str| rows[0][name].as_u64().unwrap();
        assert_eq!(count("b"), loaded[&format!("mongodb.{collection}")]["loaded"].as_u64().unwrap());
        assert!(count("s") > 0 && count("s") <= count("b"), "{collection}: {rows}");
    }

    // The data itself is not to be had by the client's way to the lake.
    let data = format!("{}/bronze/messages/", lake.trim_start_matches("s3://"));
    let request = format!("GET /{data}part-0.parquet HTTP/1.1\\r\\nHost: lake\\r\\n\\r\\n");
    let store = &place.client_store;
    let answer = place.network.talk(CLIENT, place.network.address(CLIENT_STORE, OUTSIDE), store.port, &request);
    assert!(answer.stdout.starts_with("HTTP/1.1 403"), "{answer}");

    // Without the scheduler there is no run, and no long wait either.
    place.network.set_link(CLIENT, FRONT, "down");
    let started = Instant::now();
    run(&mut place.etl(&RUN, &lake)).expect(4).says(&["cannot reach the scheduler", "is quickchat-scheduler running"]);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

/// What the client runs.
const RUN: [&str; 11] = [
    "run",
    "bronze.messages",
    "bronze.users",
    "bronze.conversations",
    "silver.messages",
    "silver.users",
    "silver.conversations",
    "-o",
    "json",
    "--as-of",
    SAMPLE_AS_OF,
];

/// What the client may ask of the lake.
fn client_may(asked: &Asked) -> bool {
    let is_below = |folder: &str| asked.key.contains(folder);
    match asked.verb {
        Verb::List => is_below("/_delta_log/"),
        Verb::Read => is_below("/_delta_log/") || is_below("/ops/runs/"),
        Verb::Write => {
            ["/_delta_log/", "/_probe/", "/ops/runs/"].into_iter().any(is_below) || asked.key.ends_with("/heartbeat")
        }
        Verb::Delete => is_below("/_probe/"),
    }
}

/// What the scheduler may ask of the lake.
fn scheduler_may(asked: &Asked) -> bool {
    matches!(asked.verb, Verb::Read | Verb::List) && asked.key.contains("/_delta_log/")
}

/// What the executors may ask of the lake.
fn executor_may(asked: &Asked) -> bool {
    !asked.key.contains("/_delta_log/")
}

/// Hosts, processes and the ways between them. Fields are dropped in this order: processes before their network.
struct Place {
    /// Executors and scheduler, which run until this is dropped.
    _cluster: Vec<Running>,
    client_store: Forwarder,
    client_requests: Requests,
    scheduler_store: Forwarder,
    scheduler_requests: Requests,
    executor_store: Forwarder,
    executor_requests: Requests,
    /// The source, for the scheduler and for the executors.
    sources: [Forwarder; 2],
    keys: [(&'static str, String); 2],
    network: Network,
}

impl Place {
    fn start(services: &Services, folder: &Path) -> Self {
        let mut network = Network::new();
        for host in [CLIENT, SCHEDULER].into_iter().chain(EXECUTORS) {
            network.add(host);
        }
        network.connect(FRONT, &[CLIENT, SCHEDULER]);
        network.connect(BACK, &[SCHEDULER, EXECUTORS[0], EXECUTORS[1]]);
        network.connect(CLIENT_STORE, &[CLIENT, OUTSIDE]);
        network.connect(SCHEDULER_DATA, &[SCHEDULER, OUTSIDE]);
        network.connect(EXECUTOR_DATA, &[EXECUTORS[0], EXECUTORS[1], OUTSIDE]);

        let outside = |segment: &str| network.address(segment, OUTSIDE);
        let store = services.store();
        let (client_store, client_requests) = Forwarder::of_s3(outside(CLIENT_STORE), &store, client_may);
        let (scheduler_store, scheduler_requests) = Forwarder::of_s3(outside(SCHEDULER_DATA), &store, scheduler_may);
        let (executor_store, executor_requests) = Forwarder::of_s3(outside(EXECUTOR_DATA), &store, executor_may);
        let source = host_and_port(&services.mongodb);
        let sources = [SCHEDULER_DATA, EXECUTOR_DATA].map(|segment| Forwarder::of_tcp(outside(segment), &source));

        let mut command = start_scheduler(&network);
        command.envs(services.mongodb_at(outside(SCHEDULER_DATA), sources[0].port));
        command.envs(services.store_keys()).env("AWS_ENDPOINT_URL", scheduler_store.url());
        let scheduler = Running::start(&mut network.on(SCHEDULER, &command));
        let executors = EXECUTORS.map(|host| {
            let mut command = start_executor(&network, host, folder);
            command.envs(services.mongodb_at(outside(EXECUTOR_DATA), sources[1].port));
            command.envs(services.store_keys()).env("AWS_ENDPOINT_URL", executor_store.url());
            Running::start(&mut network.on(host, &command))
        });
        let place = Self {
            _cluster: executors.into_iter().chain([scheduler]).collect(),
            client_store,
            client_requests,
            scheduler_store,
            scheduler_requests,
            executor_store,
            executor_requests,
            sources,
            keys: services.store_keys(),
            network,
        };
        place.wait_for_executors();
        place
    }

    fn wait_for_executors(&self) {
        let scheduler = self.network.address(FRONT, SCHEDULER);
        let request = "GET /api/executors HTTP/1.0\\r\\n\\r\\n";
        until("both executors", Duration::from_secs(60), || {
            let answer = self.network.talk(CLIENT, scheduler, SCHEDULER_HTTP_PORT, request);
            answer.stdout.matches("\"last_seen\"").count() == EXECUTORS.len()
        });
    }

    /// `quickchat-etl` on the client's host. It knows nothing of the source, and the lake by its own way.
    fn etl(&self, arguments: &[&str], lake: &str) -> Command {
        let mut command = etl(arguments);
        let scheduler = self.network.address(FRONT, SCHEDULER);
        command.args([format!("--scheduler=df://{scheduler}:{SCHEDULER_PORT}"), format!("--lake={lake}")]);
        command.envs(self.keys.clone()).envs(STORE).env("AWS_ENDPOINT_URL", self.client_store.url());
        assert!(command.get_envs().all(|(name, value)| value.is_none() || !name.to_string_lossy().contains("MONGO")));
        self.network.on(CLIENT, &command)
    }

    /// The needed connections can be made, and those that must not be needed cannot.
    fn assert_only_the_needed_routes(&self) {
        let outside = |segment: &str, forwarder: &Forwarder| (self.network.address(segment, OUTSIDE), forwarder.port);
        let scheduler_source = outside(SCHEDULER_DATA, &self.sources[0]);
        let executor_source = outside(EXECUTOR_DATA, &self.sources[1]);
        let scheduler_store = outside(SCHEDULER_DATA, &self.scheduler_store);
        let executor_store = outside(EXECUTOR_DATA, &self.executor_store);
        let flights = EXECUTORS.map(|host| (self.network.address(BACK, host), FLIGHT_PORT));
        let back_door = (self.network.address(BACK, SCHEDULER), SCHEDULER_PORT);
        let front_door = (self.network.address(FRONT, SCHEDULER), SCHEDULER_PORT);
        let client_store = outside(CLIENT_STORE, &self.client_store);

        let can = |host: &str, (address, port): (Ipv4Addr, u16)| self.network.reaches(host, address, port);
        assert!(can(CLIENT, front_door) && can(CLIENT, client_store));
        assert!(can(SCHEDULER, scheduler_source) && can(SCHEDULER, scheduler_store));
        assert!(can(SCHEDULER, flights[0]) && can(SCHEDULER, flights[1]));
        for executor in EXECUTORS {
            assert!(can(executor, executor_source) && can(executor, executor_store) && can(executor, back_door));
        }
        assert!(can(EXECUTORS[0], flights[1]) && can(EXECUTORS[1], flights[0]));

        for hidden in
            [scheduler_source, executor_source, scheduler_store, executor_store, back_door, flights[0], flights[1]]
        {
            assert!(!can(CLIENT, hidden), "the client reaches {hidden:?}");
        }
        for executor in EXECUTORS {
            assert!(!can(executor, client_store) && !can(executor, scheduler_store) && !can(executor, front_door));
        }
        assert!(!can(SCHEDULER, executor_store) && !can(SCHEDULER, client_store));
    }
}

fn start_scheduler(network: &Network) -> Command {
    let external = format!("--external-host={}", network.address(BACK, SCHEDULER));
    let ports = [format!("--bind-port={SCHEDULER_PORT}"), format!("--http-bind-port={SCHEDULER_HTTP_PORT}")];
    let mut command = program("quickchat-scheduler", &["--bind-host=0.0.0.0", &external, &ports[0], &ports[1]]);
    command.envs(STORE);
    command
}

fn start_executor(network: &Network, host: &str, folder: &Path) -> Command {
    let address = network.address(BACK, host);
    let arguments = [
        format!("--scheduler-url=df://{}:{SCHEDULER_PORT}", network.address(BACK, SCHEDULER)),
        format!("--bind-host={address}"),
        format!("--external-host={address}"),
        format!("--flight-bind-port={FLIGHT_PORT}"),
        "--slots=1".to_owned(),
        "--memory=256MiB".to_owned(),
        format!("--work-dir={}", folder.join(host).display()),
    ];
    let mut command = program("quickchat-executor", &arguments);
    command.envs(STORE);
    command
}

/// What is the same for every way to the lake.
const STORE: [(&str, &str); 2] = [("AWS_REGION", "us-east-1"), ("AWS_ALLOW_HTTP", "true")];

/// A database and a bucket on servers that run already, each on a port of 127.0.0.1. Removed when this is dropped.
struct Services {
    mongodb: Url,
    database: String,
    bucket: Bucket,
}

impl Services {
    fn new() -> Self {
        let mongodb = required("QUICKCHAT_TEST_MONGODB_URI").parse().unwrap();
        Self { mongodb, database: unused_database(), bucket: Bucket::new() }
    }

    /// Loads a sample into the source, and makes a lake with the table that comes from elsewhere. Gives the lake and how
    /// many documents were loaded.
    fn fill(&self, folder: &Path) -> (String, Value) {
        let exports = folder.join("exports");
        make_sample(&exports, &["--messages", "150", "--days", "30", "--bad-share", "0"]);
        let loaded = run(self.loader().arg(&exports)).expect(0).json();
        let lake = self.bucket.url("lake");
        let mut command = etl(&["run", "bronze.auth_users", "--as-of", SAMPLE_AS_OF, "--lake", &lake]);
        command.arg("--exports").arg(&exports);
        run(command.envs(self.bucket.owner()).envs(STORE)).expect(0);
        (lake, loaded)
    }

    fn loader(&self) -> Command {
        python("load_live.py", &["--mongodb", self.mongodb.as_str(), "--database", &self.database])
    }

    fn store(&self) -> String {
        host_and_port(&self.bucket.server.endpoint.parse().unwrap())
    }

    fn store_keys(&self) -> [(&'static str, String); 2] {
        let keys = &self.bucket.server.keys;
        [("AWS_ACCESS_KEY_ID", keys.id.clone()), ("AWS_SECRET_ACCESS_KEY", keys.secret.clone())]
    }

    /// What tells whoever gets to the source by a forwarder where it is.
    fn mongodb_at(&self, address: Ipv4Addr, port: u16) -> [(&'static str, String); 2] {
        let mut uri = self.mongodb.clone();
        uri.set_host(Some(&address.to_string())).unwrap();
        uri.set_port(Some(port)).unwrap();
        [("MONGODB_URI", only_this_way(uri).into()), ("MONGODB_DATABASE", self.database.clone())]
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        let ended = run(self.loader().arg("--drop"));
        if ended.code != Some(0) && !std::thread::panicking() {
            panic!("{ended}");
        }
    }
}

fn host_and_port(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap(), url.port_or_known_default().unwrap())
}
