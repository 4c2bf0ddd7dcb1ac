//! Documents that cannot be decoded, each for exactly one reason.
//!
//! A small valid document of the collection is drafted and then spoiled in one place. Every draft holds its own serial
//! number, so no two bad documents of a sample are equal, and a secret, so that its removal can be tested.

use crate::object_id::{Kind, ObjectId};
use crate::random::{Purpose, Random};
use crate::rhythm::Civil;
use crate::summary::{Collection, Reason};
use crate::world::World;

/// The reason of the bad document `serial` of a collection: all reasons in turn.
pub(crate) fn reason(collection: Collection, serial: u64) -> Reason {
    let reasons = collection.reasons();
    reasons[((serial + collection as u64) % reasons.len() as u64) as usize]
}

/// The bad document `serial` of a MongoDB collection as a line.
pub(crate) fn document(world: &World, collection: Collection, serial: u64, reason: Reason) -> Vec<u8> {
    let key = ((collection as u64) << 40) | serial;
    let mut random = world.random(Purpose::Flaw, key);
    let mut draft = Draft::new(world, collection, key, serial, &mut random);
    let mut line = match reason {
        Reason::NotAnObject => no_object(serial, &mut random),
        Reason::InvalidJson => broken(draft.render(), &mut random),
        Reason::InvalidUtf8 => {
            let mut text = random.pick(BROKEN_TEXTS).to_vec();
            text.extend_from_slice(format!(" {serial}\"").as_bytes());
            draft.set(text_field(collection), &text);
            draft.render()
        }
        Reason::TooDeep => {
            let levels = random.pick(&[120, 150, 200]);
            draft.set("tree", &[vec![b'['; levels], vec![b']'; levels]].concat());
            draft.render()
        }
        Reason::MissingKey => {
            remove_key(&mut draft, collection, &mut random);
            draft.render()
        }
        Reason::WrongType => {
            let (field, value) = random.pick(wrong_types(collection));
            draft.set(field, value.as_bytes());
            draft.render()
        }
        Reason::BadDate => {
            draft.set(random.pick(date_fields(collection)), random.pick(BAD_DATES).as_bytes());
            draft.render()
        }
    };
    line.push(b'\n');
    line
}

/// Beginnings of strings that are no UTF-8: another encoding, half a character, halves of surrogate pairs.
const BROKEN_TEXTS: &[&[u8]] =
    &[b"\"caf\xE9", b"\"cut \xF0\x9F\x98", b"\"surrogate \xED\xA0\xBD", b"\"half \\ud83d pair"];

/// Values of a date field that are no date, or none that is accepted.
const BAD_DATES: &[&str] = &[
    "\"yesterday\"",
    "{\"$date\":\"2025-02-30T10:00:00Z\"}",
    "{\"$date\":\"1969-12-31T23:59:59.999Z\"}",
    "{\"$date\":{\"$numberLong\":\"-62135596800000\"}}",
    "{\"$date\":\"10000-01-01T00:00:00Z\"}",
    "\"1767225600000\"",
    "\"2025-12-01T24:00:00Z\"",
    "-1",
    "true",
];

/// A valid document as its fields' JSON, in order.
struct Draft {
    fields: Vec<(&'static str, Vec<u8>)>,
}

impl Draft {
    fn new(world: &World, collection: Collection, key: u64, serial: u64, random: &mut Random) -> Self {
        let created_ms = random.between(world.sizes.start_ms, world.sizes.end_ms - 1);
        let user = oid(world.user_id(world.population.draw_user(created_ms, random)));
        let conversation = world.population.draw_conversation(created_ms, random);
        let mut date = b"{\"$date\":\"".to_vec();
        Civil::from_ms(created_ms).append(b'T', &mut date);
        date.extend_from_slice(b"Z\"}");
        let secret = format!("\"CANARY-FLAWED-{serial}\"").into_bytes();

        let mut draft = Self { fields: Vec::new() };
        draft.set("_id", &oid(world.ids.id(Kind::Flawed, created_ms, key)));
        match collection {
            Collection::Messages => {
                draft.set("conversationId", &oid(world.conversation_id(conversation)));
                draft.set("senderId", &user);
                draft.set("isEdited", b"false");
            }
            Collection::Users => draft.set("password", &secret),
            Collection::Conversations => draft.set("participants", &[&b"["[..], &user, b"]"].concat()),
            Collection::Calls => draft.set("initiatorId", &user),
            _ => draft.set("userId", &user),
        }
        draft.set(text_field(collection), format!("\"flawed {serial}\"").as_bytes());
        draft.set("createdAt", &date);
        draft.set("sessionToken", &secret);
        draft.set("updatedAt", &date);
        draft
    }

    /// Replaces or appends a field.
    fn set(&mut self, name: &'static str, value: &[u8]) {
        self.remove(name);
        self.fields.push((name, value.to_vec()));
    }

    fn remove(&mut self, name: &str) {
        self.fields.retain(|(field, _)| *field != name);
    }

    fn render(&self) -> Vec<u8> {
        let mut line = vec![b'{'];
        for (position, (name, value)) in self.fields.iter().enumerate() {
            if position > 0 {
                line.push(b',');
            }
            line.extend_from_slice(format!("\"{name}\":").as_bytes());
            line.extend_from_slice(value);
        }
        line.push(b'}');
        line
    }
}

fn oid(id: ObjectId) -> Vec<u8> {
    [&b"{\"$oid\":\""[..], &id.hex(), b"\"}"].concat()
}

/// A field of text that every reader of the collection decodes.
fn text_field(collection: Collection) -> &'static str {
    match collection {
        Collection::Messages => "content",
        Collection::Users => "displayName",
        Collection::Conversations => "name",
        Collection::Calls => "status",
        _ => "title",
    }
}

fn date_fields(collection: Collection) -> &'static [&'static str] {
    match collection {
        Collection::Messages => &["createdAt", "updatedAt", "deletedAt", "expiresAt"],
        Collection::Users => &["createdAt", "updatedAt", "lastSeen"],
        Collection::Conversations => &["createdAt", "updatedAt", "lastMessageAt"],
        Collection::Calls => &["createdAt", "updatedAt", "startedAt"],
        _ => &["createdAt", "readAt"],
    }
}

fn wrong_types(collection: Collection) -> &'static [(&'static str, &'static str)] {
    match collection {
        Collection::Messages => &[
            ("content", "5"),
            ("isEdited", "\"yes\""),
            ("senderId", "12345"),
            ("attachments", "\"none\""),
            ("reactions", "[null]"),
            ("readBy", "[7]"),
            ("_id", "{\"$oid\":\"not-hexadecimal\"}"),
        ],
        Collection::Users => {
            &[("phoneNumber", "5"), ("isBanned", "\"no\""), ("username", "[\"x\"]"), ("linkedDevices", "3")]
        }
        Collection::Conversations => {
            &[("participants", "\"all\""), ("isArchived", "1"), ("avatar", "{}"), ("admins", "[null]")]
        }
        Collection::Calls => &[("participants", "{}"), ("type", "7"), ("duration", "\"12\""), ("initiatorId", "true")],
        _ => &[("isRead", "\"false\""), ("type", "9"), ("userId", "5")],
    }
}

/// Takes away a required key, sets it to null, or makes an id empty; or leaves a list's element without its user.
fn remove_key(draft: &mut Draft, collection: Collection, random: &mut Random) {
    let keys: &[&'static str] = match collection {
        Collection::Messages => &["_id", "conversationId", "senderId", "createdAt", "reactions"],
        Collection::Users => &["_id", "createdAt"],
        Collection::Conversations => &["_id", "createdAt", "participants"],
        Collection::Calls => &["_id", "initiatorId", "createdAt", "participants"],
        _ => &["_id", "userId", "createdAt"],
    };
    match random.pick(keys) {
        "reactions" => draft.set("reactions", "[{\"emoji\":\"👍\"}]".as_bytes()),
        "participants" => draft.set("participants", b"[{\"isInitiator\":true}]"),
        key => match random.below(3) {
            0 => draft.set(key, b"null"),
            1 if key != "createdAt" => draft.set(key, b"\"\""),
            _ => draft.remove(key),
        },
    }
}

fn no_object(serial: u64, random: &mut Random) -> Vec<u8> {
    let text = match random.below(3) {
        0 => format!("[\"not a document\",{serial}]"),
        1 => format!("\"not a document {serial}\""),
        _ => serial.to_string(),
    };
    text.into_bytes()
}

/// Makes a document no JSON. It is ASCII, so a cut leaves no half character.
fn broken(mut line: Vec<u8>, random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => line.truncate(line.len() * 2 / 3),
        1 => line.extend_from_slice(b" trailing"),
        2 => {
            line.pop();
            line.extend_from_slice(b",\"attempt\":NaN}");
        }
        _ => {
            line.pop();
            line.extend_from_slice(b",}");
        }
    }
    line
}
