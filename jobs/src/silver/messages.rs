//! `silver.messages`: every message, flat.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::{Concern, Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
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
    incremental: Incremental {
        unit: Some("created_date"),
        inputs: &[
            Dependency {
                table: TableName::new("bronze", "messages"),
                concerns: &[Concern::PARTITIONS],
                time: EventTime::Ignored,
            },
            Dependency {
                table: TableName::new("silver", "users"),
                concerns: &[Concern::Rows {
                    columns: &["user_id", "display_name"],
                    units: "SELECT messages.created_date FROM changed \
                        JOIN bronze.messages AS messages ON messages.sender_id = changed.user_id",
                }],
                time: EventTime::Ignored,
            },
        ],
        is_calendar: false,
    },
    schedule: Schedule::Hourly,
    checks: &[
        Check::condition(
            "ids",
            "message_id <> '' AND conversation_id <> '' AND sender_id <> ''",
            &["conversation_id", "sender_id"],
            "Only messages with a known conversation and sender are here.",
        ),
        Check::between("hour", &["hour"], 0, 23, "Hours are those of the clock."),
        Check::between("day_of_week", &["day_of_week"], 1, 7, "ISO days of the week."),
        Check::condition(
            "calendar",
            "created_date = CAST(created_at AS DATE) AND hour = date_part('hour', created_at) \
                AND day_of_week = date_part('isodow', created_date) AND is_weekend = (day_of_week >= 6)",
            &["created_at", "created_date", "hour", "day_of_week", "is_weekend"],
            "Date, hour, day and weekend are those of created_at in UTC.",
        ),
        Check::at_least(
            "counts",
            &["content_length", "attachment_count", "reaction_count", "unique_reactors", "read_count"],
            0,
            "Counts are not negative.",
        ),
        Check::condition(
            "attachments",
            "has_attachments = (attachment_count > 0) AND item_count(attachment_types) <= attachment_count",
            &["has_attachments", "attachment_count"],
            "The columns on attachments agree.",
        ),
        Check::condition(
            "reactions",
            "unique_reactors <= reaction_count AND (unique_reactors = 0) = (reaction_count = 0)",
            &["reaction_count", "unique_reactors"],
            "Who reacted did so at least once.",
        ),
        Check::condition(
            "reply",
            "is_reply = (reply_to_message_id IS NOT NULL)",
            &["is_reply", "reply_to_message_id"],
            "A reply names what it answers.",
        ),
        Check::condition(
            "encrypted",
            "NOT is_encrypted OR content_length IS NULL",
            &["is_encrypted", "content_length"],
            "An encrypted message has no readable content.",
        ),
        Check::relation(
            "sender",
            "sender_id",
            "silver.users",
            "user_id",
            "Messages of unknown senders count, but a sudden lot of them means that users are missing.",
        )
        .warn(),
        Check::row_count("row_count", Some(10), None, "Messages stay in the lake when they are deleted.").warn(),
    ],
    query: Query::Sql(include_str!("messages.sql")),
};
