//! `silver.media`: which message uses an object.
//!
//! Addresses stand only in bronze.messages. Every message counts as a user, deleted ones and those after as_of too:
//! an object that is called an orphan may be deleted by somebody who trusts this table.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::{Concern, Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

/// The objects that messages which changed have as attachments, or had.
const ATTACHED_OBJECTS: &str = "SELECT media_key(url) AS key FROM ( \
        SELECT unnest(urls) AS url FROM ( \
            SELECT distinct_values(attachments, 'url') AS urls FROM changed WHERE item_count(attachments) > 0 \
        ) AS listed \
        WHERE item_count(urls) > 0 \
    ) AS addresses";

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("silver", "media"),
        summary: "One row per media object, with the first message that has it as an attachment; previews do not \
            count as use.",
        columns: &[
            Column::required("key", ColumnType::String, "The object: its path below the media prefix.").key(),
            Column::required("size_bytes", ColumnType::Long, "Size of the object."),
            Column::required("content_type", ColumnType::String, "By the extension of the key."),
            Column::optional(
                "message_id",
                ColumnType::String,
                "The earliest message that uses the object, the smallest id on ties; null when none does.",
            ),
            Column::required("is_orphan", ColumnType::Boolean, "No message uses the object."),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    incremental: Incremental {
        unit: Some("key"),
        inputs: &[
            Dependency {
                table: TableName::new("bronze", "media"),
                concerns: &[Concern::Rows {
                    columns: &["size_bytes", "content_type"],
                    units: "SELECT key FROM changed",
                }],
                time: EventTime::Ignored,
            },
            Dependency {
                table: TableName::new("bronze", "messages"),
                concerns: &[Concern::Rows {
                    columns: &["conversation_id", "sender_id", "created_at", "attachments"],
                    units: ATTACHED_OBJECTS,
                }],
                time: EventTime::Ignored,
            },
        ],
        is_calendar: false,
    },
    schedule: Schedule::Daily,
    checks: &[
        Check::at_least("size", &["size_bytes"], 0, "Sizes are not negative."),
        Check::condition(
            "is_orphan",
            "is_orphan = (message_id IS NULL)",
            &["is_orphan", "message_id"],
            "An orphan is used by no message.",
        ),
    ],
    query: Query::Sql(include_str!("media.sql")),
};
