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

use crate::check::Check;
use crate::job::{JobDefinition, WriteMode};

/// How bronze tables are written: by id, the newest version wins.
const NEWEST_WINS: WriteMode = WriteMode::Upsert { newest: "updated_at" };

/// Documents are of their system, also when read from an export.
const FROM_MONGODB: Check =
    Check::accepted("source_system", "source_system", &["mongodb"], "The rows come from MongoDB by origin.");
/// See [`FROM_MONGODB`].
const FROM_MYSQL: Check =
    Check::accepted("source_system", "source_system", &["mysql"], "The rows come from MySQL by origin.");

/// Times outside are quarantined.
const KNOWN_TIME: Check = Check::condition(
    "known_time",
    "CAST(created_at AS DATE) BETWEEN DATE '1970-01-01' AND DATE '9999-12-31'",
    &["created_at"],
    "Instants before 1970 and after 9999 are mistakes.",
);

/// For tables that are partitioned by created_date.
const PARTITIONED_BY_DATE: Check = Check::condition(
    "created_date",
    "created_date = CAST(created_at AS DATE)",
    &["created_at", "created_date"],
    "The partition is the UTC date of created_at.",
);
/// For tables that are partitioned by created_month.
const PARTITIONED_BY_MONTH: Check = Check::condition(
    "created_month",
    "created_month = first_of_month(CAST(created_at AS DATE))",
    &["created_at", "created_month"],
    "The partition is the first day of the UTC month of created_at.",
);

/// A merge by id takes no row away.
const NEVER_SHRINKS: Check =
    Check::row_count("row_count", Some(0), None, "What was deleted at the source stays in the lake.");

/// Bronze of the media store says so.
const FROM_S3: Check =
    Check::accepted("source_system", "source_system", &["s3"], "The rows come from the media store by origin.");

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
