//! `silver.user_activity`: what users did and received, day by day.

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
        table: TableName::new("silver", "user_activity"),
        summary: "One row per user and UTC date on which the user did or received anything before as_of.",
        columns: &[
            Column::required("user_id", ColumnType::String, "The user; need not be in silver.users.").key(),
            Column::required("activity_date", ColumnType::Date, "The UTC date.").key().partition(),
            Column::required("messages_sent", ColumnType::Long, "Messages sent, of any type."),
            Column::required(
                "messages_received",
                ColumnType::Long,
                "Messages by others in conversations that have the user as a participant now.",
            ),
            Column::required("reactions_given", ColumnType::Long, "Reactions given."),
            Column::required(
                "reactions_received",
                ColumnType::Long,
                "Reactions to the user's messages, the user's own included, by their own date.",
            ),
            Column::required("calls_initiated", ColumnType::Long, "Calls placed."),
            Column::required(
                "calls_received",
                ColumnType::Long,
                "Calls of others with the user among the participants, joined or not.",
            ),
            Column::required(
                "total_call_duration_minutes",
                ColumnType::Double,
                "Minutes of ended calls that the user placed or joined, an unknown length as 0.",
            ),
            Column::required(
                "conversations_active",
                ColumnType::Long,
                "Distinct conversations in which the user sent a message.",
            ),
            Column::required(
                "new_conversations_started",
                ColumnType::Long,
                "Conversations in which the user's own first message falls on this date.",
            ),
            Column::required("media_shared", ColumnType::Long, "Messages sent with attachments."),
            Column::required("sessions", ColumnType::Long, "Sessions that start on this date."),
            Column::required(
                "is_active_day",
                ColumnType::Boolean,
                "Sent a message, gave a reaction, placed or joined a call.",
            ),
        ],
    },
    write_mode: WriteMode::ReplaceTable,
    incremental: Incremental {
        unit: Some("activity_date"),
        inputs: &[
            Dependency {
                table: TableName::new("silver", "messages"),
                concerns: &[
                    // Not who has read a message, or that it was edited.
                    Concern::Partitions {
                        columns: Some(&["conversation_id", "sender_id", "has_attachments", "created_at"]),
                    },
                    // A first message that came late, or went away, makes another message the first of its sender in
                    // the conversation: the earliest one on a date that did not change.
                    Concern::Rows {
                        columns: &["conversation_id", "sender_id", "created_date"],
                        units: "SELECT min(messages.created_date) FROM silver.messages AS messages \
                            JOIN (SELECT DISTINCT conversation_id, sender_id FROM changed) AS pairs \
                                ON messages.conversation_id = pairs.conversation_id \
                                AND messages.sender_id = pairs.sender_id \
                            LEFT ANTI JOIN (SELECT DISTINCT created_date FROM changed) AS dates \
                                ON messages.created_date = dates.created_date \
                            WHERE messages.created_at < $as_of \
                            GROUP BY messages.conversation_id, messages.sender_id",
                    },
                ],
                time: EventTime::Column("created_at"),
            },
            Dependency {
                table: TableName::new("silver", "conversations"),
                concerns: &[Concern::Rows {
                    columns: &["participant_ids"],
                    units: "SELECT messages.created_date FROM changed \
                        JOIN silver.messages AS messages ON messages.conversation_id = changed.conversation_id",
                }],
                time: EventTime::Ignored,
            },
            Dependency {
                table: TableName::new("silver", "reactions"),
                concerns: &[Concern::PARTITIONS],
                time: EventTime::Column("reacted_at"),
            },
            Dependency { table: TableName::new("silver", "calls"), concerns: &[Concern::PARTITIONS], time: CALL_TIME },
            Dependency {
                table: TableName::new("silver", "user_sessions"),
                concerns: &[Concern::PARTITIONS],
                time: EventTime::Column("session_start"),
            },
        ],
        is_calendar: false,
    },
    schedule: Schedule::Daily,
    checks: &[
        Check::at_least(
            "counts",
            &[
                "messages_sent",
                "messages_received",
                "reactions_given",
                "reactions_received",
                "calls_initiated",
                "calls_received",
                "total_call_duration_minutes",
                "conversations_active",
                "new_conversations_started",
                "media_shared",
                "sessions",
            ],
            0,
            "Counts are not negative.",
        ),
        Check::condition("date", "activity_date <= $as_of_date", &[], "Nothing happens after as_of."),
        Check::condition(
            "not_idle",
            "messages_sent + messages_received + reactions_given + reactions_received + calls_initiated + calls_received \
                + sessions > 0",
            &["messages_sent", "messages_received", "reactions_given", "reactions_received", "sessions"],
            "A user without any activity on a date has no row.",
        ),
        Check::condition(
            "is_active_day",
            "CASE WHEN messages_sent + reactions_given + calls_initiated > 0 THEN is_active_day \
                WHEN calls_received = 0 THEN NOT is_active_day ELSE true END",
            &["messages_sent", "reactions_given", "calls_initiated", "calls_received", "is_active_day"],
            "Active is who sent a message, gave a reaction, placed or joined a call.",
        ),
        Check::condition(
            "messages",
            "(conversations_active = 0) = (messages_sent = 0) AND conversations_active <= messages_sent \
                AND new_conversations_started <= conversations_active AND media_shared <= messages_sent",
            &["messages_sent", "conversations_active", "new_conversations_started", "media_shared"],
            "What is counted of the messages sent does not exceed them.",
        ),
    ],
    query: Query::Sql(include_str!("user_activity.sql")),
};
