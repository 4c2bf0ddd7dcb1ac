//! The MongoDB documents, one module a collection; each document is a pure function of its index and version.

pub(crate) mod call;
pub(crate) mod conversation;
pub(crate) mod message;
pub(crate) mod notification;
pub(crate) mod user;

/// Which state of a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The one that each document has.
    Current,
    /// An earlier or later state with another update time. Where time leaves no room for one, the current state again.
    Other,
}
