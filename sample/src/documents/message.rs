//! Messages: texts, encrypted texts, media, replies, reactions, read marks, edits and deletions.

use super::Version;
use crate::json::Json;
use crate::media::MediaKind;
use crate::object_id::ObjectId;
use crate::options::DAY_MS;
use crate::random::{Purpose, Random};
use crate::style::Style;
use crate::traffic::Message;
use crate::vocabulary;
use crate::world::World;

/// Message types by frequency in thousandths; None leaves the field out.
const TYPES: &[(u64, Option<&str>)] = &[
    (815, Some("text")),
    (70, Some("image")),
    (20, Some("video")),
    (28, Some("audio")),
    (20, Some("file")),
    (12, Some("call")),
    (6, Some("huddle")),
    (20, Some("system")),
    (3, Some("poll")),
    (6, None),
];

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What happened to a message after it was sent.
struct Fate {
    is_edited: bool,
    deleted_ms: Option<i64>,
    updated_ms: i64,
    /// The other version was asked for and there is one.
    is_other: bool,
}

impl Fate {
    fn draw(world: &World, message: &Message, version: Version, random: &mut Random) -> Self {
        let is_edited = random.per_mille(40);
        let mut updated_ms = message.created_ms;
        if is_edited {
            updated_ms = world.later(updated_ms, 3_600_000, random);
        }
        let mut deleted_ms = None;
        if random.per_mille(15) {
            updated_ms = world.later(updated_ms, DAY_MS, random);
            deleted_ms = Some(updated_ms);
        }
        let current = Self { is_edited, deleted_ms, updated_ms, is_other: false };
        if version == Version::Current {
            return current;
        }
        let newer_ms = world.later(updated_ms, DAY_MS, &mut world.random(Purpose::MessageVersion, message.index));
        if newer_ms == updated_ms {
            return current;
        }
        Self { is_edited: true, updated_ms: newer_ms, is_other: true, ..current }
    }
}

/// Writes a message and says whether it is a state other than the current one. `text` is scratch space.
pub(crate) fn write(world: &World, message: &Message, version: Version, json: &mut Json, text: &mut String) -> bool {
    let mut random = world.random(Purpose::Message, message.index);
    let style = Style::draw(&mut random);
    let fate = Fate::draw(world, message, version, &mut random);
    json.begin(style);
    json.id(world.message_id(message.created_ms, message.index));
    json.reference("conversationId", world.conversation_id(message.conversation));
    json.reference("senderId", message.sender);
    let message_type = random.weighted(TYPES);
    if let Some(name) = message_type {
        json.text("type", name);
    }
    let media = MediaKind::ALL.into_iter().find(|kind| Some(kind.name()) == message_type);
    let words_key = random.bits() ^ u64::from(fate.is_other);
    let mut words = world.random(Purpose::MessageVersion, words_key);
    let is_system = message_type == Some("system");
    write_content(world, message, style, &fate, (media.is_some(), is_system), &mut words, json, text);
    write_attachments(world, style, media, &mut random, json);
    write_reactions(world, message, &mut random, json);
    write_reads(world, message, style, &mut random, json);
    if let Some(target) = message.reply_to {
        json.reference("replyTo", target);
    } else if random.per_mille(50) {
        json.null("replyTo");
    }
    write_state(message, style, &fate, &mut random, json);
    fate.is_other
}

/// `content`, or `encryptedContent` in its place.
#[expect(clippy::too_many_arguments, reason = "one call site; a struct for it would say nothing more")]
fn write_content(
    world: &World,
    message: &Message,
    style: Style,
    fate: &Fate,
    (is_media, is_system): (bool, bool),
    words: &mut Random,
    json: &mut Json,
    text: &mut String,
) {
    if is_system {
        let name = vocabulary::display_name(words);
        return json.parts("content", &[name, words.pick(&[" joined", " left", " changed the group's picture"])]);
    }
    if fate.deleted_ms.is_some() && words.per_mille(700) {
        return if words.per_mille(500) { json.null("content") } else { json.text("content", "") };
    }
    if is_media && words.per_mille(650) {
        return match words.below(3) {
            0 => json.null("content"),
            1 => json.text("content", ""),
            _ => (),
        };
    }
    if !style.is_documented() && !is_media && words.per_mille(450) {
        if words.per_mille(300) {
            json.null("content");
        }
        return write_encrypted(words, json, text);
    }
    vocabulary::message_text(world.population.conversation(message.conversation).language, words, text);
    json.text("content", text);
}

fn write_encrypted(words: &mut Random, json: &mut Json, text: &mut String) {
    json.open_object("encryptedContent");
    json.int("version", 2);
    json.text("algorithm", "xchacha20-poly1305");
    for (key, blocks) in [("nonce", 2), ("ciphertext", words.between(2, 8))] {
        text.clear();
        for _ in 0..blocks {
            let mut bits = words.bits();
            for _ in 0..8 {
                text.push(char::from(BASE64[(bits & 63) as usize]));
                bits >>= 6;
            }
        }
        json.text(key, text);
    }
    json.close_object();
}

fn write_attachments(world: &World, style: Style, media: Option<MediaKind>, random: &mut Random, json: &mut Json) {
    let Some(kind) = media else {
        if random.per_mille(200) {
            json.open_list("attachments");
            json.close_list();
        }
        return;
    };
    json.open_list("attachments");
    for _ in 0..random.weighted(&[(900, 1), (60, 2), (30, 3), (10, 5)]) {
        json.open_item();
        write_attachment(world, style, kind, random, json);
        json.close_object();
    }
    json.close_list();
}

fn write_attachment(world: &World, style: Style, kind: MediaKind, random: &mut Random, json: &mut Json) {
    let object = world.media.draw(kind, random);
    let name = object.key.rsplit('/').next().unwrap_or(&object.key);
    if !random.per_mille(10) {
        json.text("type", kind.name());
    }
    match random.below(20) {
        0 => json.parts("url", &["/media/", &object.key]),
        1 => json.parts("url", &["s3://quickchat-media/media/", &object.key]),
        2 => json.parts("url", &["https://cdn.quickchat.example/media/", &object.key, "?w=1080&fit=cover#top"]),
        _ => json.parts("url", &["https://cdn.quickchat.example/media/", &object.key]),
    }
    let (name_key, size_key) = if style.is_documented() { ("filename", "size") } else { ("fileName", "fileSize") };
    json.parts(name_key, &[random.pick(&["IMG_", "Grüße ", "отчёт-", ""]), name]);
    if !random.per_mille(20) {
        json.long(size_key, object.size_bytes);
    }
    json.text("mimeType", object.mime_type);
    if matches!(kind, MediaKind::Image | MediaKind::Video) {
        if random.per_mille(300) {
            json.parts("thumbnailUrl", &["https://cdn.quickchat.example/media/thumbs/", name]);
        }
        let (width, height) = random.pick(&[(1920, 1080), (1080, 1920), (4032, 3024), (640, 480)]);
        json.int("width", width);
        json.int("height", height);
    }
    if matches!(kind, MediaKind::Audio | MediaKind::Video) {
        match random.below(10) {
            0 => json.null("duration"),
            _ => json.tenths("duration", random.between(5, 6000)),
        }
    }
}

fn write_reactions(world: &World, message: &Message, random: &mut Random, json: &mut Json) {
    let count = match random.below(1000) {
        0..100 => 1,
        100..130 => 2,
        130..145 => random.between(3, 8),
        145..350 => 0,
        _ => return,
    };
    let members = world.population.members(message.conversation);
    json.open_list("reactions");
    for _ in 0..count {
        let user = world.user_id(random.pick(members));
        let emoji = random.weighted(vocabulary::EMOJIS);
        let reacted_ms = world.later(message.created_ms, 2 * 3_600_000, random);
        write_reaction(user, emoji, reacted_ms, random, json);
        if random.per_mille(30) {
            // A double tap on a bad line: the same reaction twice.
            write_reaction(user, emoji, world.later(reacted_ms, 1000, random), random, json);
        }
    }
    json.close_list();
}

fn write_reaction(user: ObjectId, emoji: &str, reacted_ms: i64, random: &mut Random, json: &mut Json) {
    json.open_item();
    json.reference("userId", user);
    json.text("emoji", emoji);
    match random.below(20) {
        0..3 => (),
        3 => json.null("createdAt"),
        _ => json.date("createdAt", reacted_ms),
    }
    json.close_object();
}

/// `readBy` with ids in the documented shape, `readReceipts` with times in the application's.
fn write_reads(world: &World, message: &Message, style: Style, random: &mut Random, json: &mut Json) {
    let members = world.population.members(message.conversation);
    let most = (members.len() as i64 - 1).min(3);
    let count = if random.per_mille(500) { 0 } else { random.between(0, most) };
    if count == 0 && random.per_mille(500) {
        return;
    }
    json.open_list(if style.is_documented() { "readBy" } else { "readReceipts" });
    let first = random.index(members.len());
    for offset in 0..count as usize {
        let reader = world.user_id(members[(first + offset) % members.len()]);
        if style.is_documented() {
            json.item_reference(reader);
            if random.per_mille(10) {
                json.item_reference(reader);
            }
            continue;
        }
        json.open_item();
        json.reference("userId", reader);
        if !random.per_mille(30) {
            json.date("readAt", world.later(message.created_ms, 6 * 3_600_000, random));
        }
        json.close_object();
    }
    json.close_list();
}

/// Flags, dates, and fields that no pipeline knows.
fn write_state(message: &Message, style: Style, fate: &Fate, random: &mut Random, json: &mut Json) {
    let is_forwarded = random.per_mille(25);
    let says_false = random.per_mille(250);
    let flags = [("isEdited", fate.is_edited), ("isDeleted", fate.deleted_ms.is_some()), ("isForwarded", is_forwarded)];
    for (key, value) in flags {
        if value || says_false {
            json.flag(key, value);
        }
    }
    json.date("createdAt", message.created_ms);
    // Left out only where it says nothing new, so that it always tells versions apart.
    if fate.updated_ms > message.created_ms || !random.per_mille(120) {
        json.date("updatedAt", fate.updated_ms);
    }
    if let Some(deleted_ms) = fate.deleted_ms {
        json.date("deletedAt", deleted_ms);
    }
    if random.per_mille(20) {
        json.date("expiresAt", message.created_ms + 7 * DAY_MS);
    }
    if style.is_documented() {
        if random.per_mille(200) {
            json.open_object("metadata");
            json.text("client", random.pick(&["ios/4.2.0", "android/4.1.9", "web/2026.1"]));
            json.int("attempt", random.between(1, 3));
            json.close_object();
        }
    } else {
        json.text("status", random.pick(&["sent", "delivered", "read"]));
        json.int("__v", random.between(0, 3));
    }
}
