//! `bronze.notifications`: notices that the application showed to users.
//!
//! An export without notifications is usual (the collection came late, and older dumps lack it): the table is then
//! empty, with a warning, and jobs that read it run.

use crate::bronze::{FROM_MONGODB, KNOWN_TIME, NEVER_SHRINKS, NEWEST_WINS, PARTITIONED_BY_MONTH};
use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::{Contract, INGESTED_AT, RUN_ID, SOURCE_SYSTEM};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("bronze", "notifications"),
        summary: "One row per notification document of MongoDB, the newest version of each. An export without any \
            leaves the table as it is, or makes it empty.",
        columns: &[
            Column::required(
                "notification_id",
                ColumnType::String,
                "`_id` of the document; an ObjectId as 24 hex digits.",
            )
            .key(),
            Column::required("user_id", ColumnType::String, "The user who was notified (`userId`)."),
            Column::optional("type", ColumnType::String, "What it is about, as the application says."),
            Column::optional("title", ColumnType::String, "The text that was shown."),
            Column::required("is_read", ColumnType::Boolean, "`isRead`; missing means false."),
            Column::required("created_at", ColumnType::Timestamp, "When it was made (`createdAt`)."),
            Column::optional("read_at", ColumnType::Timestamp, "When it was read (`readAt`)."),
            Column::required(
                "updated_at",
                ColumnType::Timestamp,
                "When the document last changed (`updatedAt`, else the later of `createdAt` and `readAt`).",
            ),
            Column::required("created_month", ColumnType::Date, "First day of the UTC month of created_at.")
                .partition(),
            INGESTED_AT,
            SOURCE_SYSTEM,
            RUN_ID,
        ],
    },
    write_mode: NEWEST_WINS,
    incremental: Incremental::EVERYTHING,
    schedule: Schedule::Daily,
    checks: &[
        Check::condition(
            "ids",
            "notification_id <> '' AND user_id <> ''",
            &["user_id"],
            "A document with an empty id is quarantined.",
        ),
        PARTITIONED_BY_MONTH,
        KNOWN_TIME,
        FROM_MONGODB,
        NEVER_SHRINKS,
    ],
    query: Query::Sql(include_str!("notifications.sql")),
};
