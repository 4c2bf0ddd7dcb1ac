//! Bronze: the documents of the sources, typed, one row per id, with where they came from.
//!
//! A bronze query adds the partition column and the metadata and nothing else. Decoding is done by
//! the source before it, the choice among several versions of a document by the write after it.

mod auth_users;
mod calls;
mod conversations;
mod messages;
mod users;

use crate::job::{JobDefinition, WriteMode};

/// How bronze tables are written: by id, the newest version wins.
const NEWEST_WINS: WriteMode = WriteMode::Upsert { newest: "updated_at" };

/// The jobs of the layer.
pub(crate) fn definitions() -> Vec<JobDefinition> {
    vec![messages::JOB, users::JOB, conversations::JOB, calls::JOB, auth_users::JOB]
}
