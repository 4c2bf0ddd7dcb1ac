//! Silver: cleaned, deduplicated, enriched; what analysts start from.
//!
//! Row-level tables (users, messages, conversations, calls, reactions, media) hold everything that bronze has,
//! whatever the run's `as_of`; the two aggregates (user_sessions, user_activity) stop at it. Event
//! times are: a message's and a call's created_at, a reaction's reacted_at, a call participant's
//! joined_at.
//!
//! Each table says how its rows depend on its inputs; a run computes what a change concerns, and the write leaves
//! partitions alone that did not change.

mod calls;
mod conversations;
mod media;
mod messages;
mod reactions;
mod user_activity;
mod user_sessions;
mod users;

use crate::incremental::EventTime;
use crate::job::JobDefinition;

/// When a row of silver.calls counts: the call from created_at on, who joined it from joined_at on.
const CALL_TIME: EventTime = EventTime::ColumnAnd {
    column: "created_at",
    next: "SELECT joined_at FROM ( \
        SELECT participant['joined_at'] AS joined_at FROM ( \
            SELECT unnest(participants) AS participant FROM silver.calls \
            WHERE created_at < $as_of AND item_count(participants) > 0 \
        ) AS participants \
    ) AS joined WHERE joined_at >= $as_of ORDER BY joined_at LIMIT 1",
};

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
