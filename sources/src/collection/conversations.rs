//! `conversations`: one document per conversation of two or group.

use crate::column::{Absent, Column, Items, Kind, Layout};

const PARTICIPANT: Items = Items {
    bare_ids: true,
    columns: &[
        Column::of("user_id", Kind::Id, &["userId"]).required(),
        Column::of("joined_at", Kind::Time, &["joinedAt"]),
    ],
};

/// Columns and rules.
pub(super) const LAYOUT: Layout = Layout {
    columns: &[
        Column::of("conversation_id", Kind::Id, &["_id"]).required(),
        Column::of("type", Kind::Text, &["type"]).or(Absent::Text("single")),
        Column::of("name", Kind::Text, &["name"]),
        Column::of("avatar", Kind::Text, &["avatar"]),
        Column::of("participants", Kind::Structs(&PARTICIPANT), &["participants"]),
        Column::of("admins", Kind::Ids, &["admins"]),
        Column::of("last_message_id", Kind::Id, &["lastMessageId", "lastMessage"]),
        Column::of("last_message_at", Kind::Time, &["lastMessageAt"]),
        Column::of("is_archived", Kind::Boolean, &["isArchived"]).or(Absent::False),
        Column::of("is_locked", Kind::Boolean, &["isLocked"]).or(Absent::False),
        Column::of("created_by", Kind::Id, &["createdBy"]),
        Column::of("created_at", Kind::Time, &["createdAt"]).required(),
        Column::of("updated_at", Kind::Time, &["updatedAt"]).or(Absent::Copy("created_at")),
    ],
    settle: None,
};
