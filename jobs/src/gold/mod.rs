//! Gold: the figures that people look at.
//!
//! Every table stops at the run's `as_of`: events with their own time at or after it are left out, and so
//! are users and conversations created at or after it. Content and participant lists are those of now,
//! for bronze knows no older ones. Tables with a calculation or feature date keep the rows of other
//! dates.

mod daily_metrics;
mod ml_features;
mod user_engagement;

use crate::job::JobDefinition;

/// The jobs of the layer.
pub(crate) fn definitions() -> Vec<JobDefinition> {
    vec![daily_metrics::JOB, user_engagement::JOB, ml_features::JOB]
}
