//! What was written: files, documents and bytes, and the counts that a correct ingestion must arrive at.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap};

/// What a file's documents are, named like the bronze and quarantine tables that they end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Collection {
    /// `mongodb/messages-*.json`
    Messages,
    /// `mongodb/users.json`
    Users,
    /// `mongodb/conversations.json`
    Conversations,
    /// `mongodb/calls.json`
    Calls,
    /// `mongodb/notifications.json`
    Notifications,
    /// `mysql/auth_users.csv`
    AuthUsers,
    /// `mysql/sessions.csv`
    AuthSessions,
    /// `mysql/audit_logs.csv`
    AuditLogs,
}

impl Collection {
    /// The name of the bronze and of the quarantine table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Users => "users",
            Self::Conversations => "conversations",
            Self::Calls => "calls",
            Self::Notifications => "notifications",
            Self::AuthUsers => "auth_users",
            Self::AuthSessions => "auth_sessions",
            Self::AuditLogs => "audit_logs",
        }
    }

    /// True for the MySQL tables, which are CSV files.
    pub fn is_csv(self) -> bool {
        matches!(self, Self::AuthUsers | Self::AuthSessions | Self::AuditLogs)
    }

    /// The reasons for which a document of this collection can be bad; a CSV row has no JSON to be wrong.
    pub fn reasons(self) -> &'static [Reason] {
        if self.is_csv() {
            &[Reason::InvalidUtf8, Reason::MissingKey, Reason::WrongType, Reason::BadDate]
        } else {
            &Reason::ALL
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a bad document cannot be decoded, named as in the quarantine tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Bytes that are no UTF-8, or half of a surrogate pair as an escape.
    InvalidUtf8,
    /// Text that is no JSON.
    InvalidJson,
    /// More than 100 nested objects and lists.
    TooDeep,
    /// JSON, but a list, a string or a number.
    NotAnObject,
    /// A required key that is absent, null or an empty id.
    MissingKey,
    /// A value of another type than the column's.
    WrongType,
    /// A date that is none, or out of range.
    BadDate,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::InvalidUtf8,
        Self::InvalidJson,
        Self::TooDeep,
        Self::NotAnObject,
        Self::MissingKey,
        Self::WrongType,
        Self::BadDate,
    ];

    /// The value of the quarantine table's column `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::TooDeep => "too_deep",
            Self::NotAnObject => "not_an_object",
            Self::MissingKey => "missing_key",
            Self::WrongType => "wrong_type",
            Self::BadDate => "bad_date",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The number of bad documents by reason. Serialised as a map of all reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BadCounts([u64; Reason::ALL.len()]);

impl BadCounts {
    /// The documents that are bad for one reason.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// All bad documents.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason with its count, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().map(|reason| (reason, self.get(reason)))
    }

    pub(crate) fn add(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }
}

impl Serialize for BadCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Reason::ALL.len()))?;
        for (reason, count) in self.iter() {
            map.serialize_entry(reason.name(), &count)?;
        }
        map.end()
    }
}

/// One written file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileSummary {
    /// The path in the export folder, with `/` between its parts.
    pub path: String,
    /// Lines of a JSON file, rows of a CSV file without its header, bad ones included.
    pub documents: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// One collection: `documents = distinct + updated + repeated + bad`.
///
/// Ingested into an empty lake, `distinct` rows are written, `updated + repeated` documents are unchanged or
/// superseded, and `bad` ones are quarantined, each with raw bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CollectionSummary {
    /// The collection.
    pub collection: Collection,
    /// Its files in the order of their names.
    pub files: Vec<FileSummary>,
    /// Distinct ids of valid documents.
    pub distinct: u64,
    /// Further documents of an id with another content and another update time, newer or older.
    pub updated: u64,
    /// Further documents of an id that are equal to an earlier one.
    pub repeated: u64,
    /// Documents that cannot be decoded.
    pub bad: BadCounts,
}

impl CollectionSummary {
    /// All documents, valid or bad.
    pub fn documents(&self) -> u64 {
        self.files.iter().map(|file| file.documents).sum()
    }

    /// Bytes of all files on disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A whole sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SampleSummary {
    /// Every collection, in the order of [`Collection`].
    pub collections: Vec<CollectionSummary>,
    /// Distinct valid messages whose sender is in no users file.
    pub orphan_messages: u64,
    /// Objects under `media/`.
    pub media_objects: u64,
    /// Bytes of these objects.
    pub media_bytes: u64,
}

impl SampleSummary {
    /// The summary of one collection; `generate` always fills in all of them.
    pub fn collection(&self, collection: Collection) -> Option<&CollectionSummary> {
        self.collections.iter().find(|summary| summary.collection == collection)
    }

    /// Bytes of all files, media included.
    pub fn bytes(&self) -> u64 {
        self.collections.iter().map(CollectionSummary::bytes).sum::<u64>() + self.media_bytes
    }
}
