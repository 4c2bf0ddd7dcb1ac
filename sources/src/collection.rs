//! The collections, tables and objects of the chat application, one file each.

mod audit_logs;
mod auth_sessions;
mod auth_users;
mod calls;
mod conversations;
mod media;
mod messages;
mod notifications;
mod users;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::column::{Layout, schema_of};

/// A collection of MongoDB, a table of MySQL, or the media objects, as far as the lake ingests them.
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
    /// Notices to users.
    Notifications,
    /// The accounts that log in.
    AuthUsers,
    /// Their logins.
    AuthSessions,
    /// What happened to them.
    AuditLogs,
    /// The objects that users sent.
    Media,
}

/// The system that a collection comes from, also when it is read from an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Documents.
    MongoDb,
    /// Rows.
    MySql,
    /// Objects.
    S3,
}

impl Origin {
    /// The value of `source_system`: `mongodb`, `mysql` or `s3`. The first two are sub-folders of an export too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MongoDb => "mongodb",
            Self::MySql => "mysql",
            Self::S3 => "s3",
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
    pub const ALL: [Self; 9] = [
        Self::Messages,
        Self::Users,
        Self::Conversations,
        Self::Calls,
        Self::Notifications,
        Self::AuthUsers,
        Self::AuthSessions,
        Self::AuditLogs,
        Self::Media,
    ];

    /// The name, which is also that of the bronze table: `messages`, `auth_users`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Users => "users",
            Self::Conversations => "conversations",
            Self::Calls => "calls",
            Self::Notifications => "notifications",
            Self::AuthUsers => "auth_users",
            Self::AuthSessions => "auth_sessions",
            Self::AuditLogs => "audit_logs",
            Self::Media => "media",
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
            Self::Messages | Self::Users | Self::Conversations | Self::Calls | Self::Notifications => Origin::MongoDb,
            Self::AuthUsers | Self::AuthSessions | Self::AuditLogs => Origin::MySql,
            Self::Media => Origin::S3,
        }
    }

    /// The decoded columns with the nullability of the bronze table, without the partition column and the
    /// ingestion metadata, which the lake adds.
    #[must_use]
    pub fn columns(self) -> SchemaRef {
        Arc::new(schema_of(self.layout().columns))
    }

    /// Names under which its files may stand in an export, the preferred one first: files of a later name are
    /// read only when there are none of an earlier one. None for objects, which are themselves what is listed.
    pub(crate) const fn file_names(self) -> &'static [&'static str] {
        match self {
            Self::Messages => &["messages"],
            Self::Users => &["users"],
            Self::Conversations => &["conversations"],
            Self::Calls => &["calls"],
            Self::Notifications => &["notifications"],
            Self::AuthUsers => &["auth_users", "users"],
            Self::AuthSessions => &["sessions", "refresh_tokens"],
            Self::AuditLogs => &["audit_logs"],
            Self::Media => &[],
        }
    }

    /// The table of its columns.
    pub(crate) const fn layout(self) -> Layout {
        match self {
            Self::Messages => messages::LAYOUT,
            Self::Users => users::LAYOUT,
            Self::Conversations => conversations::LAYOUT,
            Self::Calls => calls::LAYOUT,
            Self::Notifications => notifications::LAYOUT,
            Self::AuthUsers => auth_users::LAYOUT,
            Self::AuthSessions => auth_sessions::LAYOUT,
            Self::AuditLogs => audit_logs::LAYOUT,
            Self::Media => media::LAYOUT,
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
