//! `silver.conversations`: who talks with whom.
//!
//! The job that is written with data frames, as an example for queries that SQL says badly.

use arrow::datatypes::DataType;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::logical_expr::{cast, lit};
use datafusion::prelude::{Expr, btrim, coalesce, ident};

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::functions::{days_since, distinct_count, distinct_values};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::parameters::as_of_date;
use crate::query::{Frames, Query};
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
    query: Query::Frames { reads: &[TableName::new("bronze", "conversations")], build: conversations },
};

/// Grain: one row per conversation_id of bronze.conversations.
///
/// Invariants: participant_ids are distinct and ascending; last_message_at is what the document says, not what the
/// messages say; is_active looks at its date only, so a future one is active.
fn conversations(tables: &Frames) -> Result<DataFrame> {
    let days_to_today = |time: &str| days_since(cast(ident(time), DataType::Date32), as_of_date());
    let is_known_and = |condition: Expr| coalesce(vec![condition, lit(false)]);
    let has_text = |column: &str| btrim(vec![ident(column)]).not_eq(lit(""));
    tables.table("bronze", "conversations")?.select(vec![
        ident("conversation_id"),
        ident("type"),
        ident("name"),
        is_known_and(has_text("avatar")).alias("has_avatar"),
        distinct_values(ident("participants"), Some("user_id")).alias("participant_ids"),
        distinct_count(ident("participants"), Some("user_id")).alias("participant_count"),
        distinct_count(ident("admins"), None).alias("admin_count"),
        ident("last_message_at"),
        days_to_today("last_message_at").alias("days_since_last_message"),
        ident("is_archived"),
        ident("is_locked"),
        is_known_and(days_to_today("last_message_at").lt_eq(lit(29_i64))).alias("is_active"),
        days_to_today("created_at").alias("conversation_age_days"),
        ident("created_at"),
    ])
}
