//! Bronze: the documents of the sources, typed, one row per id, with where they came from.
//!
//! A bronze query adds the partition column and the metadata and nothing else. Decoding is done by
//! the source before it, the choice among several versions of a document by the write after it.
//!
//! A source that an export lacks is no error: the export is then read as one with an empty collection, with a
//! warning, so that dumps of a part of the sources stay usable. Rows that earlier runs ingested stay.

mod audit_logs;
mod auth_sessions;
mod auth_users;
mod calls;
mod conversations;
mod media;
mod messages;
mod notifications;
mod users;

use crate::job::{JobDefinition, WriteMode};

/// How bronze tables are written: by id, the newest version wins.
const NEWEST_WINS: WriteMode = WriteMode::Upsert { newest: "updated_at" };

/// The jobs of the layer.
pub(crate) fn definitions() -> Vec<JobDefinition> {
    vec![
        messages::JOB,
        users::JOB,
        conversations::JOB,
        calls::JOB,
        notifications::JOB,
        auth_users::JOB,
        auth_sessions::JOB,
        audit_logs::JOB,
        media::JOB,
    ]
}
