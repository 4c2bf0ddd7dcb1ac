//! `silver.calls`: every call, with who was in it.

use crate::column::{Column, ColumnType, StructField};
use crate::contract::Contract;
use crate::incremental::{Concern, Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

const PARTICIPANT: ColumnType = ColumnType::Struct(&[
    StructField::required("user_id", ColumnType::String),
    StructField::optional("joined_at", ColumnType::Timestamp),
]);

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("silver", "calls"),
        summary: "One row per call; calls after as_of too.",
        columns: &[
            Column::required("call_id", ColumnType::String, "The call.").key(),
            Column::optional("conversation_id", ColumnType::String, "The conversation that was called."),
            Column::required("initiator_id", ColumnType::String, "The user who called."),
            Column::required(
                "participants",
                ColumnType::List(&PARTICIPANT),
                "The others, one entry per user, ascending by user_id; joined_at is null for who did not join.",
            ),
            Column::required("participant_count", ColumnType::Long, "Distinct users, the initiator included."),
            Column::optional("type", ColumnType::String, "audio, video, or what else the application says."),
            Column::optional(
                "status",
                ColumnType::String,
                "initiated, ongoing, ended, missed, rejected, failed, or what else the application says.",
            ),
            Column::required("is_completed", ColumnType::Boolean, "status is ended."),
            Column::required("is_missed", ColumnType::Boolean, "status is missed."),
            Column::optional("duration_seconds", ColumnType::Double, "Length in seconds; null when unknown."),
            Column::optional("duration_minutes", ColumnType::Double, "Length in minutes; null when unknown."),
            Column::required(
                "duration_category",
                ColumnType::String,
                "short under 60 s, medium under 600 s, long, unknown when null.",
            ),
            Column::required("created_at", ColumnType::Timestamp, "When the call was placed."),
            Column::required("created_date", ColumnType::Date, "UTC date of created_at.").partition(),
            Column::required("hour", ColumnType::Int, "UTC hour of created_at, 0 to 23."),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    incremental: Incremental {
        unit: Some("created_date"),
        inputs: &[Dependency {
            table: TableName::new("bronze", "calls"),
            concerns: &[Concern::Partitions],
            time: EventTime::Ignored,
        }],
        is_calendar: false,
    },
    schedule: Schedule::Hourly,
    query: Query::Sql(include_str!("calls.sql")),
};
