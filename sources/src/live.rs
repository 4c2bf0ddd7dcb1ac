//! What is asked of a live system, and what is known about how to reach it.
//!
//! A plan names what to read (a collection, since when it changed, how its columns are called there) and never where:
//! address and password of a system are read by the process that opens it, from its own environment. So a client can
//! submit a job over systems that it cannot reach itself, and nothing secret travels.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quickchat_environment::EnvironmentError;
use serde::{Deserialize, Serialize};

use crate::health::Health;
use crate::mongodb::{MongoServer, MongoSettings};
use crate::mysql::{MySqlServer, MySqlSettings};
use crate::{Collection, SourceError};

/// What a run asks of a live system for one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRequest {
    /// Only what changed at or after this instant, in microseconds since 1970; everything if none.
    pub changed_since: Option<i64>,
    /// Only the ids, whatever else of a document may be missing or wrong.
    #[serde(default)]
    pub ids_only: bool,
    /// How the collection is called there.
    #[serde(default)]
    pub names: LiveNames,
}

/// How a collection or table and its fields are called in the live system, where that is not the usual way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LiveNames {
    /// The collection or table; the usual one if none.
    pub name: Option<String>,
    /// Whether a system without it is in order; it is then empty.
    pub optional: bool,
    /// The field by which changes are told, of the type date; the usual one if none.
    pub changed_field: Option<String>,
    /// For tables: what the columns are called there, by the lake's name, such as `external_id = "chat_user"`.
    pub columns: BTreeMap<String, String>,
}

impl fmt::Display for LiveNames {
    /// What decides which rows are read and what they hold, where it is not the usual; nothing if all is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = [("name", &self.name), ("changed-field", &self.changed_field)];
        let settings = settings.into_iter().filter_map(|(setting, value)| Some((setting, value.as_ref()?)));
        let columns = self.columns.iter().map(|(column, name)| (column.as_str(), name));
        for (index, (setting, value)) in settings.chain(columns).enumerate() {
            write!(f, "{}{setting}={value:?}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// The live systems of this process, opened when they are first used. Cheap to clone; clones share what is open.
#[derive(Clone, Default)]
pub struct Connections {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mongodb: MongoServer,
    mysql: MySqlServer,
}

impl Connections {
    /// The systems that this process's environment names; nothing is opened or read yet.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::default()
    }

    /// A MongoDB server that is told rather than read from the environment.
    #[must_use]
    pub fn with_mongodb(settings: MongoSettings) -> Self {
        Self::with_mongodb_by(move || settings.clone())
    }

    /// A MongoDB server that is asked for when it is connected to, and once more when it refuses the login.
    #[must_use]
    pub fn with_mongodb_by(settings: impl Fn() -> MongoSettings + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared { mongodb: MongoServer::given(settings), ..Shared::default() }) }
    }

    /// How the MongoDB server is, and what of the collections it has.
    ///
    /// # Errors
    /// [`SourceError::MongoDb`] if it cannot be asked.
    pub async fn check_mongodb(&self, names: &BTreeMap<Collection, LiveNames>) -> Result<Health, SourceError> {
        Ok(self.shared.mongodb.health(names).await?)
    }

    /// How the MySQL server is, and what of the collections it has.
    ///
    /// # Errors
    /// [`SourceError::MySql`] if it cannot be asked.
    pub async fn check_mysql(&self, names: &BTreeMap<Collection, LiveNames>) -> Result<Health, SourceError> {
        Ok(self.shared.mysql.check(names).await?)
    }

    /// A MySQL server that is told rather than read from the environment.
    #[must_use]
    pub fn with_mysql(settings: MySqlSettings) -> Self {
        Self { shared: Arc::new(Shared { mysql: MySqlServer::given(settings), ..Shared::default() }) }
    }

    /// Documents.
    pub(crate) fn mongodb(&self) -> &MongoServer {
        &self.shared.mongodb
    }

    /// Rows.
    pub(crate) fn mysql(&self) -> &MySqlServer {
        &self.shared.mysql
    }
}

impl fmt::Debug for Connections {
    /// Nothing of the addresses: they may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

/// How often something is asked of a live system before its failure counts.
pub(crate) const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait after the nth failure in a row.
pub(crate) fn pause(attempt: u32) -> Duration {
    (FIRST_PAUSE * 2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_PAUSE)
}

/// How often it is waited for an answer that does not come: each time costs the whole patience.
pub(crate) const SILENCES: u32 = 2;

/// Failures in a row, without anything that was read in between. Each kind has its own limit.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    told: u32,
    silent: u32,
}

impl Failures {
    /// Counts a failure that may pass, and says how long to wait before the next attempt; none if that was the last.
    pub(crate) fn told(&mut self) -> Option<Duration> {
        self.told += 1;
        (self.told < ATTEMPTS).then(|| pause(self.told))
    }

    /// The same of a wait that elapsed.
    pub(crate) fn silent(&mut self) -> Option<Duration> {
        self.silent += 1;
        (self.silent < SILENCES).then(|| pause(self.silent))
    }

    /// How many attempts failed.
    pub(crate) fn count(&self) -> u32 {
        self.told + self.silent
    }

    /// How many attempts ended in silence.
    pub(crate) fn silences(&self) -> u32 {
        self.silent
    }
}

/// How long a live system may be silent, unless `SOURCE_TIMEOUT_SECONDS` says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a live system may be silent.
pub(crate) fn patience() -> Result<Duration, EnvironmentError> {
    const NAME: &str = "SOURCE_TIMEOUT_SECONDS";
    let Some(text) = quickchat_environment::value(NAME)? else { return Ok(PATIENCE) };
    match text.trim().parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err(EnvironmentError::Value { name: NAME.to_owned(), expected: "a number of seconds from 1 to 86400" }),
    }
}

/// Chooses the implementation of TLS for this process: two are compiled in, and drivers that name none would fail.
pub(crate) fn install_tls() {
    // Fails when one is chosen already, which is as good.
    let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_decide_what_is_read_are_told_apart() {
        let usual = LiveNames::default();
        assert_eq!(usual.to_string(), "");
        assert_eq!(LiveNames { optional: true, ..usual.clone() }.to_string(), "");
        let other = LiveNames {
            name: Some("chat_users".to_owned()),
            columns: BTreeMap::from([("external_id".to_owned(), "chat_user".to_owned())]),
            ..usual
        };
        assert_eq!(other.to_string(), r#"name="chat_users" external_id="chat_user""#);
    }
}
