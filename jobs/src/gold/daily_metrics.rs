//! `gold.daily_metrics`: the chat day by day.

use crate::check::Check;
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
                // Not who has read a message, or that it was edited.
                concerns: &[Concern::Partitions {
                    columns: Some(&["conversation_id", "message_type", "attachment_bytes", "created_at"]),
                }],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "calls"),
                concerns: &[Concern::PARTITIONS],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "reactions"),
                concerns: &[Concern::PARTITIONS],
                time: EventTime::Column("reacted_at"),
            },
            Dependency {
                table: TableName::new("silver", "user_activity"),
                concerns: &[Concern::PARTITIONS],
                // Activity after as_of_date is not looked at; the dates that as_of_date has passed are new ones.
                time: EventTime::Ignored,
            },
        ],
        is_calendar: true,
    },
    schedule: Schedule::Daily,
    checks: &[
        Check::at_least(
            "counts",
            &[
                "total_users",
                "active_users",
                "new_users",
                "total_messages",
                "text_messages",
                "media_messages",
                "total_calls",
                "audio_calls",
                "video_calls",
                "total_conversations",
                "active_conversations",
                "new_conversations",
                "total_reactions",
            ],
            0,
            "Counts are not negative.",
        ),
        Check::at_least(
            "amounts",
            &[
                "total_call_duration_minutes",
                "avg_call_duration_minutes",
                "avg_messages_per_user",
                "avg_sessions_per_user",
            ],
            0,
            "Durations and averages are not negative.",
        ),
        Check::between("peak_hour", &["peak_hour"], 0, 23, "Hours are those of the clock."),
        Check::condition("date", "metric_date <= $as_of_date", &[], "The last date is that of as_of."),
        Check::condition(
            "messages_by_type",
            "map_total(messages_by_type) = total_messages",
            &["messages_by_type", "total_messages"],
            "Every message has one type.",
        ),
        Check::condition(
            "parts",
            "text_messages + media_messages <= total_messages AND audio_calls + video_calls <= total_calls \
                AND active_conversations <= total_messages AND new_users <= total_users \
                AND new_conversations <= total_conversations",
            &[
                "total_messages",
                "text_messages",
                "media_messages",
                "total_calls",
                "audio_calls",
                "video_calls",
                "active_conversations",
                "total_users",
                "new_users",
                "total_conversations",
                "new_conversations",
            ],
            "A part does not exceed its whole.",
        ),
        Check::condition(
            "without_activity",
            "(peak_hour IS NULL) = (total_messages = 0) AND (avg_messages_per_user IS NULL) = (active_users = 0) \
                AND (avg_sessions_per_user IS NULL) = (active_users = 0)",
            &["total_messages", "active_users", "peak_hour", "avg_messages_per_user", "avg_sessions_per_user"],
            "Hours and averages of nothing are null, all others are known.",
        ),
        Check::query(
            "totals_never_fall",
            "SELECT * FROM ( \
                SELECT \
                    *, \
                    lag(total_users) OVER (ORDER BY metric_date) AS users_before, \
                    lag(total_conversations) OVER (ORDER BY metric_date) AS conversations_before \
                FROM checked \
            ) AS days WHERE total_users <> coalesce(users_before, 0) + new_users \
                OR total_conversations <> coalesce(conversations_before, 0) + new_conversations",
            &["total_users", "new_users", "total_conversations", "new_conversations"],
            "Totals are those of the day before and what is new; so they never fall.",
        ),
        Check::query(
            "every_date",
            "SELECT * FROM ( \
                SELECT *, lag(metric_date) OVER (ORDER BY metric_date) AS date_before FROM checked \
            ) AS days WHERE metric_date <> date_before + INTERVAL '1 day'",
            &[],
            "Every date from the first to the last has a row.",
        ),
    ],
    query: Query::Sql(include_str!("daily_metrics.sql")),
};
