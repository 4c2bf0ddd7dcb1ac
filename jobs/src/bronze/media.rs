//! `bronze.media`: the objects that users sent, as the store lists them.
//!
//! Objects are listed, never opened. A listing that lacks an object says nothing about it (exports hold parts of a
//! store), so rows stay when objects vanish. An export without a media folder gives an empty table and a warning.

use crate::bronze::{FROM_S3, NEVER_SHRINKS};
use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::{Contract, INGESTED_AT, RUN_ID, SOURCE_SYSTEM};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("bronze", "media"),
        summary: "One row per object that was ever seen under the media prefix, as it was last modified. An export \
            without a media folder leaves the table as it is, or makes it empty.",
        columns: &[
            Column::required("key", ColumnType::String, "Path below the media folder, with `/` between its parts.")
                .key(),
            Column::required("size_bytes", ColumnType::Long, "Size of the object."),
            Column::optional(
                "etag",
                ColumnType::String,
                "The store's tag of the content, without quotation marks; null for a local folder.",
            ),
            Column::required("last_modified", ColumnType::Timestamp, "When the object was last written."),
            Column::required(
                "content_type",
                ColumnType::String,
                "By the extension of the key; application/octet-stream when it is none that is known.",
            ),
            INGESTED_AT,
            SOURCE_SYSTEM,
            RUN_ID,
        ],
    },
    write_mode: WriteMode::Upsert { newest: "last_modified" },
    incremental: Incremental::EVERYTHING,
    schedule: Schedule::Daily,
    checks: &[
        Check::condition("keys", "key <> ''", &[], "An object has a name."),
        Check::at_least("size", &["size_bytes"], 0, "Sizes are not negative."),
        FROM_S3,
        NEVER_SHRINKS,
    ],
    query: Query::Sql(include_str!("media.sql")),
};
