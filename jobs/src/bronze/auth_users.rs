//! `bronze.auth_users`: the accounts of the authentication database.

use crate::bronze::{FROM_MYSQL, NEVER_SHRINKS, NEWEST_WINS};
use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::{Contract, INGESTED_AT, RUN_ID, SOURCE_SYSTEM};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("bronze", "auth_users"),
        summary: "One row per row of MySQL's `auth_users` (or, where there is none, `users`), the newest version of \
            each. `email_verified` and `login_count` are known only of `users`.",
        columns: &[
            Column::required("auth_user_id", ColumnType::String, "`id` of the row.").key(),
            Column::optional("email", ColumnType::String, "Login address, as it was typed."),
            Column::optional(
                "external_id",
                ColumnType::String,
                "The user_id of the chat application, where it is known.",
            ),
            Column::optional("status", ColumnType::String, "State of the account."),
            Column::optional("email_verified", ColumnType::Boolean, "Whether the address is confirmed."),
            Column::optional("two_factor_enabled", ColumnType::Boolean, "Whether a second factor is asked for."),
            Column::optional("failed_login_attempts", ColumnType::Long, "Failed logins since the last good one."),
            Column::optional("locked_until", ColumnType::Timestamp, "End of a lock after failed logins."),
            Column::optional("last_login_at", ColumnType::Timestamp, "The last login."),
            Column::optional("login_count", ColumnType::Long, "Number of logins."),
            Column::optional("created_at", ColumnType::Timestamp, "When the account was made."),
            Column::optional(
                "updated_at",
                ColumnType::Timestamp,
                "When the row last changed, else created_at; null loses to any value.",
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
        Check::condition("ids", "auth_user_id <> ''", &["auth_user_id"], "A row with an empty id is quarantined."),
        FROM_MYSQL,
        NEVER_SHRINKS,
    ],
    query: Query::Sql(include_str!("auth_users.sql")),
};
