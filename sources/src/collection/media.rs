//! `media`: one row per object that users sent. Nothing is decoded: the listing of the folder gives every value, so
//! the columns have no source fields.

use crate::column::{Column, Kind, Layout};

/// Columns and rules.
pub(super) const LAYOUT: Layout = Layout {
    columns: &[
        Column::of("key", Kind::Text, &[]).required(),
        Column::of("size_bytes", Kind::Long, &[]).required(),
        Column::of("etag", Kind::Text, &[]),
        Column::of("last_modified", Kind::Time, &[]).required(),
        Column::of("content_type", Kind::Text, &[]).required(),
    ],
    settle: None,
};
