//! `gold.ml_features`: a row of numbers per user for models that predict who leaves.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::gold::{ITS_USER, MEMBERS_AND_SENDERS, USERS};
use crate::incremental::{Concern, Dependency, EventTime, Incremental};
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
        // On a later date all windows end later; on the same date a change concerns some users. What of earlier
        // dates has no label yet got it by the run that came to this date first.
        unit: Some("user_id"),
        inputs: &[
            USERS,
            Dependency {
                table: TableName::new("silver", "conversations"),
                concerns: &[Concern::Rows {
                    columns: &["type", "participant_ids", "participant_count", "created_at"],
                    units: MEMBERS_AND_SENDERS,
                }],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "messages"),
                concerns: &[Concern::Rows {
                    columns: &["conversation_id", "sender_id", "created_at"],
                    units: "SELECT sender_id FROM changed",
                }],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "user_activity"),
                concerns: &[Concern::Rows {
                    columns: &["messages_sent", "messages_received", "is_active_day"],
                    units: ITS_USER,
                }],
                time: EventTime::Ignored,
            },
            Dependency {
                table: TableName::new("silver", "user_sessions"),
                concerns: &[Concern::Rows { columns: &["session_end"], units: ITS_USER }],
                time: EventTime::Column("session_start"),
            },
        ],
        is_calendar: false,
    },
    schedule: Schedule::Daily,
    checks: &[
        Check::at_least(
            "counts",
            &["msg_sent_1d", "msg_recv_1d", "avg_session_duration_minutes", "unique_contacts", "group_count"],
            0,
            "Counts are not negative.",
        ),
        Check::condition(
            "windows",
            "msg_sent_1d <= msg_sent_7d AND msg_sent_7d <= msg_sent_30d AND msg_recv_1d <= msg_recv_7d \
                AND msg_recv_7d <= msg_recv_30d",
            &["msg_sent_1d", "msg_sent_7d", "msg_sent_30d", "msg_recv_1d", "msg_recv_7d", "msg_recv_30d"],
            "A longer window holds the shorter one.",
        ),
        Check::between("active_days_7", &["active_days_7"], 0, 7, "Seven days have seven active ones at most."),
        Check::between("active_days_30", &["active_days_30"], 0, 30, "Thirty days have thirty at most."),
        Check::condition(
            "active_days",
            "active_days_7 <= active_days_30",
            &["active_days_7", "active_days_30"],
            "A longer window holds the shorter one.",
        ),
        Check::between("preferred_hour", &["preferred_hour"], 0, 23, "Hours are those of the clock."),
        Check::between("weekday_activity_ratio", &["weekday_activity_ratio"], 0, 1, "It is a share."),
        Check::condition(
            "without_messages",
            "(weekday_activity_ratio IS NULL) = (msg_sent_30d = 0)",
            &["msg_sent_30d", "weekday_activity_ratio"],
            "A share of nothing is null, all others are known.",
        ),
        Check::condition(
            "hour_of_messages",
            "(preferred_hour IS NULL) = (msg_sent_30d = 0)",
            &["msg_sent_30d", "preferred_hour"],
            "Hours come from messages and their number from activity: if they differ, activity is out of date.",
        )
        .warn(),
        Check::condition(
            "groups",
            "(avg_group_size IS NULL) = (group_count = 0) AND coalesce(avg_group_size >= 1, true)",
            &["group_count", "avg_group_size"],
            "A group of the user has at least the user.",
        ),
        Check::condition(
            "velocity",
            "message_velocity_7d = CAST(msg_sent_7d AS DOUBLE) / 7",
            &["msg_sent_7d", "message_velocity_7d"],
            "Velocity is messages a day.",
        ),
        Check::condition(
            "trend",
            "engagement_trend BETWEEN 2 * msg_sent_7d - msg_sent_30d AND msg_sent_7d",
            &["msg_sent_7d", "msg_sent_30d", "engagement_trend"],
            "The 7 days before are part of the last 30.",
        ),
        Check::condition("date", "feature_date <= $as_of_date", &[], "The last date is that of as_of."),
        Check::relation("user", "user_id", "silver.users", "user_id", "Only known users have a row."),
    ],
    query: Query::Sql(include_str!("ml_features.sql")),
};
