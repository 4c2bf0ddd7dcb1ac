//! `gold.daily_metrics`: the chat day by day.

use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::{Concern, Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

/// Totals count what was created on or before a date, so a creation concerns all dates from its own on.
const TOTALS_FROM_CREATION: Concern = Concern::Rows {
    columns: &["created_at"],
    units: "SELECT unnest(dates) AS metric_date FROM ( \
        SELECT dates_between(min(CAST(created_at AS DATE)), $as_of_date) AS dates FROM changed) AS created",
};

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("gold", "daily_metrics"),
        summary: "One row per calendar date from the first one with data to as_of_date, dates without activity included.",
        columns: &[
            Column::required("metric_date", ColumnType::Date, "The UTC date.").key(),
            Column::required("total_users", ColumnType::Long, "Users created on or before the date."),
            Column::required(
                "active_users",
                ColumnType::Long,
                "Users who sent a message, gave a reaction, placed or joined a call (DAU), unknown ones included.",
            ),
            Column::required("new_users", ColumnType::Long, "Users created on the date."),
            Column::required("total_messages", ColumnType::Long, "Messages of any type, deleted ones included."),
            Column::required("text_messages", ColumnType::Long, "Messages of type text."),
            Column::required("media_messages", ColumnType::Long, "Messages of type image, video, audio or file."),
            Column::required(
                "messages_by_type",
                ColumnType::Map(&ColumnType::String, &ColumnType::Long),
                "Messages per type, only types that occur.",
            ),
            Column::required("total_calls", ColumnType::Long, "Calls of any status."),
            Column::required("audio_calls", ColumnType::Long, "Calls of type audio."),
            Column::required("video_calls", ColumnType::Long, "Calls of type video."),
            Column::required("total_call_duration_minutes", ColumnType::Double, "Minutes of ended calls, 0 when none."),
            Column::optional(
                "avg_call_duration_minutes",
                ColumnType::Double,
                "Mean over ended calls of known length; null when none.",
            ),
            Column::required("total_conversations", ColumnType::Long, "Conversations created on or before the date."),
            Column::required("active_conversations", ColumnType::Long, "Conversations with a message."),
            Column::required("new_conversations", ColumnType::Long, "Conversations created on the date."),
            Column::required("total_reactions", ColumnType::Long, "Reactions given."),
            Column::optional(
                "avg_messages_per_user",
                ColumnType::Double,
                "total_messages / active_users; null without active users.",
            ),
            Column::optional(
                "avg_sessions_per_user",
                ColumnType::Double,
                "Sessions that start on the date / active_users; null without active users.",
            ),
            Column::optional(
                "peak_hour",
                ColumnType::Int,
                "UTC hour with the most messages, the earliest on ties; null without messages.",
            ),
            Column::required("media_bytes", ColumnType::Long, "Bytes of all attachments."),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    incremental: Incremental {
        unit: Some("metric_date"),
        inputs: &[
            Dependency {
                table: TableName::new("silver", "users"),
                concerns: &[TOTALS_FROM_CREATION],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "conversations"),
                concerns: &[TOTALS_FROM_CREATION],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "messages"),
                concerns: &[Concern::Partitions],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "calls"),
                concerns: &[Concern::Partitions],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "reactions"),
                concerns: &[Concern::Partitions],
                time: EventTime::Column("reacted_at"),
            },
            Dependency {
                table: TableName::new("silver", "user_activity"),
                concerns: &[Concern::Partitions],
                // Activity after as_of_date is not looked at; the dates that as_of_date has passed are new ones.
                time: EventTime::Ignored,
            },
        ],
        is_calendar: true,
    },
    schedule: Schedule::Daily,
    query: Query::Sql(include_str!("daily_metrics.sql")),
};
