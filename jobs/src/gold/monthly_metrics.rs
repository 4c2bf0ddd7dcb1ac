//! `gold.monthly_metrics`: the chat month by month.
//!
//! Sums of dates come from gold.daily_metrics and users from silver.user_activity, both far smaller than the messages
//! that they are made of; neither loses anything that a month needs.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::{Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("gold", "monthly_metrics"),
        summary: "One row per calendar month from the first one with data to that of as_of_date, months without \
            activity included. A last month that is not over is computed from its days so far.",
        columns: &[
            Column::required("month_start", ColumnType::Date, "The first day of the month.").key(),
            Column::required(
                "monthly_active_users",
                ColumnType::Long,
                "Users with an active day in the month (MAU), unknown ones included.",
            ),
            Column::required("new_users", ColumnType::Long, "Users created in the month."),
            Column::required(
                "churned_users",
                ColumnType::Long,
                "Users active in the month before, but not in this one; 0 in the first month.",
            ),
            Column::optional(
                "retention_rate",
                ColumnType::Double,
                "Users active in this month and the one before / those of the one before; null when there were none.",
            ),
            Column::optional(
                "dau_mau_ratio",
                ColumnType::Double,
                "Mean daily active users over the days up to as_of_date / monthly_active_users; null without any.",
            ),
            Column::required("total_messages", ColumnType::Long, "Messages of any type, deleted ones included."),
            Column::required(
                "avg_daily_messages",
                ColumnType::Double,
                "total_messages / days of the month up to as_of_date.",
            ),
            Column::required("total_calls", ColumnType::Long, "Calls of any status."),
            Column::required("total_call_duration_hours", ColumnType::Double, "Hours of ended calls, 0 when none."),
            Column::optional(
                "avg_messages_per_active_user",
                ColumnType::Double,
                "total_messages / monthly_active_users; null without active users.",
            ),
            Column::required(
                "top_message_types",
                ColumnType::Map(&ColumnType::String, &ColumnType::Long),
                "Messages of the 5 types with the most, the smaller name on ties.",
            ),
            Column::optional(
                "peak_day_of_week",
                ColumnType::Int,
                "ISO day with the most messages, the smallest on ties; null without messages.",
            ),
            Column::required("is_complete", ColumnType::Boolean, "The month was over at as_of."),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    incremental: Incremental {
        // A month looks at the one before it, and there are few.
        unit: None,
        inputs: &[
            Dependency::of_all(TableName::new("silver", "user_activity"), EventTime::Ignored),
            Dependency::of_all(TableName::new("gold", "daily_metrics"), EventTime::Ignored),
        ],
        is_calendar: false,
    },
    schedule: Schedule::Daily,
    checks: &[
        Check::at_least(
            "counts",
            &[
                "monthly_active_users",
                "new_users",
                "churned_users",
                "total_messages",
                "avg_daily_messages",
                "total_calls",
                "total_call_duration_hours",
                "avg_messages_per_active_user",
            ],
            0,
            "Counts are not negative.",
        ),
        Check::between("shares", &["retention_rate", "dau_mau_ratio"], 0, 1, "They are shares."),
        Check::between("peak_day_of_week", &["peak_day_of_week"], 1, 7, "ISO days of the week."),
        Check::condition(
            "first_day",
            "month_start = first_of_month(month_start)",
            &[],
            "A month starts on its first day.",
        ),
        Check::condition(
            "top_message_types",
            "map_total(top_message_types) <= total_messages",
            &["total_messages"],
            "The top types are some of all messages.",
        ),
        Check::condition(
            "without_activity",
            "(peak_day_of_week IS NULL) = (total_messages = 0)",
            &["total_messages", "peak_day_of_week"],
            "The peak of nothing is null.",
        ),
        Check::query(
            "every_month",
            "SELECT * FROM (SELECT *, lag(month_start) OVER (ORDER BY month_start) AS month_before FROM checked) AS months WHERE month_start <> month_before + INTERVAL '1 month'",
            &[],
            "Every month from the first to the last has a row.",
        ),
    ],
    query: Query::Sql(include_str!("monthly_metrics.sql")),
};
