//! `silver.conversations`: who talks with whom.

use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::Incremental;
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
    incremental: Incremental::EVERYTHING,
    schedule: Schedule::Daily,
    sql: include_str!("conversations.sql"),
};
