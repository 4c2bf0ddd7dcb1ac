//! What is asked of a live system, and what is known about how to reach it.
//!
//! A plan names what to read (a collection, since when it changed, how its columns are called there) and never where:
//! address and password of a system are read by the process that opens it, from its own environment. So a client can
//! submit a job over systems that it cannot reach itself, and nothing secret travels.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mongodb::MongoServer;
use crate::mysql::MySqlServer;

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
