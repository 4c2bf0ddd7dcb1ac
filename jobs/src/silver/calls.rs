//! `silver.calls`: every call, with who was in it.

use crate::check::Check;
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
            concerns: &[Concern::PARTITIONS],
            time: EventTime::Ignored,
        }],
        is_calendar: false,
    },
    schedule: Schedule::Hourly,
    checks: &[
        Check::between("hour", &["hour"], 0, 23, "Hours are those of the clock."),
        Check::condition(
            "calendar",
            "created_date = CAST(created_at AS DATE) AND hour = date_part('hour', created_at)",
            &["created_at", "created_date", "hour"],
            "Date and hour are those of created_at in UTC.",
        ),
        Check::accepted(
            "duration_category",
            "duration_category",
            &["short", "medium", "long", "unknown"],
            "There are four categories.",
        ),
        Check::condition(
            "category_of_duration",
            "duration_category = CASE WHEN duration_seconds IS NULL THEN 'unknown' WHEN duration_seconds < 60 THEN 'short' \
                WHEN duration_seconds < 600 THEN 'medium' ELSE 'long' END",
            &["duration_seconds", "duration_category"],
            "Short is under 60 s, medium under 600 s.",
        ),
        Check::at_least("duration", &["duration_seconds", "duration_minutes"], 0, "A negative duration is unknown."),
        Check::condition(
            "minutes",
            "(duration_seconds IS NULL) = (duration_minutes IS NULL) AND coalesce(duration_minutes = duration_seconds / 60, true)",
            &["duration_seconds", "duration_minutes"],
            "Both are the same length.",
        ),
        Check::condition(
            "participants",
            "participant_count = item_count(participants) + 1",
            &["participant_count"],
            "The initiator takes part besides the others.",
        ),
        Check::condition(
            "status",
            "is_completed = coalesce(status = 'ended', false) AND is_missed = coalesce(status = 'missed', false)",
            &["status", "is_completed", "is_missed"],
            "The flags follow from the status.",
        ),
        Check::row_count("row_count", Some(10), None, "Calls stay in the lake when they are deleted.").warn(),
    ],
    query: Query::Sql(include_str!("calls.sql")),
};
