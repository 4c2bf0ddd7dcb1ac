//! `gold.conversation_analytics`: what goes on in conversations.
//!
//! Its figures are of the whole lifetime, so every run reads the narrow columns of all messages.

use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::table_name::TableName;

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
    schedule: Schedule::Daily,
    sql: include_str!("conversation_analytics.sql"),
};
