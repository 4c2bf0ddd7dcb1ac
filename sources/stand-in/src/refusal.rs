//! The errors that a server answers with, under MongoDB's own codes and names.

use bson::{Document, doc};

/// An error answer: `{ok: 0, code, codeName, errmsg, errorLabels}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// MongoDB's number for the error.
    pub code: i32,
    /// MongoDB's name for the error.
    pub name: String,
    /// What a person reads.
    pub message: String,
    /// Hints for drivers such as `TransientTransactionError`; plain reads get none from a real server.
    pub labels: Vec<String>,
}

impl Refusal {
    /// An error without labels.
    pub fn new(code: i32, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, name: name.into(), message: message.into(), labels: Vec::new() }
    }

    pub(crate) fn bad_value(message: impl Into<String>) -> Self {
        Self::new(2, "BadValue", message)
    }

    pub(crate) fn invalid_options(message: impl Into<String>) -> Self {
        Self::new(72, "InvalidOptions", message)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(13, "Unauthorized", message)
    }

    pub(crate) fn cursor_not_found(id: i64) -> Self {
        Self::new(43, "CursorNotFound", format!("cursor id {id} not found"))
    }

    pub(crate) fn query_plan_killed() -> Self {
        Self::new(175, "QueryPlanKilled", "collection dropped or renamed")
    }

    pub(crate) fn no_majority() -> Self {
        Self::new(148, "ReadConcernMajorityNotEnabled", "Majority read concern requested, but it is not supported")
    }

    pub(crate) fn command_not_found(name: &str) -> Self {
        Self::new(59, "CommandNotFound", format!("no such command: '{name}'"))
    }

    pub(crate) fn unrecognized_stage(name: &str) -> Self {
        Self::new(40324, "Location40324", format!("Unrecognized pipeline stage name: '{name}'"))
    }

    pub(crate) fn snapshot_too_old() -> Self {
        Self::new(239, "SnapshotTooOld", "Read timestamp is older than the oldest available timestamp.")
    }

    pub(crate) fn snapshot_unavailable() -> Self {
        Self::new(
            246,
            "SnapshotUnavailable",
            "Unable to read from a snapshot due to pending collection catalog changes",
        )
    }

    /// Whether the error tells of a change in the replica set, after which drivers ask the server for its role again.
    pub(crate) fn is_state_change(&self) -> bool {
        [91, 189, 10107, 11600, 11602, 13435, 13436].contains(&self.code)
    }

    pub(crate) fn to_document(&self) -> Document {
        let mut document = doc! { "ok": 0.0, "errmsg": &self.message, "code": self.code, "codeName": &self.name };
        if !self.labels.is_empty() {
            document.insert("errorLabels", &self.labels);
        }
        document
    }
}
