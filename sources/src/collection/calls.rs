//! `calls`: one document per audio or video call.

use crate::column::{Absent, Column, Items, Kind, Layout, index_of};
use crate::decode::{Cell, Staged, Text};

const PARTICIPANT: Items = Items {
    bare_ids: true,
    columns: &[
        Column::of("user_id", Kind::Id, &["userId"]).required(),
        Column::of("joined_at", Kind::Time, &["joinedAt"]),
        Column::of("left_at", Kind::Time, &["leftAt"]),
    ],
};

const COLUMNS: &[Column] = &[
    Column::of("call_id", Kind::Id, &["_id"]).required(),
    Column::of("conversation_id", Kind::Id, &["conversationId"]),
    Column::of("initiator_id", Kind::Id, &["initiatorId"]).required(),
    Column::of("participants", Kind::Structs(&PARTICIPANT), &["participants", "participantIds"]),
    Column::of("type", Kind::Text, &["type"]),
    Column::of("status", Kind::Text, &["status"]),
    Column::of("started_at", Kind::Time, &["startTime", "startedAt"]),
    Column::of("ended_at", Kind::Time, &["endTime", "endedAt"]),
    Column::of("duration_seconds", Kind::Double, &["duration"]),
    Column::of("created_at", Kind::Time, &["createdAt"]).required(),
    Column::of("updated_at", Kind::Time, &["updatedAt"]).or(Absent::Copy("created_at")),
];

const STATUS: usize = index_of(COLUMNS, "status");
const STARTED_AT: usize = index_of(COLUMNS, "started_at");
const ENDED_AT: usize = index_of(COLUMNS, "ended_at");
const DURATION: usize = index_of(COLUMNS, "duration_seconds");

/// Columns and rules.
pub(super) const LAYOUT: Layout = Layout { columns: COLUMNS, settle: Some(settle) };

/// `completed` is `ended`; a missing duration is that between start and end; a negative one is unknown.
fn settle(row: &mut Staged<'_>) {
    if row.text(STATUS) == Some("completed") {
        row.cells[STATUS] = Cell::Text(Text::Literal("ended"));
    }
    if let (Cell::Null, Cell::Time(start), Cell::Time(end)) =
        (row.cells[DURATION], row.cells[STARTED_AT], row.cells[ENDED_AT])
    {
        row.cells[DURATION] = Cell::Double(seconds_between(start, end));
    }
    if let Cell::Double(seconds) = row.cells[DURATION]
        && seconds < 0.0
    {
        row.cells[DURATION] = Cell::Null;
    }
}

/// The conversion to a float rounds only spans of more than 2^53 microseconds, which is 285 years.
#[allow(clippy::cast_precision_loss)]
fn seconds_between(start_micros: i64, end_micros: i64) -> f64 {
    (end_micros - start_micros) as f64 / 1e6
}
