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

use crate::job::JobDefinition;
use crate::view::ViewDefinition;

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
