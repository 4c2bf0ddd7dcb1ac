//! Gold: the figures that people look at.
//!
//! Every table stops at the run's `as_of`: events with their own time at or after it are left out, and so
//! are users and conversations created at or after it. Content and participant lists are those of now,
//! for bronze knows no older ones. Tables with a calculation or feature date keep the rows of other
//! dates.

mod conversation_analytics;
mod daily_metrics;
mod ml_features;
mod ml_features_latest;
mod monthly_metrics;
mod user_engagement;
mod weekly_metrics;

use crate::incremental::{Concern, Dependency, EventTime};
use crate::job::JobDefinition;
use crate::table_name::TableName;
use crate::view::ViewDefinition;

/// Whom a changed row about a user concerns.
const ITS_USER: &str = "SELECT user_id FROM changed";

/// Tables with a row per user have one for each user created before as_of.
const USERS: Dependency = Dependency {
    table: TableName::new("silver", "users"),
    concerns: &[Concern::Rows { columns: &["created_at"], units: ITS_USER }],
    time: EventTime::Column("created_at"),
};

/// Whom a changed conversation concerns: who is or was a participant, and all who ever sent to it, for the others in it
/// are their contacts.
const MEMBERS_AND_SENDERS: &str = "SELECT unnest(participant_ids) AS user_id FROM changed \
    WHERE item_count(participant_ids) > 0 \
    UNION ALL \
    SELECT messages.sender_id FROM silver.messages AS messages \
    JOIN (SELECT DISTINCT conversation_id FROM changed) AS conversations \
        ON conversations.conversation_id = messages.conversation_id";

/// The jobs of the layer.
pub(crate) fn definitions() -> Vec<JobDefinition> {
    vec![
        daily_metrics::JOB,
        weekly_metrics::JOB,
        monthly_metrics::JOB,
        user_engagement::JOB,
        conversation_analytics::JOB,
        ml_features::JOB,
    ]
}

/// The views of the layer.
pub(crate) fn views() -> Vec<ViewDefinition> {
    vec![ml_features_latest::VIEW]
}
