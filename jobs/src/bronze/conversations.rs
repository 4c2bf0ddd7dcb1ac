//! `bronze.conversations`: conversations as the application stores them.

use crate::bronze::{FROM_MONGODB, KNOWN_TIME, NEVER_SHRINKS, NEWEST_WINS, PARTITIONED_BY_MONTH};
use crate::check::Check;
use crate::column::{Column, ColumnType, StructField};
use crate::contract::{Contract, INGESTED_AT, RUN_ID, SOURCE_SYSTEM};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule};
use crate::query::Query;
use crate::table_name::TableName;

const PARTICIPANT: ColumnType = ColumnType::Struct(&[
    StructField::required("user_id", ColumnType::String),
    StructField::optional("joined_at", ColumnType::Timestamp),
]);

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("bronze", "conversations"),
        summary: "One row per conversation document of MongoDB, the newest version of each. The participants are those \
            of now; who left is not known.",
        columns: &[
            Column::required(
                "conversation_id",
                ColumnType::String,
                "`_id` of the document; an ObjectId as 24 hex digits.",
            )
            .key(),
            Column::required(
                "type",
                ColumnType::String,
                "single (also when missing), group, or what else the document says.",
            ),
            Column::optional("name", ColumnType::String, "Name of a group."),
            Column::optional("avatar", ColumnType::String, "Address of the group's picture."),
            Column::required(
                "participants",
                ColumnType::List(&PARTICIPANT),
                "Who takes part, as the document lists them; ids alone have no joined_at.",
            ),
            Column::required("admins", ColumnType::List(&ColumnType::String), "Ids of the users who run the group."),
            Column::optional("last_message_id", ColumnType::String, "`lastMessageId`, else `lastMessage`."),
            Column::optional("last_message_at", ColumnType::Timestamp, "`lastMessageAt`."),
            Column::required("is_archived", ColumnType::Boolean, "`isArchived`; missing means false."),
            Column::required("is_locked", ColumnType::Boolean, "`isLocked`; missing means false."),
            Column::optional("created_by", ColumnType::String, "The user who made it (`createdBy`)."),
            Column::required("created_at", ColumnType::Timestamp, "When it was made (`createdAt`)."),
            Column::required(
                "updated_at",
                ColumnType::Timestamp,
                "When the document last changed (`updatedAt`, else `createdAt`).",
            ),
            Column::required("created_month", ColumnType::Date, "First day of the UTC month of created_at.")
                .partition(),
            INGESTED_AT,
            SOURCE_SYSTEM,
            RUN_ID,
        ],
    },
    write_mode: NEWEST_WINS,
    incremental: Incremental::EVERYTHING,
    schedule: Schedule::Daily,
    checks: &[
        Check::condition(
            "ids",
            "conversation_id <> ''",
            &["conversation_id"],
            "A document with an empty id is quarantined.",
        ),
        Check::condition(
            "optional_ids",
            "coalesce(last_message_id, 'none') <> '' AND coalesce(created_by, 'none') <> ''",
            &["last_message_id"],
            "An empty optional id is null.",
        ),
        PARTITIONED_BY_MONTH,
        KNOWN_TIME,
        FROM_MONGODB,
        NEVER_SHRINKS,
    ],
    query: Query::Sql(include_str!("conversations.sql")),
};
