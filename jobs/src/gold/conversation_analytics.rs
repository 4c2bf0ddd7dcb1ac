//! `gold.conversation_analytics`: what goes on in conversations.
//!
//! Its figures are of the whole lifetime, so every run reads the narrow columns of all messages.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::{Concern, Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

const CONVERSATIONS: &str = "SELECT conversation_id FROM changed";

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("gold", "conversation_analytics"),
        summary: "One row per conversation of silver.conversations created before as_of, and calculation date. \
            Earlier dates are kept.",
        columns: &[
            Column::required("conversation_id", ColumnType::String, "The conversation.").key(),
            Column::required("calculation_date", ColumnType::Date, "as_of_date of the run.").key().partition(),
            Column::required("total_messages", ColumnType::Long, "Messages of any type, deleted ones included."),
            Column::required("messages_last_7", ColumnType::Long, "Messages of the last 7 days."),
            Column::required("messages_last_30", ColumnType::Long, "Messages of the last 30 days."),
            Column::required(
                "unique_participants_last_7",
                ColumnType::Long,
                "Distinct senders of the last 7 days, participants or not.",
            ),
            Column::required(
                "avg_messages_per_day",
                ColumnType::Double,
                "total_messages / days since the conversation was created, at least 1.",
            ),
            Column::optional(
                "avg_messages_per_participant",
                ColumnType::Double,
                "total_messages / participants of now; null without messages or participants.",
            ),
            Column::optional(
                "most_active_participant_id",
                ColumnType::String,
                "The sender of the most messages, participant or not, the smallest id on ties; null without messages.",
            ),
            Column::optional(
                "peak_activity_hour",
                ColumnType::Int,
                "UTC hour with the most messages, the earliest on ties; null without messages.",
            ),
            Column::optional(
                "dominant_message_type",
                ColumnType::String,
                "Type of the most messages, the smallest name on ties; null without messages.",
            ),
            Column::optional(
                "media_share_rate",
                ColumnType::Double,
                "Messages of type image, video, audio or file / total_messages; null without messages.",
            ),
            Column::optional(
                "reaction_rate",
                ColumnType::Double,
                "Reactions given before as_of / total_messages; null without messages.",
            ),
            Column::required(
                "conversation_health",
                ColumnType::String,
                "By the days since the last message and the messages of the last 7 days: dead (over 30 days, or no \
                 message), dying (over 14), quiet (fewer than 3 messages), thriving (10 or more), else active.",
            ),
        ],
    },
    write_mode: WriteMode::ReplacePartitions,
    incremental: Incremental {
        // On a later date all windows end later; on the same date a change concerns its conversation.
        unit: Some("conversation_id"),
        inputs: &[
            Dependency {
                table: TableName::new("silver", "conversations"),
                concerns: &[Concern::Rows { columns: &["participant_count", "created_at"], units: CONVERSATIONS }],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "messages"),
                concerns: &[Concern::Rows {
                    columns: &["conversation_id", "sender_id", "message_type", "created_at"],
                    units: CONVERSATIONS,
                }],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "reactions"),
                concerns: &[Concern::Rows { columns: &["conversation_id", "reacted_at"], units: CONVERSATIONS }],
                time: EventTime::Column("reacted_at"),
            },
        ],
        is_calendar: false,
    },
    schedule: Schedule::Daily,
    checks: &[
        Check::at_least(
            "counts",
            &[
                "total_messages",
                "messages_last_7",
                "messages_last_30",
                "unique_participants_last_7",
                "avg_messages_per_day",
                "avg_messages_per_participant",
                "reaction_rate",
            ],
            0,
            "Counts are not negative.",
        ),
        Check::between("peak_activity_hour", &["peak_activity_hour"], 0, 23, "Hours are those of the clock."),
        Check::between("media_share_rate", &["media_share_rate"], 0, 1, "It is a share."),
        Check::condition(
            "windows",
            "messages_last_7 <= messages_last_30 AND messages_last_30 <= total_messages AND unique_participants_last_7 <= messages_last_7",
            &["messages_last_7", "messages_last_30", "total_messages", "unique_participants_last_7"],
            "A part does not exceed its whole.",
        ),
        Check::condition(
            "without_messages",
            "(most_active_participant_id IS NULL) = (total_messages = 0) AND (peak_activity_hour IS NULL) = (total_messages = 0) \
            AND (media_share_rate IS NULL) = (total_messages = 0) AND (reaction_rate IS NULL) = (total_messages = 0)",
            &[
                "total_messages",
                "most_active_participant_id",
                "peak_activity_hour",
                "media_share_rate",
                "reaction_rate",
            ],
            "Rates of nothing are null, all others are known.",
        ),
        Check::accepted(
            "conversation_health",
            "conversation_health",
            &["dead", "dying", "quiet", "active", "thriving"],
            "There are five states.",
        ),
        Check::condition(
            "health_of_activity",
            "CASE WHEN messages_last_30 = 0 THEN conversation_health IN ('dead', 'dying') WHEN conversation_health = 'quiet' THEN messages_last_7 < 3 \
            WHEN conversation_health = 'thriving' THEN messages_last_7 >= 10 WHEN conversation_health = 'active' THEN messages_last_7 BETWEEN 3 AND 9 ELSE true END",
            &["messages_last_7", "messages_last_30", "conversation_health"],
            "Health follows from the last message and the messages of the last 7 days.",
        ),
        Check::condition("date", "calculation_date <= $as_of_date", &[], "The last date is that of as_of."),
        Check::relation(
            "conversation",
            "conversation_id",
            "silver.conversations",
            "conversation_id",
            "Only known conversations have a row.",
        ),
    ],
    query: Query::Sql(include_str!("conversation_analytics.sql")),
};
