//! `messages`: one document per chat message.

use crate::column::{Absent, Column, Items, Kind, Layout, index_of};
use crate::decode::{Cell, Staged};

const ATTACHMENT: Items = Items {
    bare_ids: false,
    columns: &[
        Column::of("type", Kind::Text, &["type"]),
        Column::of("url", Kind::Text, &["url"]),
        Column::of("filename", Kind::Text, &["filename", "fileName"]),
        Column::of("size_bytes", Kind::Long, &["size", "fileSize"]),
        Column::of("mime_type", Kind::Text, &["mimeType"]),
        Column::of("thumbnail_url", Kind::Text, &["thumbnailUrl"]),
        Column::of("duration_seconds", Kind::Double, &["duration"]),
        Column::of("width", Kind::Int, &["width"]),
        Column::of("height", Kind::Int, &["height"]),
    ],
};

const REACTION: Items = Items {
    bare_ids: false,
    columns: &[
        Column::of("user_id", Kind::Id, &["userId"]).required(),
        Column::of("emoji", Kind::Text, &["emoji"]).required(),
        Column::of("created_at", Kind::Time, &["createdAt"]),
    ],
};

const RECEIPT: Items = Items {
    bare_ids: true,
    columns: &[Column::of("user_id", Kind::Id, &["userId"]).required(), Column::of("read_at", Kind::Time, &["readAt"])],
};

const COLUMNS: &[Column] = &[
    Column::of("message_id", Kind::Id, &["_id"]).required(),
    Column::of("conversation_id", Kind::Id, &["conversationId"]).required(),
    Column::of("sender_id", Kind::Id, &["senderId"]).required(),
    Column::of("message_type", Kind::Text, &["type"]).or(Absent::Text("text")),
    Column::of("content", Kind::Text, &["content"]),
    Column::of("is_encrypted", Kind::Present, &["encryptedContent"]),
    Column::of("reply_to_message_id", Kind::Id, &["replyTo"]),
    Column::of("attachments", Kind::Structs(&ATTACHMENT), &["attachments"]),
    Column::of("reactions", Kind::Structs(&REACTION), &["reactions"]),
    Column::of("read_by", Kind::Structs(&RECEIPT), &["readReceipts", "readBy"]),
    Column::of("is_edited", Kind::Boolean, &["isEdited"]).or(Absent::False),
    Column::of("is_deleted", Kind::Boolean, &["isDeleted"]).or(Absent::False),
    Column::of("is_forwarded", Kind::Boolean, &["isForwarded"]).or(Absent::False),
    Column::of("created_at", Kind::Time, &["createdAt"]).required(),
    Column::of("updated_at", Kind::Time, &["updatedAt"]).or(Absent::Copy("created_at")),
    Column::of("deleted_at", Kind::Time, &["deletedAt"]),
    Column::of("expires_at", Kind::Time, &["expiresAt"]),
];

const CONTENT: usize = index_of(COLUMNS, "content");
const IS_ENCRYPTED: usize = index_of(COLUMNS, "is_encrypted");

/// Columns and rules.
pub(super) const LAYOUT: Layout = Layout { columns: COLUMNS, settle: Some(settle) };

/// A message that has readable content is not encrypted, whatever else it carries.
fn settle(row: &mut Staged<'_>) {
    if !row.cells[CONTENT].is_null() {
        row.cells[IS_ENCRYPTED] = Cell::Boolean(false);
    }
}
