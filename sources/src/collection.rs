//! The collections and tables of the chat application, one file each.

mod auth_users;
mod calls;
mod conversations;
mod messages;
mod users;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::column::{Layout, schema_of};

/// A collection of MongoDB or a table of MySQL that the lake ingests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collection {
    /// Chat messages.
    Messages,
    /// Profiles.
    Users,
    /// Conversations of two and groups.
    Conversations,
    /// Audio and video calls.
    Calls,
    /// The accounts that log in.
    AuthUsers,
}

/// The system that a collection comes from, also when it is read from an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Documents.
    MongoDb,
    /// Rows.
    MySql,
}

impl Origin {
    /// The value of `source_system`, and the sub-folder of an export: `mongodb` or `mysql`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MongoDb => "mongodb",
            Self::MySql => "mysql",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl Collection {
    /// All collections.
    pub const ALL: [Self; 5] = [Self::Messages, Self::Users, Self::Conversations, Self::Calls, Self::AuthUsers];

    /// The name, which is also that of the bronze table: `messages`, `auth_users`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Users => "users",
            Self::Conversations => "conversations",
            Self::Calls => "calls",
            Self::AuthUsers => "auth_users",
        }
    }

    /// The collection of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|collection| collection.name() == name)
    }

    /// The system that it comes from.
    #[must_use]
    pub const fn origin(self) -> Origin {
        match self {
            Self::Messages | Self::Users | Self::Conversations | Self::Calls => Origin::MongoDb,
            Self::AuthUsers => Origin::MySql,
        }
    }

    /// The decoded columns with the nullability of the bronze table, without the partition column and the
    /// ingestion metadata, which the lake adds.
    #[must_use]
    pub fn columns(self) -> SchemaRef {
        Arc::new(schema_of(self.layout().columns))
    }

    /// Names under which its files may stand in an export, the preferred one first: files of a later name are
    /// read only when there are none of an earlier one.
    pub(crate) const fn file_names(self) -> &'static [&'static str] {
        match self {
            Self::Messages => &["messages"],
            Self::Users => &["users"],
            Self::Conversations => &["conversations"],
            Self::Calls => &["calls"],
            Self::AuthUsers => &["auth_users", "users"],
        }
    }

    /// The table of its columns.
    pub(crate) const fn layout(self) -> Layout {
        match self {
            Self::Messages => messages::LAYOUT,
            Self::Users => users::LAYOUT,
            Self::Conversations => conversations::LAYOUT,
            Self::Calls => calls::LAYOUT,
            Self::AuthUsers => auth_users::LAYOUT,
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
