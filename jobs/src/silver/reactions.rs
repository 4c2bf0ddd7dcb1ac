//! `silver.reactions`: who reacted to what.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::{Concern, Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("silver", "reactions"),
        summary: "One row per message, user and emoji: the earliest such reaction; reactions after as_of too.",
        columns: &[
            Column::required("message_id", ColumnType::String, "The message.").key(),
            Column::required("user_id", ColumnType::String, "The user who reacted.").key(),
            Column::required("emoji", ColumnType::String, "The reaction, verbatim.").key(),
            Column::required("conversation_id", ColumnType::String, "The message's conversation."),
            Column::required(
                "message_sender_id",
                ColumnType::String,
                "The message's sender, who may be the same user.",
            ),
            Column::required(
                "reacted_at",
                ColumnType::Timestamp,
                "When; the message's created_at where the reaction has no time.",
            ),
            Column::required("reacted_date", ColumnType::Date, "UTC date of reacted_at.").partition(),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    incremental: Incremental {
        unit: Some("message_id"),
        inputs: &[Dependency {
            table: TableName::new("bronze", "messages"),
            concerns: &[Concern::Rows {
                columns: &["conversation_id", "sender_id", "created_at", "reactions"],
                units: "SELECT message_id FROM changed WHERE item_count(reactions) > 0",
            }],
            time: EventTime::Ignored,
        }],
        is_calendar: false,
    },
    schedule: Schedule::Hourly,
    checks: &[
        Check::condition(
            "ids",
            "message_id <> '' AND user_id <> '' AND emoji <> '' AND conversation_id <> '' AND message_sender_id <> ''",
            &["conversation_id", "message_sender_id"],
            "A reaction is by somebody to some message.",
        ),
        Check::condition(
            "calendar",
            "reacted_date = CAST(reacted_at AS DATE)",
            &["reacted_at", "reacted_date"],
            "The date is that of reacted_at in UTC.",
        ),
        Check::relation(
            "message",
            "message_id",
            "bronze.messages",
            "message_id",
            "Reactions stand in the documents of messages.",
        )
        .on_demand(),
    ],
    query: Query::Sql(include_str!("reactions.sql")),
};
