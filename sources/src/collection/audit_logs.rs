//! `audit_logs`: one row per event of an account, from the MySQL table of this name.
//!
//! The user agent and `details`, which is free text, are never decoded.

use crate::column::{Column, Kind, Layout};

/// Columns and rules.
pub(super) const LAYOUT: Layout = Layout {
    columns: &[
        Column::of("audit_id", Kind::Id, &["id"]).required(),
        Column::of("auth_user_id", Kind::Id, &["user_id"]),
        Column::of("email", Kind::Text, &["email"]),
        Column::of("event_type", Kind::Text, &["event_type"]),
        Column::of("status", Kind::Text, &["status"]),
        Column::of("ip_address", Kind::Text, &["ip_address"]),
        Column::of("device_id", Kind::Text, &["device_id"]),
        Column::of("country", Kind::Text, &["country"]),
        Column::of("city", Kind::Text, &["city"]),
        Column::of("failure_reason", Kind::Text, &["failure_reason"]),
        Column::of("request_id", Kind::Text, &["request_id"]),
        Column::of("session_id", Kind::Id, &["session_id"]),
        Column::of("created_at", Kind::Time, &["created_at"]).required(),
    ],
    settle: None,
};
