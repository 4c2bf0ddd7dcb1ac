//! `bronze.audit_logs`: what happened to accounts.
//!
//! Entries are not changed at the source and have no time of change, so created_at stands in for it: of two versions
//! of an entry the one read later wins. An export without an audit log gives an empty table and a warning.

use crate::bronze::{FROM_MYSQL, KNOWN_TIME, NEVER_SHRINKS, PARTITIONED_BY_DATE};
use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::{Contract, INGESTED_AT, RUN_ID, SOURCE_SYSTEM};
use crate::incremental::Incremental;
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("bronze", "audit_logs"),
        summary: "One row per row of MySQL's `audit_logs`. Holds neither user agents nor the free text of `details`. \
            An export without any leaves the table as it is, or makes it empty.",
        columns: &[
            Column::required("audit_id", ColumnType::String, "`id` of the row.").key(),
            Column::optional("auth_user_id", ColumnType::String, "`id` of the account in MySQL (`user_id`)."),
            Column::optional("email", ColumnType::String, "Address that was given, of an account or not."),
            Column::optional("event_type", ColumnType::String, "What happened, for example login."),
            Column::optional("status", ColumnType::String, "How it went, for example success."),
            Column::optional("ip_address", ColumnType::String, "Address that the request came from."),
            Column::optional("device_id", ColumnType::String, "The device, as the application names it."),
            Column::optional("country", ColumnType::String, "Country of the address."),
            Column::optional("city", ColumnType::String, "City of the address."),
            Column::optional("failure_reason", ColumnType::String, "Why it failed, where it did."),
            Column::optional("request_id", ColumnType::String, "The request, to find it in the application's logs."),
            Column::optional("session_id", ColumnType::String, "The login that it belongs to."),
            Column::required("created_at", ColumnType::Timestamp, "When it happened."),
            Column::required("created_date", ColumnType::Date, "UTC date of created_at.").partition(),
            INGESTED_AT,
            SOURCE_SYSTEM,
            RUN_ID,
        ],
    },
    write_mode: WriteMode::Upsert { newest: "created_at" },
    incremental: Incremental::EVERYTHING,
    schedule: Schedule::Daily,
    checks: &[
        Check::condition("ids", "audit_id <> ''", &[], "A row with an empty id is quarantined."),
        PARTITIONED_BY_DATE,
        KNOWN_TIME,
        FROM_MYSQL,
        NEVER_SHRINKS,
    ],
    query: Query::Sql(include_str!("audit_logs.sql")),
};
