//! `bronze.calls`: audio and video calls as the application stores them.

use crate::bronze::{FROM_MONGODB, KNOWN_TIME, NEVER_SHRINKS, NEWEST_WINS, PARTITIONED_BY_DATE};
use crate::check::Check;
use crate::column::{Column, ColumnType, StructField};
use crate::contract::{Contract, INGESTED_AT, RUN_ID, SOURCE_SYSTEM};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule};
use crate::query::Query;
use crate::table_name::TableName;

const PARTICIPANT: ColumnType = ColumnType::Struct(&[
    StructField::required("user_id", ColumnType::String),
    StructField::optional("joined_at", ColumnType::Timestamp),
    StructField::optional("left_at", ColumnType::Timestamp),
]);

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("bronze", "calls"),
        summary: "One row per call document of MongoDB, the newest version of each.",
        columns: &[
            Column::required("call_id", ColumnType::String, "`_id` of the document; an ObjectId as 24 hex digits.")
                .key(),
            Column::optional(
                "conversation_id",
                ColumnType::String,
                "The conversation that was called (`conversationId`).",
            ),
            Column::required("initiator_id", ColumnType::String, "The user who called (`initiatorId`)."),
            Column::required(
                "participants",
                ColumnType::List(&PARTICIPANT),
                "Who was called or took part, as the document lists them; may hold the initiator.",
            ),
            Column::optional("type", ColumnType::String, "audio, video, or what else the document says."),
            Column::optional(
                "status",
                ColumnType::String,
                "initiated, ongoing, ended (`completed` too), missed, rejected, failed, or what else the document says.",
            ),
            Column::optional("started_at", ColumnType::Timestamp, "`startTime`, else `startedAt`."),
            Column::optional("ended_at", ColumnType::Timestamp, "`endTime`, else `endedAt`."),
            Column::optional(
                "duration_seconds",
                ColumnType::Double,
                "`duration`, else ended_at minus started_at; null when unknown or negative.",
            ),
            Column::required("created_at", ColumnType::Timestamp, "When the call was placed (`createdAt`)."),
            Column::required(
                "updated_at",
                ColumnType::Timestamp,
                "When the document last changed (`updatedAt`, else `createdAt`).",
            ),
            Column::required("created_date", ColumnType::Date, "UTC date of created_at.").partition(),
            INGESTED_AT,
            SOURCE_SYSTEM,
            RUN_ID,
        ],
    },
    write_mode: NEWEST_WINS,
    incremental: Incremental::EVERYTHING,
    schedule: Schedule::Hourly,
    checks: &[
        Check::condition(
            "ids",
            "call_id <> '' AND initiator_id <> ''",
            &["initiator_id"],
            "A document with an empty id is quarantined.",
        ),
        Check::condition(
            "optional_ids",
            "conversation_id <> ''",
            &["conversation_id"],
            "An empty optional id is null.",
        ),
        Check::at_least("duration", &["duration_seconds"], 0, "A negative duration is unknown."),
        Check::condition("status", "status <> 'completed'", &["status"], "completed and ended are one: ended."),
        PARTITIONED_BY_DATE,
        KNOWN_TIME,
        FROM_MONGODB,
        NEVER_SHRINKS,
    ],
    query: Query::Sql(include_str!("calls.sql")),
};
