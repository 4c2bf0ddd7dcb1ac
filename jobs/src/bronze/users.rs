//! `bronze.users`: user profiles as the application stores them, without secrets.

use crate::bronze::{FROM_MONGODB, KNOWN_TIME, NEVER_SHRINKS, NEWEST_WINS, PARTITIONED_BY_MONTH};
use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::{Contract, INGESTED_AT, RUN_ID, SOURCE_SYSTEM};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("bronze", "users"),
        summary: "One row per user document of MongoDB, the newest version of each. Holds personal data (phone number, \
            email, bio) that silver does not carry on; never a password, key or token.",
        columns: &[
            Column::required("user_id", ColumnType::String, "`_id` of the document; an ObjectId as 24 hex digits.")
                .key(),
            Column::optional("phone_number", ColumnType::String, "`phoneNumber`."),
            Column::optional("email", ColumnType::String, "`email`, as it was typed."),
            Column::optional("username", ColumnType::String, "`username`."),
            Column::optional("display_name", ColumnType::String, "`displayName`."),
            Column::optional("avatar", ColumnType::String, "Address of the profile picture."),
            Column::optional("bio", ColumnType::String, "What users say about themselves."),
            Column::optional("status", ColumnType::String, "Presence, for example online or away."),
            Column::optional("last_seen_at", ColumnType::Timestamp, "`lastSeen`."),
            Column::required(
                "is_online",
                ColumnType::Boolean,
                "`isOnline` when present, else whether status is online.",
            ),
            Column::required("role", ColumnType::String, "`role`; missing means user."),
            Column::required("is_banned", ColumnType::Boolean, "`isBanned`; missing means false."),
            Column::required("is_verified", ColumnType::Boolean, "`isVerified`; missing means false."),
            Column::required(
                "linked_device_count",
                ColumnType::Long,
                "Number of `linkedDevices`; the devices themselves are not ingested.",
            ),
            Column::required("created_at", ColumnType::Timestamp, "When the account was made (`createdAt`)."),
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
        Check::condition("ids", "user_id <> ''", &["user_id"], "A document with an empty id is quarantined."),
        Check::at_least("counts", &["linked_device_count"], 0, "Counts are not negative."),
        PARTITIONED_BY_MONTH,
        KNOWN_TIME,
        FROM_MONGODB,
        NEVER_SHRINKS,
    ],
    query: Query::Sql(include_str!("users.sql")),
};
