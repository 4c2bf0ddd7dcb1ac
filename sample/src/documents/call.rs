//! Calls of every type and status, answered by all, some or none.

use super::Version;
use crate::json::Json;
use crate::object_id::Kind;
use crate::random::{Purpose, Random};
use crate::style::Style;
use crate::world::World;

/// One call before it is rendered.
struct Call {
    style: Style,
    created_ms: i64,
    status: &'static str,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    updated_ms: i64,
}

impl Call {
    fn draw(world: &World, index: u64, random: &mut Random) -> Self {
        let style = Style::draw(random);
        let created_ms = world.rhythm.at(index, world.sizes.calls, random);
        let ended = if style.is_documented() { random.pick(&["completed", "ended"]) } else { "ended" };
        let statuses =
            [(650, ended), (180, "missed"), (80, "rejected"), (40, "failed"), (30, "initiated"), (20, "ongoing")];
        let status = random.weighted(&statuses);
        let picked_up_ms = world.later(created_ms, 25_000, random);
        let (low, high) = random.weighted(&[(250, (1, 59)), (500, (60, 599)), (250, (600, 7200))]);
        let hung_up_ms = world.later(picked_up_ms, random.between(low, high) * 1000, random);
        let (started_ms, ended_ms) = match status {
            "completed" | "ended" => (Some(picked_up_ms), Some(hung_up_ms)),
            "ongoing" => (Some(picked_up_ms), None),
            "initiated" => (None, None),
            _ => (None, random.per_mille(500).then_some(picked_up_ms)),
        };
        let updated_ms = ended_ms.or(started_ms).unwrap_or(created_ms);
        Self { style, created_ms, status, started_ms, ended_ms, updated_ms }
    }

    /// The call while it rang, if it changed since.
    fn ringing(&self) -> Option<Self> {
        (self.updated_ms > self.created_ms).then_some(Self {
            status: "initiated",
            started_ms: None,
            ended_ms: None,
            updated_ms: self.created_ms,
            ..*self
        })
    }
}

/// Writes a call and says whether it is a state other than the current one.
pub(crate) fn write(world: &World, index: u64, version: Version, json: &mut Json) -> bool {
    let mut random = world.random(Purpose::Call, index);
    let current = Call::draw(world, index, &mut random);
    let other = if version == Version::Other { current.ringing() } else { None };
    let is_other = other.is_some();
    let call = other.unwrap_or(current);
    let style = call.style;
    let conversation = world.population.draw_conversation(call.created_ms, &mut random);
    let initiator = world.population.draw_member(conversation, call.created_ms, None, &mut random);

    json.begin(style);
    json.id(world.ids.id(Kind::Call, call.created_ms, index));
    if !random.per_mille(30) {
        json.reference("conversationId", world.conversation_id(conversation));
    }
    json.reference("initiatorId", world.user_id(initiator));
    write_participants(world, &call, conversation, initiator, &mut random, json);
    json.text("type", if random.per_mille(600) { "audio" } else { "video" });
    json.text("status", call.status);
    let (start_key, end_key) = if style.is_documented() { ("startTime", "endTime") } else { ("startedAt", "endedAt") };
    if let Some(started_ms) = call.started_ms {
        json.date(start_key, started_ms);
    }
    match call.ended_ms {
        Some(ended_ms) => json.date(end_key, ended_ms),
        None => json.null(end_key),
    }
    if let (Some(started_ms), Some(ended_ms)) = (call.started_ms, call.ended_ms)
        && random.per_mille(800)
    {
        json.int("duration", (ended_ms - started_ms) / 1000);
    }
    if random.per_mille(300) {
        json.parts("roomToken", &["CANARY-ROOM-TOKEN-", &index.to_string()]);
    }
    json.date("createdAt", call.created_ms);
    json.date("updatedAt", call.updated_ms);
    if !style.is_documented() {
        json.open_object("quality");
        json.tenths("score", random.between(10, 50));
        json.close_object();
    }
    is_other
}

/// The members who were called, at most 12, the initiator among them.
fn write_participants(
    world: &World,
    call: &Call,
    conversation: u32,
    initiator: u32,
    random: &mut Random,
    json: &mut Json,
) {
    let others = world.population.members(conversation).iter().copied().filter(|user| *user != initiator);
    let called = std::iter::once(initiator).chain(others.take(11));
    if call.style.is_documented() {
        json.open_list("participantIds");
        for user in called {
            json.item_reference(world.user_id(user));
        }
        return json.close_list();
    }
    json.open_list("participants");
    for user in called {
        json.open_item();
        json.reference("userId", world.user_id(user));
        json.flag("isInitiator", user == initiator);
        if let Some(started_ms) = call.started_ms.filter(|_| random.per_mille(850)) {
            let last_ms = call.ended_ms.unwrap_or(started_ms);
            let joined_ms = started_ms + random.between(0, (last_ms - started_ms).min(20_000));
            json.date("joinedAt", joined_ms);
            if call.ended_ms.is_some() && random.per_mille(900) {
                json.date("leftAt", random.between(joined_ms, last_ms));
            }
        }
        json.close_object();
    }
    json.close_list();
}
