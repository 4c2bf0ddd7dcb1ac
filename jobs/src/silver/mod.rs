//! Silver: cleaned, deduplicated, enriched; what analysts start from.
//!
//! Row-level tables (users, messages, conversations, calls, reactions, media) hold everything that bronze has,
//! whatever the run's `as_of`; the two aggregates (user_sessions, user_activity) stop at it. Event
//! times are: a message's and a call's created_at, a reaction's reacted_at, a call participant's
//! joined_at.
//!
//! All tables are recomputed as a whole; the write leaves partitions alone that did not change.

mod calls;
mod conversations;
mod media;
mod messages;
mod reactions;
mod user_activity;
mod user_sessions;
mod users;

use crate::job::JobDefinition;

/// The jobs of the layer.
pub(crate) fn definitions() -> Vec<JobDefinition> {
    vec![
        users::JOB,
        messages::JOB,
        conversations::JOB,
        calls::JOB,
        reactions::JOB,
        user_sessions::JOB,
        user_activity::JOB,
        media::JOB,
    ]
}
