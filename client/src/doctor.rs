//! Connecting to everything that is configured, and saying what works.
//!
//! What is looked at is what this process's environment names, from where this process runs. With a remote cluster the
//! sources are read by its executors; whoever wants to know whether these can reach them asks in their environment.
//!
//! A system that is configured and does not answer is a failure, one that answers and could be set up better a warning.
//! A system that is not configured is said to be so, and is no failure: nobody has all of them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use futures::future::join_all;
use quickchat_engine::Engine;
use quickchat_jobs::Catalog;
use quickchat_lake::health::look;
use quickchat_sources::{Collection, Connections, ExportFolder, Health, SourceError};
use serde::Serialize;

use crate::cluster::{Cluster, ClusterError};
use crate::config::Config;
use crate::run::target;
use crate::with_causes;

/// A larger difference of clocks than this is worth a warning: of the lookback it takes a part, and requests to S3 are
/// refused from a quarter of an hour on.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// How a system was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not configured here.
    NotConfigured,
    /// It works.
    Ok,
    /// It works, and something should be looked at.
    Warning,
    /// It is configured and cannot be used.
    Failed,
}

/// What was found out about one system. The JSON form is stable: fields are added, never renamed.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// `lake`, `cluster`, `exports`, `mongodb`, `mysql` or `media`.
    pub system: &'static str,
    /// How it was found.
    pub state: State,
    /// Where it is, without user and password.
    pub place: Option<String>,
    /// What it calls itself.
    pub version: Option<String>,
    /// A round trip, in milliseconds.
    pub latency_ms: Option<f64>,
    /// How far its clock is ahead of this machine's, in milliseconds.
    pub clock_ahead_ms: Option<i64>,
    /// How many there are of what it holds; null where it has no such thing.
    pub counts: BTreeMap<String, Option<u64>>,
    /// What should be looked at, or why it cannot be used.
    pub notes: Vec<String>,
}

impl Finding {
    fn new(system: &'static str, state: State) -> Self {
        Self {
            system,
            state,
            place: None,
            version: None,
            latency_ms: None,
            clock_ahead_ms: None,
            counts: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    fn not_configured(system: &'static str, how: &str) -> Self {
        Self { notes: vec![how.to_owned()], ..Self::new(system, State::NotConfigured) }
    }

    fn failed(system: &'static str, why: impl Display) -> Self {
        Self { notes: vec![why.to_string()], ..Self::new(system, State::Failed) }
    }

    fn latency(self, latency: Duration) -> Self {
        Self { latency_ms: Some((latency.as_secs_f64() * 1e5).round() / 100.0), ..self }
    }

    fn warn(&mut self, note: String) {
        self.state = self.state.max(State::Warning);
        self.notes.push(note);
    }

    fn clock(mut self, ahead_millis: Option<i64>) -> Self {
        self.clock_ahead_ms = ahead_millis;
        if let Some(ahead) = ahead_millis
            && ahead.unsigned_abs() > CLOCKS_DIFFER.as_millis() as u64
        {
            self.warn(format!(
                "its clock differs from this machine's by {} s; let both follow a time server",
                ahead / 1000
            ));
        }
        self
    }
}

/// Looks at everything.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let connections = Connections::from_environment();
    let engine = Engine::default();
    let (lake, exports, cluster, mongodb, mysql, media) = tokio::join!(
        lake(config, &engine),
        exports(config),
        cluster(config),
        mongodb(config, &connections),
        mysql(config, &connections),
        media(config, &engine),
    );
    vec![lake, cluster, exports, mongodb, mysql, media]
}

async fn lake(config: &Config, engine: &Engine) -> Finding {
    let place = Some(config.lake.to_string());
    match look(engine.tables().stores(), &config.lake).await {
        Err(error) => Finding { place, ..Finding::failed("lake", with_causes(&error)) },
        Ok(found) => {
            let mut finding = Finding { place, ..Finding::new("lake", State::Ok) }
                .latency(found.latency)
                .clock(found.clock_ahead_millis);
            match tables(config, engine).await {
                Ok(count) => {
                    finding.counts.insert("tables".to_owned(), Some(count));
                }
                Err(error) => {
                    finding.state = State::Failed;
                    finding.notes.push(error);
                }
            }
            finding
        }
    }
}

/// How many of the catalog's tables the lake has.
async fn tables(config: &Config, engine: &Engine) -> Result<u64, String> {
    let catalog = Catalog::builtin().map_err(|error| with_causes(&error))?;
    let urls: Vec<_> = catalog.jobs().iter().map(|job| target(&config.lake, job.contract()).url).collect();
    let found = join_all(urls.iter().map(|url| engine.tables().latest(url))).await;
    let mut count = 0;
    for table in found {
        count += u64::from(table.map_err(|error| with_causes(&error))?.is_some());
    }
    Ok(count)
}

/// The cluster, if a remote one is configured: an embedded one is this process.
async fn cluster(config: &Config) -> Finding {
    let Some(url) = &config.scheduler else {
        return Finding::not_configured(
            "cluster",
            "jobs run inside this process; SCHEDULER_URL names a remote cluster",
        );
    };
    let place = Some(url.to_string());
    let failed =
        |error: ClusterError| Finding { place: place.clone(), ..Finding::failed("cluster", with_causes(&error)) };
    let cluster = match Cluster::connect_with(Engine::default(), url).await {
        Ok(cluster) => cluster,
        Err(error) => return failed(error),
    };
    let asked = Instant::now();
    let executors = cluster.executors().await;
    let latency = asked.elapsed();
    cluster.stop().await;
    match executors {
        Err(error) => failed(error),
        Ok(executors) => {
            let mut finding = Finding { place: place.clone(), ..Finding::new("cluster", State::Ok) }.latency(latency);
            finding.counts.insert("executors".to_owned(), Some(executors.len() as u64));
            if executors.is_empty() {
                finding.warn("no executor is there; start quickchat-executor with this scheduler's address".to_owned());
            }
            finding
        }
    }
}

async fn exports(config: &Config) -> Finding {
    let Some(location) = &config.exports else {
        return Finding::not_configured("exports", "EXPORTS_PATH or --exports names a folder of exports");
    };
    let place = Some(location.clone());
    match ExportFolder::open(location).await {
        Err(error) => Finding { place, ..Finding::failed("exports", with_causes(&error)) },
        Ok(folder) => {
            let mut finding = Finding { place, ..Finding::new("exports", State::Ok) };
            for collection in Collection::ALL.into_iter().filter(|collection| *collection != Collection::Media) {
                let files = folder.files(collection).len() as u64;
                finding.counts.insert(format!("{collection} files"), Some(files).filter(|files| *files > 0));
            }
            for path in folder.unclaimed() {
                finding.warn(format!("{path} belongs to no collection and is not read"));
            }
            finding
        }
    }
}

async fn mongodb(config: &Config, connections: &Connections) -> Finding {
    if !is_set("MONGODB_URI") {
        return Finding::not_configured("mongodb", "MONGODB_URI names a server");
    }
    system("mongodb", connections.check_mongodb(&config.live.names).await)
}

async fn mysql(config: &Config, connections: &Connections) -> Finding {
    if !is_set("MYSQL_URL") {
        return Finding::not_configured("mysql", "MYSQL_URL names a server");
    }
    system("mysql", connections.check_mysql(&config.live.names).await)
}

fn system(system: &'static str, found: Result<Health, SourceError>) -> Finding {
    match found {
        Err(error) => Finding::failed(system, with_causes(&error)),
        Ok(health) => {
            let mut finding =
                Finding { place: Some(health.place), version: Some(health.version), ..Finding::new(system, State::Ok) };
            for warning in health.warnings {
                finding.warn(warning);
            }
            for (collection, count) in health.counts {
                if count.is_none() {
                    finding
                        .warn(format!("it has no {collection}; say in quickchat-etl.toml what they are called there"));
                }
                finding.counts.insert(collection.name().to_owned(), count);
            }
            finding.latency(health.latency).clock(health.clock_ahead_millis)
        }
    }
}

/// The folder of media, if they have one of their own.
async fn media(config: &Config, engine: &Engine) -> Finding {
    let Some(folder) = &config.media else {
        return Finding::not_configured("media", "MEDIA_PATH or --media names a folder, where the exports have none");
    };
    let place = Some(folder.location());
    let found = match engine.runtime_env(None) {
        Ok(runtime) => folder.look(&runtime).await.map_err(|error| with_causes(&error)),
        Err(error) => Err(with_causes(&error)),
    };
    match found {
        Err(why) => Finding { place, ..Finding::failed("media", why) },
        Ok(found) => {
            let mut finding = Finding { place, ..Finding::new("media", State::Ok) }.latency(found.latency);
            let objects = if found.is_all { "objects" } else { "objects or more" };
            finding.counts.insert(objects.to_owned(), Some(found.objects));
            if let Some(files) = found.inventory_files {
                finding.counts.insert("files of the inventory".to_owned(), Some(files));
            }
            if found.objects == 0 {
                finding.warn("the folder is empty".to_owned());
            }
            if found.may_write {
                finding.warn("these credentials may also write there; s3:ListBucket is enough".to_owned());
            }
            finding
        }
    }
}

/// Whether this process's environment has a value of a variable, or names a file with it.
pub(crate) fn is_set(name: &str) -> bool {
    let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    has(name) || has(&format!("{name}_FILE"))
}
