//! `auth_sessions`: one row per login, from the MySQL table `sessions` or, where there is none, `refresh_tokens`.
//!
//! Tokens, their hashes and the user agent are never decoded.

use crate::column::{Absent, Column, Kind, Layout, index_of};
use crate::decode::{Cell, Staged};

const COLUMNS: &[Column] = &[
    Column::of("session_id", Kind::Id, &["id"]).required(),
    Column::of("auth_user_id", Kind::Id, &["user_id"]),
    Column::of("device_id", Kind::Text, &["device_id"]),
    Column::of("device_name", Kind::Text, &["device_name"]),
    Column::of("ip_address", Kind::Text, &["ip_address"]),
    Column::of("is_revoked", Kind::Boolean, &["is_revoked", "revoked"]).or(Absent::False),
    Column::of("revoked_at", Kind::Time, &["revoked_at"]),
    Column::of("revoked_reason", Kind::Text, &["revoked_reason"]),
    Column::of("expires_at", Kind::Time, &["expires_at"]),
    Column::of("created_at", Kind::Time, &["created_at"]).required(),
    Column::of("updated_at", Kind::Time, &["updated_at"]).or(Absent::Copy("created_at")),
];

const REVOKED_AT: usize = index_of(COLUMNS, "revoked_at");
const UPDATED_AT: usize = index_of(COLUMNS, "updated_at");

/// Columns and rules.
pub(super) const LAYOUT: Layout = Layout { columns: COLUMNS, settle: Some(settle) };

/// Without `updated_at`, which neither table has as a rule, a row last changed when it was revoked.
fn settle(row: &mut Staged<'_>) {
    if row.was_absent(UPDATED_AT)
        && let (Cell::Time(updated), Cell::Time(revoked)) = (row.cells[UPDATED_AT], row.cells[REVOKED_AT])
    {
        row.cells[UPDATED_AT] = Cell::Time(updated.max(revoked));
    }
}
