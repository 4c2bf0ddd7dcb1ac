//! The decoding rules as a slow and plain checker: which documents are valid, and why the others are not.

use chrono::{DateTime, NaiveDateTime, Utc};
use quickchat_sample::{Collection, Reason};
use serde_json::Value;

/// What a field must hold.
#[derive(Clone, Copy)]
enum Kind {
    Id,
    Date,
    Text,
    Flag,
    Integer,
    Number,
    List,
    /// A list of ids or of objects that name a user.
    Users,
    /// Objects of user and emoji.
    Reactions,
    Attachments,
}

use Kind::{Attachments, Date, Flag, Id, Integer, List, Number, Reactions, Text, Users};

fn fields(collection: Collection) -> (&'static [&'static str], &'static [(&'static str, Kind)]) {
    match collection {
        Collection::Messages => (
            &["_id", "conversationId", "senderId", "createdAt"],
            &[
                ("_id", Id),
                ("conversationId", Id),
                ("senderId", Id),
                ("replyTo", Id),
                ("type", Text),
                ("content", Text),
                ("attachments", Attachments),
                ("reactions", Reactions),
                ("readBy", Users),
                ("readReceipts", Users),
                ("isEdited", Flag),
                ("isDeleted", Flag),
                ("isForwarded", Flag),
                ("createdAt", Date),
                ("updatedAt", Date),
                ("deletedAt", Date),
                ("expiresAt", Date),
            ],
        ),
        Collection::Users => (
            &["_id", "createdAt"],
            &[
                ("_id", Id),
                ("phoneNumber", Text),
                ("email", Text),
                ("username", Text),
                ("displayName", Text),
                ("avatar", Text),
                ("bio", Text),
                ("status", Text),
                ("lastSeen", Date),
                ("isOnline", Flag),
                ("role", Text),
                ("isBanned", Flag),
                ("isVerified", Flag),
                ("linkedDevices", List),
                ("createdAt", Date),
                ("updatedAt", Date),
            ],
        ),
        Collection::Conversations => (
            &["_id", "createdAt"],
            &[
                ("_id", Id),
                ("type", Text),
                ("name", Text),
                ("avatar", Text),
                ("participants", Users),
                ("admins", Users),
                ("lastMessageId", Id),
                ("lastMessage", Id),
                ("lastMessageAt", Date),
                ("isArchived", Flag),
                ("isLocked", Flag),
                ("createdBy", Id),
                ("createdAt", Date),
                ("updatedAt", Date),
            ],
        ),
        Collection::Calls => (
            &["_id", "initiatorId", "createdAt"],
            &[
                ("_id", Id),
                ("conversationId", Id),
                ("initiatorId", Id),
                ("participantIds", Users),
                ("participants", Users),
                ("type", Text),
                ("status", Text),
                ("startTime", Date),
                ("startedAt", Date),
                ("endTime", Date),
                ("endedAt", Date),
                ("duration", Number),
                ("createdAt", Date),
                ("updatedAt", Date),
            ],
        ),
        _ => (
            &["_id", "userId", "createdAt"],
            &[
                ("_id", Id),
                ("userId", Id),
                ("type", Text),
                ("title", Text),
                ("isRead", Flag),
                ("createdAt", Date),
                ("readAt", Date),
                ("updatedAt", Date),
            ],
        ),
    }
}

/// The document of a line, or why it is bad.
pub(crate) fn check(collection: Collection, line: &[u8]) -> Result<Value, Reason> {
    let text = std::str::from_utf8(line).map_err(|_| Reason::InvalidUtf8)?;
    if depth(text) > 100 {
        return Err(Reason::TooDeep);
    }
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        if message.contains("surrogate") || message.contains("hex escape") {
            Reason::InvalidUtf8
        } else {
            Reason::InvalidJson
        }
    })?;
    if !value.is_object() {
        return Err(Reason::NotAnObject);
    }
    let (required, kinds) = fields(collection);
    check_object(&value, required, kinds)?;
    Ok(value)
}

fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => (),
        }
    }
    deepest
}

fn check_object(value: &Value, required: &[&str], kinds: &[(&str, Kind)]) -> Result<(), Reason> {
    for key in required {
        if value[*key].is_null() || value[*key] == "" {
            return Err(Reason::MissingKey);
        }
    }
    for (key, kind) in kinds {
        if !value[*key].is_null() {
            check_value(&value[*key], *kind)?;
        }
    }
    Ok(())
}

fn check_value(value: &Value, kind: Kind) -> Result<(), Reason> {
    let is_right = match kind {
        Id => value.is_string() || value["$oid"].as_str().is_some_and(is_object_id),
        Date => {
            let millis = date_millis(value).ok_or(Reason::BadDate)?;
            // To the end of the year 9999.
            return if (0..253_402_300_800_000).contains(&millis) { Ok(()) } else { Err(Reason::BadDate) };
        }
        Text => value.is_string(),
        Flag => value.is_boolean(),
        Integer => integer(value).is_some(),
        Number => value.is_number() || integer(value).is_some() || value["$numberDouble"].is_string(),
        List => value.is_array(),
        Users => {
            return check_list(
                value,
                &["userId"],
                &[("userId", Id), ("joinedAt", Date), ("leftAt", Date), ("readAt", Date)],
            );
        }
        Reactions => {
            return check_list(value, &["userId", "emoji"], &[("userId", Id), ("emoji", Text), ("createdAt", Date)]);
        }
        Attachments => {
            let kinds = [
                ("type", Text),
                ("url", Text),
                ("filename", Text),
                ("fileName", Text),
                ("size", Integer),
                ("fileSize", Integer),
                ("mimeType", Text),
                ("thumbnailUrl", Text),
                ("duration", Number),
                ("width", Integer),
                ("height", Integer),
            ];
            return check_list(value, &[], &kinds);
        }
    };
    if is_right { Ok(()) } else { Err(Reason::WrongType) }
}

fn check_list(value: &Value, required: &[&str], kinds: &[(&str, Kind)]) -> Result<(), Reason> {
    for element in value.as_array().ok_or(Reason::WrongType)? {
        let is_id = element.is_string() || element.get("$oid").is_some();
        if !is_id && !element.is_object() {
            return Err(Reason::WrongType);
        }
        if !is_id {
            check_object(element, required, kinds)?;
        }
    }
    Ok(())
}

fn is_object_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn integer(value: &Value) -> Option<i64> {
    let wrapped = value["$numberInt"].as_str().or_else(|| value["$numberLong"].as_str());
    value.as_i64().or_else(|| wrapped.and_then(|digits| digits.parse().ok()))
}

/// Milliseconds since 1970 of every accepted form of a date that the generator writes.
pub(crate) fn date_millis(value: &Value) -> Option<i64> {
    let value = value.get("$date").unwrap_or(value);
    if let Some(millis) = integer(value) {
        return Some(millis);
    }
    let text = value.as_str()?;
    let parsed = DateTime::parse_from_rfc3339(text).map(|date| date.with_timezone(&Utc));
    let date =
        parsed.or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|date| date.and_utc()));
    date.ok().map(|date| date.timestamp_millis())
}
