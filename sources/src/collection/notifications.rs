//! `notifications`: one document per notice to a user. Push tokens of the source are never decoded.

use crate::column::{Absent, Column, Kind, Layout, index_of};
use crate::decode::{Cell, Staged};

const COLUMNS: &[Column] = &[
    Column::of("notification_id", Kind::Id, &["_id"]).required(),
    Column::of("user_id", Kind::Id, &["userId"]).required(),
    Column::of("type", Kind::Text, &["type"]),
    Column::of("title", Kind::Text, &["title"]),
    Column::of("is_read", Kind::Boolean, &["isRead"]).or(Absent::False),
    Column::of("created_at", Kind::Time, &["createdAt"]).required(),
    Column::of("read_at", Kind::Time, &["readAt"]),
    Column::of("updated_at", Kind::Time, &["updatedAt"]).or(Absent::Copy("created_at")),
];

const READ_AT: usize = index_of(COLUMNS, "read_at");
const UPDATED_AT: usize = index_of(COLUMNS, "updated_at");

/// Columns and rules.
pub(super) const LAYOUT: Layout = Layout { columns: COLUMNS, settle: Some(settle) };

/// Without `updatedAt` the document last changed when it was read.
fn settle(row: &mut Staged<'_>) {
    if row.was_absent(UPDATED_AT)
        && let (Cell::Time(updated), Cell::Time(read)) = (row.cells[UPDATED_AT], row.cells[READ_AT])
    {
        row.cells[UPDATED_AT] = Cell::Time(updated.max(read));
    }
}
