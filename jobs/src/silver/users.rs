//! `silver.users`: who uses the chat.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("silver", "users"),
        summary: "One row per user, with flags in place of personal data and the account data of the authentication \
            database. Holds users created after as_of too.",
        columns: &[
            Column::required("user_id", ColumnType::String, "The user.").key(),
            Column::optional("username", ColumnType::String, "Unique name, as chosen."),
            Column::optional("display_name", ColumnType::String, "Name that others see."),
            Column::required("has_avatar", ColumnType::Boolean, "Has a profile picture: not null and not only spaces."),
            Column::required("has_bio", ColumnType::Boolean, "Has a bio: not null and not only spaces."),
            Column::optional("last_seen_at", ColumnType::Timestamp, "When last seen."),
            Column::optional(
                "last_seen_days_ago",
                ColumnType::Long,
                "Days from the date of last_seen_at to as_of_date, at least 0.",
            ),
            Column::required("role", ColumnType::String, "Role, `user` unless said."),
            Column::required("is_banned", ColumnType::Boolean, "Banned from the chat."),
            Column::required("is_verified", ColumnType::Boolean, "Verified by the operator."),
            Column::optional(
                "email_verified",
                ColumnType::Boolean,
                "The login address is confirmed; null when unknown.",
            ),
            Column::optional(
                "two_factor_enabled",
                ColumnType::Boolean,
                "A second factor is asked for; null when unknown.",
            ),
            Column::optional("last_login_at", ColumnType::Timestamp, "Last login; null when unknown."),
            Column::optional("login_count", ColumnType::Long, "Number of logins; null when unknown."),
            Column::required(
                "account_age_days",
                ColumnType::Long,
                "Days from the date of created_at to as_of_date, at least 0.",
            ),
            Column::required("created_at", ColumnType::Timestamp, "When the account was made."),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    incremental: Incremental::EVERYTHING,
    schedule: Schedule::Daily,
    checks: &[
        Check::at_least("ages", &["account_age_days", "last_seen_days_ago"], 0, "What is after as_of is 0 days ago."),
        Check::condition(
            "last_seen",
            "(last_seen_at IS NULL) = (last_seen_days_ago IS NULL)",
            &["last_seen_at", "last_seen_days_ago"],
            "Both say when, or neither.",
        ),
        Check::row_count("row_count", Some(10), None, "Users stay in the lake when they leave.").warn(),
    ],
    query: Query::Sql(include_str!("users.sql")),
};
