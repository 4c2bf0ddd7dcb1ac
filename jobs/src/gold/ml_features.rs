//! `gold.ml_features`: a row of numbers per user for models that predict who leaves.

use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::{Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("gold", "ml_features"),
        summary: "One row per user of silver.users created before as_of, and feature date; nothing at or after as_of \
            leaks in. Earlier dates are kept.",
        columns: &[
            Column::required("user_id", ColumnType::String, "The user.").key(),
            Column::required("feature_date", ColumnType::Date, "as_of_date of the run.").key().partition(),
            Column::required("msg_sent_1d", ColumnType::Long, "Messages sent on feature_date."),
            Column::required("msg_sent_7d", ColumnType::Long, "Messages sent in the last 7 days."),
            Column::required("msg_sent_30d", ColumnType::Long, "Messages sent in the last 30 days."),
            Column::required("msg_recv_1d", ColumnType::Long, "Messages received on feature_date."),
            Column::required("msg_recv_7d", ColumnType::Long, "Messages received in the last 7 days."),
            Column::required("msg_recv_30d", ColumnType::Long, "Messages received in the last 30 days."),
            Column::required("active_days_7", ColumnType::Long, "Active days of the last 7."),
            Column::required("active_days_30", ColumnType::Long, "Active days of the last 30."),
            Column::optional(
                "avg_session_duration_minutes",
                ColumnType::Double,
                "Mean minutes of sessions that start in the last 30 days; null when none.",
            ),
            Column::required(
                "unique_contacts",
                ColumnType::Long,
                "Distinct other participants of conversations to which the user ever sent.",
            ),
            Column::required("group_count", ColumnType::Long, "Groups with the user as a participant."),
            Column::optional(
                "avg_group_size",
                ColumnType::Double,
                "Mean participants of these groups; null when none.",
            ),
            Column::optional(
                "preferred_hour",
                ColumnType::Int,
                "UTC hour with the most messages sent in the last 30 days, the earliest on ties; null when none.",
            ),
            Column::optional(
                "weekday_activity_ratio",
                ColumnType::Double,
                "Share of the messages of the last 30 days sent Monday to Friday; null when none.",
            ),
            Column::required("message_velocity_7d", ColumnType::Double, "msg_sent_7d / 7."),
            Column::required(
                "engagement_trend",
                ColumnType::Long,
                "Messages sent in the last 7 days minus those of the 7 days before.",
            ),
            Column::optional(
                "will_churn_next_7d",
                ColumnType::Boolean,
                "Label: no active day in the 7 days after feature_date; null until they are over.",
            ),
        ],
    },
    write_mode: WriteMode::ReplacePartitions,
    incremental: Incremental {
        // Windows that end with as_of_date: all rows of the date may change with any input.
        unit: None,
        inputs: &[
            Dependency {
                table: TableName::new("silver", "users"),
                concerns: &[],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "conversations"),
                concerns: &[],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "messages"),
                concerns: &[],
                time: EventTime::Column("created_at"),
            },
            Dependency { table: TableName::new("silver", "user_activity"), concerns: &[], time: EventTime::Ignored },
            Dependency {
                table: TableName::new("silver", "user_sessions"),
                concerns: &[],
                time: EventTime::Column("session_start"),
            },
        ],
        is_calendar: false,
    },
    schedule: Schedule::Daily,
    query: Query::Sql(include_str!("ml_features.sql")),
};
