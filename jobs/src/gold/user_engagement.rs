//! `gold.user_engagement`: how much users take part, and whether they are about to leave.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::gold::{ITS_USER, MEMBERS_AND_SENDERS, USERS};
use crate::incremental::{Concern, Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::table_name::TableName;

/// Who sent a message that changed, and who sent the one that follows it, whose time of response may have changed.
const SENDERS_AND_WHO_ANSWERED: &str = "SELECT sender_id FROM changed \
    UNION ALL \
    SELECT sender_id FROM ( \
        SELECT \
            sender_id, \
            lag(is_changed) OVER (PARTITION BY conversation_id ORDER BY created_at, message_id) AS follows_changed \
        FROM ( \
            SELECT conversation_id, created_at, message_id, sender_id, max(is_changed) AS is_changed \
            FROM ( \
                SELECT \
                    messages.conversation_id, \
                    messages.created_at, \
                    messages.message_id, \
                    messages.sender_id, \
                    0 AS is_changed \
                FROM silver.messages AS messages \
                JOIN (SELECT DISTINCT conversation_id FROM changed) AS concerned \
                    ON concerned.conversation_id = messages.conversation_id \
                WHERE messages.created_at < $as_of \
                    AND messages.created_date >= CAST($as_of_date AS DATE) - INTERVAL '30 days' \
                UNION ALL \
                SELECT conversation_id, created_at, message_id, sender_id, 1 AS is_changed FROM changed \
            ) AS present_and_changed \
            GROUP BY conversation_id, created_at, message_id, sender_id \
        ) AS marked \
    ) AS ordered \
    WHERE follows_changed = 1";

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("gold", "user_engagement"),
        summary: "One row per user of silver.users created before as_of, and calculation date. Earlier dates are kept.",
        columns: &[
            Column::required("user_id", ColumnType::String, "The user.").key(),
            Column::required("calculation_date", ColumnType::Date, "as_of_date of the run.").key().partition(),
            Column::required("total_messages_sent", ColumnType::Long, "Messages sent, ever."),
            Column::required("total_messages_received", ColumnType::Long, "Messages received, ever."),
            Column::required("total_reactions_given", ColumnType::Long, "Reactions given, ever."),
            Column::required("total_reactions_received", ColumnType::Long, "Reactions received, ever."),
            Column::required("total_calls", ColumnType::Long, "Calls placed or received, ever."),
            Column::required(
                "total_call_duration_minutes",
                ColumnType::Double,
                "Minutes of ended calls placed or joined, ever.",
            ),
            Column::required("active_days_last_7", ColumnType::Long, "Active days of the last 7."),
            Column::required("active_days_last_30", ColumnType::Long, "Active days of the last 30."),
            Column::required("avg_daily_messages", ColumnType::Double, "Messages sent in the last 30 days / 30."),
            Column::optional(
                "avg_response_time_minutes",
                ColumnType::Double,
                "Mean minutes to the user's replies of the last 30 days; null when none.",
            ),
            Column::required(
                "unique_contacts_messaged",
                ColumnType::Long,
                "Distinct other participants of conversations to which the user ever sent.",
            ),
            Column::required(
                "conversations_participating",
                ColumnType::Long,
                "Conversations with the user as a participant.",
            ),
            Column::required("groups_participating", ColumnType::Long, "Those of type group."),
            Column::required(
                "engagement_score",
                ColumnType::Double,
                "0 to 100: messages, reactions, calls and active days of the last 30 days, each capped.",
            ),
            Column::required(
                "activity_trend",
                ColumnType::String,
                "increasing, stable or decreasing: daily messages of the last 7 days against the 23 before, 20% either way.",
            ),
            Column::required(
                "churn_risk",
                ColumnType::String,
                "high: inactive for more than 14 days or always; medium: for more than 7, or a week at less than half the month's rate; else low.",
            ),
            Column::required(
                "user_segment",
                ColumnType::String,
                "power_user, regular, casual, at_risk or churned, by active days and messages of the last 30 days.",
            ),
        ],
    },
    write_mode: WriteMode::ReplacePartitions,
    incremental: Incremental {
        // On a later date all windows end later; on the same date a change concerns some users.
        unit: Some("user_id"),
        inputs: &[
            USERS,
            Dependency {
                table: TableName::new("silver", "conversations"),
                concerns: &[Concern::Rows {
                    columns: &["type", "participant_ids", "created_at"],
                    units: MEMBERS_AND_SENDERS,
                }],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "messages"),
                concerns: &[Concern::Rows {
                    columns: &["conversation_id", "sender_id", "created_at"],
                    units: SENDERS_AND_WHO_ANSWERED,
                }],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "user_activity"),
                concerns: &[Concern::Rows {
                    columns: &[
                        "messages_sent",
                        "messages_received",
                        "reactions_given",
                        "reactions_received",
                        "calls_initiated",
                        "calls_received",
                        "total_call_duration_minutes",
                        "is_active_day",
                    ],
                    units: ITS_USER,
                }],
                time: EventTime::Ignored,
            },
        ],
        is_calendar: false,
    },
    schedule: Schedule::Daily,
    checks: &[
        Check::between("engagement_score", &["engagement_score"], 0, 100, "The parts of the score add up to 100."),
        Check::condition(
            "score_rounded",
            "engagement_score = round(engagement_score, 2)",
            &["engagement_score"],
            "The score is rounded to two decimals.",
        ),
        Check::between(
            "active_days_last_7",
            &["active_days_last_7"],
            0,
            7,
            "Seven days have seven active ones at most.",
        ),
        Check::between("active_days_last_30", &["active_days_last_30"], 0, 30, "Thirty days have thirty at most."),
        Check::at_least(
            "counts",
            &[
                "total_messages_sent",
                "total_messages_received",
                "total_reactions_given",
                "total_reactions_received",
                "total_calls",
                "total_call_duration_minutes",
                "avg_daily_messages",
                "unique_contacts_messaged",
                "conversations_participating",
                "groups_participating",
            ],
            0,
            "Counts are not negative.",
        ),
        Check::between(
            "avg_response_time",
            &["avg_response_time_minutes"],
            0,
            1440,
            "What comes after more than 24 hours is no reply.",
        ),
        Check::condition(
            "parts",
            "active_days_last_7 <= active_days_last_30 AND groups_participating <= conversations_participating",
            &["active_days_last_7", "active_days_last_30", "conversations_participating", "groups_participating"],
            "A part does not exceed its whole.",
        ),
        Check::condition("date", "calculation_date <= $as_of_date", &[], "The last date is that of as_of."),
        Check::accepted(
            "activity_trend",
            "activity_trend",
            &["increasing", "stable", "decreasing"],
            "There are three trends.",
        ),
        Check::accepted("churn_risk", "churn_risk", &["low", "medium", "high"], "There are three risks."),
        Check::accepted(
            "user_segment",
            "user_segment",
            &["power_user", "regular", "casual", "at_risk", "churned"],
            "There are five segments.",
        ),
        Check::condition(
            "segment_of_activity",
            "user_segment = CASE \
                WHEN active_days_last_30 >= 25 AND round(avg_daily_messages * 30) >= 100 THEN 'power_user' \
                WHEN active_days_last_30 >= 15 AND round(avg_daily_messages * 30) >= 30 THEN 'regular' \
                WHEN active_days_last_30 >= 5 THEN 'casual' WHEN active_days_last_30 >= 1 THEN 'at_risk' ELSE 'churned' END",
            &["active_days_last_30", "avg_daily_messages", "user_segment"],
            "Segments follow from active days and messages of the last 30 days.",
        ),
        Check::condition(
            "risk_of_activity",
            "CASE WHEN active_days_last_30 = 0 THEN churn_risk = 'high' WHEN active_days_last_7 = 0 THEN churn_risk <> 'low' \
                WHEN 8 * active_days_last_7 < active_days_last_30 THEN churn_risk = 'medium' ELSE churn_risk = 'low' END",
            &["active_days_last_7", "active_days_last_30", "churn_risk"],
            "Risks follow from the last active day and the rate of active days.",
        ),
        Check::relation("user", "user_id", "silver.users", "user_id", "Only known users have a row."),
    ],
    query: Query::Sql(include_str!("user_engagement.sql")),
};
