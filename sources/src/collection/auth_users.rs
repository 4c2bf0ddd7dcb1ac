//! `auth_users`: one row per account, from the MySQL table `auth_users` or the older `users`.
//!
//! Columns that the one shape lacks are null. Password hashes and two-factor secrets of the source are never
//! decoded.

use crate::column::{Absent, Column, Kind, Layout};

/// Columns and rules.
pub(super) const LAYOUT: Layout = Layout {
    columns: &[
        Column::of("auth_user_id", Kind::Id, &["id"]).required(),
        Column::of("email", Kind::Text, &["email"]),
        Column::of("external_id", Kind::Id, &["external_id"]),
        Column::of("status", Kind::Text, &["status"]),
        Column::of("email_verified", Kind::Boolean, &["email_verified"]),
        Column::of("two_factor_enabled", Kind::Boolean, &["two_factor_enabled"]),
        Column::of("failed_login_attempts", Kind::Long, &["failed_login_attempts"]),
        Column::of("locked_until", Kind::Time, &["locked_until"]),
        Column::of("last_login_at", Kind::Time, &["last_login_at"]),
        Column::of("login_count", Kind::Long, &["login_count"]),
        Column::of("created_at", Kind::Time, &["created_at"]),
        Column::of("updated_at", Kind::Time, &["updated_at"]).or(Absent::Copy("created_at")),
    ],
    settle: None,
};
