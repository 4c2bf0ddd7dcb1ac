//! `gold.weekly_metrics`: the chat week by week.
//!
//! Sums of dates come from gold.daily_metrics and users from silver.user_activity, both far smaller than the messages
//! that they are made of; neither loses anything that a week needs.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::{Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("gold", "weekly_metrics"),
        summary: "One row per ISO week from the first one with data to that of as_of_date, weeks without activity \
            included. A last week that is not over is computed from its days so far.",
        columns: &[
            Column::required("week_start", ColumnType::Date, "The Monday of the week.").key(),
            Column::required("iso_year", ColumnType::Int, "ISO 8601 year of the week, that of its Thursday."),
            Column::required("iso_week", ColumnType::Int, "ISO 8601 number of the week, 1 to 53."),
            Column::required(
                "weekly_active_users",
                ColumnType::Long,
                "Users with an active day in the week (WAU), unknown ones included.",
            ),
            Column::required("new_users", ColumnType::Long, "Users created in the week."),
            Column::required(
                "returning_users",
                ColumnType::Long,
                "Users active in this week and in the one before; 0 in the first week.",
            ),
            Column::required(
                "churned_users",
                ColumnType::Long,
                "Users active in the week before, but not in this one; 0 in the first week.",
            ),
            Column::optional(
                "retention_rate",
                ColumnType::Double,
                "returning_users / active users of the week before; null when there were none.",
            ),
            Column::required("total_messages", ColumnType::Long, "Messages of any type, deleted ones included."),
            Column::required(
                "avg_daily_messages",
                ColumnType::Double,
                "total_messages / days of the week up to as_of_date.",
            ),
            Column::required("total_calls", ColumnType::Long, "Calls of any status."),
            Column::required("avg_daily_calls", ColumnType::Double, "total_calls / days of the week up to as_of_date."),
            Column::required("total_call_duration_hours", ColumnType::Double, "Hours of ended calls, 0 when none."),
            Column::optional(
                "engagement_score",
                ColumnType::Double,
                "Mean score, as in gold.user_engagement, of the users active in the week over the 30 days that end \
                 with it or with as_of_date; not rounded; null without active users.",
            ),
            Column::required("is_complete", ColumnType::Boolean, "The week was over at as_of."),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    incremental: Incremental {
        // A week looks at the one before it and at the 30 days that end with it, and there are few.
        unit: None,
        inputs: &[
            Dependency::of_all(TableName::new("silver", "user_activity"), EventTime::Ignored),
            Dependency::of_all(TableName::new("gold", "daily_metrics"), EventTime::Ignored),
        ],
        is_calendar: false,
    },
    schedule: Schedule::Weekly,
    checks: &[
        Check::at_least(
            "counts",
            &[
                "weekly_active_users",
                "new_users",
                "returning_users",
                "churned_users",
                "total_messages",
                "avg_daily_messages",
                "total_calls",
                "avg_daily_calls",
                "total_call_duration_hours",
            ],
            0,
            "Counts are not negative.",
        ),
        Check::between("retention_rate", &["retention_rate"], 0, 1, "It is a share."),
        Check::between("engagement_score", &["engagement_score"], 0, 100, "A mean of scores."),
        Check::condition("monday", "date_part('isodow', week_start) = 1", &[], "ISO weeks start on Monday."),
        Check::between("iso_week", &["iso_week"], 1, 53, "A year has at most 53 ISO weeks."),
        Check::condition(
            "iso",
            "iso_week = date_part('week', week_start)",
            &["iso_week"],
            "The week is that of its Monday.",
        ),
        Check::condition(
            "parts",
            "returning_users <= weekly_active_users",
            &["returning_users", "weekly_active_users"],
            "A part does not exceed its whole.",
        ),
        Check::condition(
            "without_activity",
            "(engagement_score IS NULL) = (weekly_active_users = 0)",
            &["weekly_active_users", "engagement_score"],
            "The mean of nobody is null.",
        ),
        Check::query(
            "every_week",
            "SELECT * FROM (SELECT *, lag(week_start) OVER (ORDER BY week_start) AS week_before FROM checked) AS weeks WHERE week_start <> week_before + INTERVAL '7 days'",
            &[],
            "Every week from the first to the last has a row.",
        ),
    ],
    query: Query::Sql(include_str!("weekly_metrics.sql")),
};
