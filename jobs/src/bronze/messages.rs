//! `bronze.messages`: chat messages as the application stores them.

use crate::bronze::{FROM_MONGODB, KNOWN_TIME, NEVER_SHRINKS, NEWEST_WINS, PARTITIONED_BY_DATE};
use crate::check::Check;
use crate::column::{Column, ColumnType, StructField};
use crate::contract::{Contract, INGESTED_AT, RUN_ID, SOURCE_SYSTEM};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule};
use crate::query::Query;
use crate::table_name::TableName;

const ATTACHMENT: ColumnType = ColumnType::Struct(&[
    StructField::optional("type", ColumnType::String),
    StructField::optional("url", ColumnType::String),
    StructField::optional("filename", ColumnType::String),
    StructField::optional("size_bytes", ColumnType::Long),
    StructField::optional("mime_type", ColumnType::String),
    StructField::optional("thumbnail_url", ColumnType::String),
    StructField::optional("duration_seconds", ColumnType::Double),
    StructField::optional("width", ColumnType::Int),
    StructField::optional("height", ColumnType::Int),
]);

const REACTION: ColumnType = ColumnType::Struct(&[
    StructField::required("user_id", ColumnType::String),
    StructField::required("emoji", ColumnType::String),
    StructField::optional("created_at", ColumnType::Timestamp),
]);

const READ_RECEIPT: ColumnType = ColumnType::Struct(&[
    StructField::required("user_id", ColumnType::String),
    StructField::optional("read_at", ColumnType::Timestamp),
]);

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("bronze", "messages"),
        summary: "One row per message document of MongoDB, the newest version of each. List elements that occur twice \
            in the document are kept.",
        columns: &[
            Column::required("message_id", ColumnType::String, "`_id` of the document; an ObjectId as 24 hex digits.")
                .key(),
            Column::required("conversation_id", ColumnType::String, "The conversation (`conversationId`)."),
            Column::required("sender_id", ColumnType::String, "The user who sent it (`senderId`)."),
            Column::required(
                "message_type",
                ColumnType::String,
                "text (also when missing), image, video, audio, file, call, huddle, system, or what else the document says (`type`).",
            ),
            Column::optional("content", ColumnType::String, "The text; null when missing or encrypted."),
            Column::required("is_encrypted", ColumnType::Boolean, "There is `encryptedContent` and no `content`."),
            Column::optional(
                "reply_to_message_id",
                ColumnType::String,
                "The message that this one answers (`replyTo`).",
            ),
            Column::required(
                "attachments",
                ColumnType::List(&ATTACHMENT),
                "Files sent with it; `filename` or `fileName`, `size` or `fileSize`; duration in seconds (`duration`).",
            ),
            Column::required(
                "reactions",
                ColumnType::List(&REACTION),
                "Reactions to it, as they stand in the document.",
            ),
            Column::required(
                "read_by",
                ColumnType::List(&READ_RECEIPT),
                "Who has read it: `readReceipts` when not empty, else `readBy`.",
            ),
            Column::required(
                "is_edited",
                ColumnType::Boolean,
                "Edited after sending (`isEdited`); missing means false.",
            ),
            Column::required(
                "is_deleted",
                ColumnType::Boolean,
                "Deleted by its sender (`isDeleted`); missing means false.",
            ),
            Column::required(
                "is_forwarded",
                ColumnType::Boolean,
                "Forwarded from elsewhere (`isForwarded`); missing means false.",
            ),
            Column::required("created_at", ColumnType::Timestamp, "When it was sent (`createdAt`)."),
            Column::required(
                "updated_at",
                ColumnType::Timestamp,
                "When it last changed (`updatedAt`, else `createdAt`).",
            ),
            Column::optional("deleted_at", ColumnType::Timestamp, "When it was deleted (`deletedAt`)."),
            Column::optional("expires_at", ColumnType::Timestamp, "When it disappears for its readers (`expiresAt`)."),
            Column::required("created_date", ColumnType::Date, "UTC date of created_at.").partition(),
            INGESTED_AT,
            SOURCE_SYSTEM,
            RUN_ID,
        ],
    },
    write_mode: NEWEST_WINS,
    incremental: Incremental::EVERYTHING,
    schedule: Schedule::Hourly,
    checks: &[
        Check::condition(
            "ids",
            "message_id <> '' AND conversation_id <> '' AND sender_id <> ''",
            &["conversation_id", "sender_id"],
            "A document with an empty id is quarantined.",
        ),
        Check::condition(
            "optional_ids",
            "reply_to_message_id <> ''",
            &["reply_to_message_id"],
            "An empty optional id is null.",
        ),
        PARTITIONED_BY_DATE,
        KNOWN_TIME,
        FROM_MONGODB,
        NEVER_SHRINKS,
        Check::fresh(
            "fresh",
            "created_at",
            48,
            "People chat every day: an older newest message means that the source is.",
        )
        .warn(),
    ],
    query: Query::Sql(include_str!("messages.sql")),
};
