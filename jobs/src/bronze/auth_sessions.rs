//! `bronze.auth_sessions`: logins of the authentication database, without their tokens.
//!
//! An export without sessions (many dumps leave out tables with tokens) gives an empty table and a warning.

use crate::bronze::{FROM_MYSQL, KNOWN_TIME, NEVER_SHRINKS, NEWEST_WINS};
use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::{Contract, INGESTED_AT, RUN_ID, SOURCE_SYSTEM};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("bronze", "auth_sessions"),
        summary: "One row per row of MySQL's `sessions` (or, where there is none, `refresh_tokens`), the newest \
            version of each. Holds no token, no hash of one and no user agent. An export without any leaves the table \
            as it is, or makes it empty.",
        columns: &[
            Column::required("session_id", ColumnType::String, "`id` of the row.").key(),
            Column::optional("auth_user_id", ColumnType::String, "`id` of the account in MySQL (`user_id`)."),
            Column::optional("device_id", ColumnType::String, "The device, as the application names it."),
            Column::optional("device_name", ColumnType::String, "The device, as its owner names it."),
            Column::optional("ip_address", ColumnType::String, "Address of the login."),
            Column::required(
                "is_revoked",
                ColumnType::Boolean,
                "Whether it was ended before its time (`is_revoked`, else `revoked`); missing means false.",
            ),
            Column::optional("revoked_at", ColumnType::Timestamp, "When it was ended."),
            Column::optional("revoked_reason", ColumnType::String, "Why it was ended."),
            Column::optional("expires_at", ColumnType::Timestamp, "When it ends by itself."),
            Column::required("created_at", ColumnType::Timestamp, "The login."),
            Column::required(
                "updated_at",
                ColumnType::Timestamp,
                "When the row last changed (`updated_at`, else the later of created_at and revoked_at).",
            ),
            INGESTED_AT,
            SOURCE_SYSTEM,
            RUN_ID,
        ],
    },
    write_mode: NEWEST_WINS,
    incremental: Incremental::EVERYTHING,
    schedule: Schedule::Daily,
    checks: &[
        Check::condition("ids", "session_id <> ''", &[], "A row with an empty id is quarantined."),
        KNOWN_TIME,
        FROM_MYSQL,
        NEVER_SHRINKS,
    ],
    query: Query::Sql(include_str!("auth_sessions.sql")),
};
