//! `silver.messages`: every message, flat.

use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("silver", "messages"),
        summary: "One row per message with a known conversation, sender and time; edited, deleted and future ones too.",
        columns: &[
            Column::required("message_id", ColumnType::String, "The message.").key(),
            Column::required("conversation_id", ColumnType::String, "The conversation that it was sent to.")
                .clustered(),
            Column::required("sender_id", ColumnType::String, "The user who sent it; need not be in silver.users.")
                .clustered(),
            Column::optional(
                "sender_name",
                ColumnType::String,
                "The sender's display name of now; null when there is none.",
            ),
            Column::required(
                "message_type",
                ColumnType::String,
                "text, image, video, audio, file, call, huddle, system, or what else the application says.",
            ),
            Column::optional("content", ColumnType::String, "The text; null when missing or encrypted."),
            Column::optional(
                "content_length",
                ColumnType::Long,
                "Unicode code points of the content; null without content.",
            ),
            Column::required("has_attachments", ColumnType::Boolean, "attachment_count > 0."),
            Column::required(
                "attachment_count",
                ColumnType::Long,
                "Number of attachments; one sent twice counts twice.",
            ),
            Column::required(
                "attachment_types",
                ColumnType::List(&ColumnType::String),
                "Their distinct types, ascending by UTF-8 bytes.",
            ),
            Column::required(
                "attachment_bytes",
                ColumnType::Long,
                "Sum of their sizes in bytes, an unknown size as 0.",
            ),
            Column::required("reaction_count", ColumnType::Long, "Distinct (user, emoji) pairs."),
            Column::required("unique_reactors", ColumnType::Long, "Distinct users who reacted."),
            Column::required("is_reply", ColumnType::Boolean, "Answers another message."),
            Column::optional("reply_to_message_id", ColumnType::String, "The message that it answers."),
            Column::required("is_edited", ColumnType::Boolean, "Edited after sending."),
            Column::required("is_deleted", ColumnType::Boolean, "Deleted by its sender."),
            Column::required("is_forwarded", ColumnType::Boolean, "Forwarded from elsewhere."),
            Column::required("is_encrypted", ColumnType::Boolean, "Only the encrypted content is stored."),
            Column::required("read_count", ColumnType::Long, "Distinct users who read it."),
            Column::required("created_at", ColumnType::Timestamp, "When it was sent."),
            Column::required("updated_at", ColumnType::Timestamp, "When it last changed."),
            Column::required("created_date", ColumnType::Date, "UTC date of created_at.").partition(),
            Column::required("hour", ColumnType::Int, "UTC hour of created_at, 0 to 23."),
            Column::required("day_of_week", ColumnType::Int, "ISO day of created_date, 1 Monday to 7 Sunday."),
            Column::required("is_weekend", ColumnType::Boolean, "Saturday or Sunday."),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    schedule: Schedule::Hourly,
    sql: include_str!("messages.sql"),
};
