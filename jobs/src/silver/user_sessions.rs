//! `silver.user_sessions`: stretches of time in which a user was at it.

use crate::check::Check;
use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::incremental::{Concern, Dependency, EventTime, Incremental};
use crate::job::{JobDefinition, Schedule, WriteMode};
use crate::query::Query;
use crate::silver::CALL_TIME;
use crate::table_name::TableName;

pub(super) const JOB: JobDefinition = JobDefinition {
    contract: Contract {
        table: TableName::new("silver", "user_sessions"),
        summary: "One row per session: a maximal run of one user's events (message sent, reaction given, call started or \
            joined) before as_of with gaps of at most 30 minutes.",
        columns: &[
            Column::required("user_id", ColumnType::String, "The user; need not be in silver.users.").key(),
            Column::required("session_start", ColumnType::Timestamp, "Time of the first event.").key(),
            Column::required("session_end", ColumnType::Timestamp, "Time of the last event."),
            Column::required("duration_minutes", ColumnType::Double, "From start to end in minutes; 0 for one event."),
            Column::required("event_count", ColumnType::Long, "Number of events."),
            Column::required("session_date", ColumnType::Date, "UTC date of session_start.").partition(),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    incremental: Incremental {
        unit: Some("user_id"),
        inputs: &[
            Dependency {
                table: TableName::new("silver", "messages"),
                concerns: &[Concern::Rows {
                    columns: &["sender_id", "created_at"],
                    units: "SELECT sender_id FROM changed",
                }],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "reactions"),
                concerns: &[Concern::Rows { columns: &["reacted_at"], units: "SELECT user_id FROM changed" }],
                time: EventTime::Column("reacted_at"),
            },
            Dependency {
                table: TableName::new("silver", "calls"),
                concerns: &[Concern::Rows {
                    columns: &["initiator_id", "participants", "created_at"],
                    units: "SELECT initiator_id AS user_id FROM changed UNION ALL \
                        SELECT participant['user_id'] AS user_id FROM ( \
                            SELECT unnest(participants) AS participant FROM changed WHERE item_count(participants) > 0 \
                        ) AS participants",
                }],
                time: CALL_TIME,
            },
        ],
        is_calendar: false,
    },
    schedule: Schedule::Hourly,
    checks: &[
        Check::condition(
            "order",
            "session_start <= session_end AND session_end < $as_of",
            &["session_start", "session_end"],
            "A session ends after it starts and before as_of.",
        ),
        Check::condition(
            "calendar",
            "session_date = CAST(session_start AS DATE)",
            &["session_date"],
            "A session belongs to the UTC date on which it starts.",
        ),
        Check::at_least("events", &["event_count"], 1, "A session has an event."),
        Check::condition(
            "minutes",
            "duration_minutes = CAST(CAST(session_end AS BIGINT) - CAST(session_start AS BIGINT) AS DOUBLE) / 60000000",
            &["session_end", "duration_minutes"],
            "The length is from start to end.",
        ),
        Check::condition(
            "gaps",
            "duration_minutes <= 30 * (event_count - 1)",
            &["duration_minutes", "event_count"],
            "Gaps between events are at most 30 minutes.",
        ),
        Check::query(
            "maximal",
            "SELECT * FROM ( \
                SELECT *, lag(session_end) OVER (PARTITION BY user_id ORDER BY session_start) AS previous_end FROM checked \
            ) AS sessions WHERE session_start <= previous_end + INTERVAL '30 minutes'",
            &["session_end"],
            "Sessions of a user are more than 30 minutes apart, or they would be one.",
        )
        .on_demand(),
    ],
    query: Query::Sql(include_str!("user_sessions.sql")),
};
