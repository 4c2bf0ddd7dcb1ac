//! `silver.conversations`: who talks with whom.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("silver", "conversations"),
        summary: "One row per conversation, with its participants of now. Holds conversations created after as_of too.",
        columns: &[
            Column::required("conversation_id", ColumnType::String, "The conversation.").key(),
            Column::required("type", ColumnType::String, "single, group, or what else the application says."),
            Column::optional("name", ColumnType::String, "Name of a group."),
            Column::required("has_avatar", ColumnType::Boolean, "Has a picture: not null and not only spaces."),
            Column::required(
                "participant_ids",
                ColumnType::List(&ColumnType::String),
                "Distinct participants, ascending by UTF-8 bytes.",
            ),
            Column::required("participant_count", ColumnType::Long, "Number of distinct participants."),
            Column::required("admin_count", ColumnType::Long, "Number of distinct admins."),
            Column::optional("last_message_at", ColumnType::Timestamp, "Last message according to the document."),
            Column::optional(
                "days_since_last_message",
                ColumnType::Long,
                "Days from the date of last_message_at to as_of_date, at least 0.",
            ),
            Column::required("is_archived", ColumnType::Boolean, "Put away by its participants."),
            Column::required("is_locked", ColumnType::Boolean, "Closed to new messages."),
            Column::required("is_active", ColumnType::Boolean, "last_message_at is in the last 30 days or later."),
            Column::required(
                "conversation_age_days",
                ColumnType::Long,
                "Days from the date of created_at to as_of_date, at least 0.",
            ),
            Column::required("created_at", ColumnType::Timestamp, "When it was made."),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    schedule: Schedule::Daily,
    checks: &[
        Check::at_least(
            "counts",
            &["participant_count", "admin_count", "days_since_last_message", "conversation_age_days"],
            0,
            "Counts and ages are not negative.",
        ),
        Check::condition(
            "participants",
            "participant_count = item_count(participant_ids)",
            &["participant_count"],
            "The count is that of the list.",
        ),
        Check::condition(
            "last_message",
            "(last_message_at IS NULL) = (days_since_last_message IS NULL)",
            &["last_message_at", "days_since_last_message"],
            "Both say when, or neither.",
        ),
        Check::condition(
            "is_active",
            "is_active = coalesce(days_since_last_message <= 29, false)",
            &["is_active", "days_since_last_message"],
            "Active means a message in the last 30 days.",
        ),
        Check::row_count("row_count", Some(10), None, "Conversations stay in the lake when they are deleted.").warn(),
    ],
    sql: include_str!("conversations.sql"),
};
