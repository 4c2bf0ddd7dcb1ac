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
use crate::mysql::MySqlServer;
use crate::{Collection, SourceError};

/// What a run asks of a live system for one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRequest {
    /// Only what changed at or after this instant, in microseconds since 1970; everything if none.
    pub changed_since: Option<i64>,
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
        Self { shared: Arc::new(Shared { mongodb: MongoServer::given(settings), ..Shared::default() }) }
    }

    /// Looks at the MongoDB server.
    ///
    /// # Errors
    /// If it is not configured, cannot be reached, or refuses.
    pub async fn mongodb_health(&self, names: impl Fn(Collection) -> LiveNames) -> Result<Health, SourceError> {
        Ok(self.shared.mongodb.health(names).await?)
    }

    /// Looks at the MySQL server.
    ///
    /// # Errors
    /// If it is not configured, cannot be reached, or refuses.
    pub async fn mysql_health(&self, names: impl Fn(Collection) -> LiveNames) -> Result<Health, SourceError> {
        self.shared.mysql.health(names).await
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
