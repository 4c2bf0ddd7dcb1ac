//! Connecting to everything that is configured, and saying what works.
//!
//! What is looked at is what this process's environment names, from where this process runs. With a remote cluster the
//! sources are read by its executors; whoever wants to know whether these can reach them asks in their environment.
//!
//! A system that is configured and does not answer, or lacks what a run needs, is a failure; one that works and could be
//! set up better a warning. A system that is not configured is said to be so, and is no failure: nobody has all of them.

mod cluster;
mod sources;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use futures::future::join_all;
use quickchat_engine::Engine;
use quickchat_jobs::Catalog;
use quickchat_lake::health::look;
use quickchat_sources::Connections;
use serde::Serialize;

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

    fn at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    fn latency(self, latency: Duration) -> Self {
        Self { latency_ms: Some((latency.as_secs_f64() * 1e5).round() / 100.0), ..self }
    }

    fn warn(&mut self, note: String) {
        self.state = self.state.max(State::Warning);
        self.notes.push(note);
    }

    fn fail(&mut self, note: String) {
        self.state = State::Failed;
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
        sources::exports(config, &engine),
        cluster::look(config),
        sources::mongodb(config, &connections),
        sources::mysql(config, &connections),
        sources::media(config, &engine),
    );
    vec![lake, cluster, exports, mongodb, mysql, media]
}

async fn lake(config: &Config, engine: &Engine) -> Finding {
    let finding = match look(engine.tables().stores(), &config.lake).await {
        Err(error) => Finding::failed("lake", with_causes(&error)),
        Ok(found) => {
            let mut finding = Finding::new("lake", State::Ok).latency(found.latency).clock(found.clock_ahead_millis);
            match tables(config, engine).await {
                Ok(count) => {
                    finding.counts.insert("tables".to_owned(), Some(count));
                }
                Err(why) => finding.fail(why),
            }
            finding
        }
    };
    finding.at(config.lake.to_string())
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

/// Whether this process's environment says where a live system is.
pub(crate) fn names_a_live_system() -> bool {
    ["MONGODB_URI", "MYSQL_URL"].into_iter().any(is_set)
}

/// Whether this process's environment has a value of a variable, or names a file with it.
pub(crate) fn is_set(name: &str) -> bool {
    let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    has(name) || has(&format!("{name}_FILE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_by_more_than_a_minute_are_warned_of() {
        for (ahead, state) in
            [(59_999, State::Ok), (-60_000, State::Ok), (61_000, State::Warning), (-61_000, State::Warning)]
        {
            let finding = Finding::new("lake", State::Ok).clock(Some(ahead));
            assert_eq!((finding.state, finding.clock_ahead_ms), (state, Some(ahead)));
            let note = format!("its clock differs from this machine's by {} s", ahead / 1_000);
            assert_eq!(finding.notes.iter().any(|words| words.contains(&note)), state == State::Warning, "{finding:?}");
        }
        assert_eq!(Finding::new("lake", State::Ok).clock(None).state, State::Ok);
    }
}
