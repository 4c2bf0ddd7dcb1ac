//! Conversations: single chats and groups, with their last message as the traffic left it.

use super::Version;
use crate::json::Json;
use crate::options::DAY_MS;
use crate::random::{Purpose, Random};
use crate::style::Style;
use crate::vocabulary;
use crate::world::World;

/// The last message of a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastMessage {
    pub(crate) created_ms: i64,
    pub(crate) index: u64,
}

/// Writes a conversation and says whether it is a state other than the current one.
pub(crate) fn write(world: &World, index: u32, last: Option<LastMessage>, version: Version, json: &mut Json) -> bool {
    let mut random = world.random(Purpose::Conversation, u64::from(index));
    let style = Style::draw(&mut random);
    let conversation = world.population.conversation(index);
    let created_ms = conversation.created_ms;
    let updated_ms = last.map_or(created_ms, |last| last.created_ms);
    let mut newer = world.random(Purpose::ConversationVersion, u64::from(index));
    let newer_ms = world.later(updated_ms, 10 * DAY_MS, &mut newer);
    let is_other = version == Version::Other && newer_ms > updated_ms;

    json.begin(style);
    json.id(world.conversation_id(index));
    if conversation.is_group {
        json.text("type", "group");
        let suffix = if is_other { " (renamed)" } else { "" };
        json.parts("name", &[random.pick(vocabulary::GROUP_NAMES), suffix]);
        if random.per_mille(400) {
            json.parts("avatar", &["https://cdn.quickchat.example/media/groups/", &index.to_string(), ".png"]);
        }
    } else if !random.per_mille(50) {
        json.text("type", "single");
    }
    write_participants(world, index, style, &mut random, json);
    write_admins(world, index, &mut random, json);
    write_last_message(world, last, style, json);
    json.flag("isArchived", random.per_mille(80) != is_other);
    if random.per_mille(500) {
        json.flag("isLocked", random.per_mille(30));
    }
    if !random.per_mille(50) {
        json.reference("createdBy", world.user_id(world.population.members(index)[0]));
    }
    json.date("createdAt", created_ms);
    json.date("updatedAt", if is_other { newer_ms } else { updated_ms });
    if !style.is_documented() {
        json.open_object("settings");
        json.flag("muted", random.per_mille(100));
        json.close_object();
        json.int("__v", random.between(0, 9));
    }
    is_other
}

fn write_participants(world: &World, index: u32, style: Style, random: &mut Random, json: &mut Json) {
    let created_ms = world.population.conversation(index).created_ms;
    json.open_list("participants");
    for user in world.population.members(index) {
        if style.is_documented() {
            json.item_reference(world.user_id(*user));
            continue;
        }
        json.open_item();
        json.reference("userId", world.user_id(*user));
        match random.below(20) {
            0 => (),
            1..5 => json.date("joinedAt", world.later(created_ms, 60 * DAY_MS, random)),
            _ => json.date("joinedAt", created_ms),
        }
        json.int("unreadCount", random.between(0, 12));
        json.close_object();
    }
    json.close_list();
}

fn write_admins(world: &World, index: u32, random: &mut Random, json: &mut Json) {
    if world.population.conversation(index).is_group {
        json.open_list("admins");
        let count = random.index(3) + 1;
        for user in world.population.members(index).iter().take(count) {
            json.item_reference(world.user_id(*user));
        }
        json.close_list();
    } else if random.per_mille(300) {
        json.open_list("admins");
        json.close_list();
    }
}

fn write_last_message(world: &World, last: Option<LastMessage>, style: Style, json: &mut Json) {
    let key = if style.is_documented() { "lastMessageId" } else { "lastMessage" };
    if let Some(last) = last {
        json.reference(key, world.message_id(last.created_ms, last.index));
        json.date("lastMessageAt", last.created_ms);
    } else if style.is_documented() {
        json.null(key);
    }
}
