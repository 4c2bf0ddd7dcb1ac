//! `users`: one document per profile. Passwords, keys and tokens of the source are never decoded.

use crate::column::{Absent, Column, Kind, Layout, index_of};
use crate::decode::{Cell, Staged};

const COLUMNS: &[Column] = &[
    Column::of("user_id", Kind::Id, &["_id"]).required(),
    Column::of("phone_number", Kind::Text, &["phoneNumber"]),
    Column::of("email", Kind::Text, &["email"]),
    Column::of("username", Kind::Text, &["username"]),
    Column::of("display_name", Kind::Text, &["displayName"]),
    Column::of("avatar", Kind::Text, &["avatar"]),
    Column::of("bio", Kind::Text, &["bio"]),
    Column::of("status", Kind::Text, &["status"]),
    Column::of("last_seen_at", Kind::Time, &["lastSeen"]),
    Column::of("is_online", Kind::Boolean, &["isOnline"]).or(Absent::False),
    Column::of("role", Kind::Text, &["role"]).or(Absent::Text("user")),
    Column::of("is_banned", Kind::Boolean, &["isBanned"]).or(Absent::False),
    Column::of("is_verified", Kind::Boolean, &["isVerified"]).or(Absent::False),
    Column::of("linked_device_count", Kind::Length, &["linkedDevices"]),
    Column::of("created_at", Kind::Time, &["createdAt"]).required(),
    Column::of("updated_at", Kind::Time, &["updatedAt"]).or(Absent::Copy("created_at")),
];

const STATUS: usize = index_of(COLUMNS, "status");
const IS_ONLINE: usize = index_of(COLUMNS, "is_online");

/// Columns and rules.
pub(super) const LAYOUT: Layout = Layout { columns: COLUMNS, settle: Some(settle) };

/// Without `isOnline` the status says it.
fn settle(row: &mut Staged<'_>) {
    if row.was_absent(IS_ONLINE) && row.text(STATUS) == Some("online") {
        row.cells[IS_ONLINE] = Cell::Boolean(true);
    }
}
