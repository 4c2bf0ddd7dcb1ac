"""Bronze rows as MongoDB documents: the keys of both shapes, chosen at random, values by `random_text.Writer`.

Each function returns the (key, text) pairs of the root object, so that `random_faults` can spoil one of them.
"""

from instants import SECOND


def _times(row, writer):
    created_at, updated_at = row["created_at"], row["updated_at"]
    omitted = updated_at == created_at and writer.chance(0.5)
    return [("createdAt", writer.date(created_at)), ("updatedAt", None if omitted else writer.date(updated_at))]


def _either(writer, names, text):
    """The pair under one of two names; sometimes the second holds rubbish that must not be looked at."""
    if text is None or text == "null" or writer.chance(0.4):
        return [(writer.rng.choice(names), text)]
    return [(names[0], text), (names[1], writer.rng.choice((None, "null", '{"not":["looked at"]}')))]


def _people(writer, people, dates, names):
    """A list of people under `names` = (of objects, of ids); those of whom no date is known may be mere ids."""
    def as_object(person):
        pairs = [("userId", writer.id(person["user_id"]))]
        pairs += [(field, writer.optional(person[column], writer.date)) for column, field in dates.items()]
        return writer.object(pairs)

    def as_id_or_object(person):
        no_dates = all(person[column] is None for column in dates)
        return writer.id(person["user_id"]) if no_dates and writer.chance(0.5) else as_object(person)

    objects, ids = names
    if writer.chance(0.5) or objects == ids:
        # The list of ids beside a filled one of objects is not used, its elements may be anything.
        other = [] if objects == ids else [(ids, writer.rng.choice((None, '["someone else"]', "[5]")))]
        return [(objects, writer.list(people, as_object if writer.chance(0.5) else as_id_or_object))] + (other if people else [])
    return [(objects, writer.rng.choice((None, "[]", "null"))), (ids, writer.list(people, as_id_or_object))]


def message(row, writer):
    """The pairs of a document of collection messages."""
    encrypted = None
    if row["is_encrypted"]:
        encrypted = writer.rng.choice(('"c2VjcmV0"', '{"iv":[1],"data":"x"}', "false"))
    elif row["content"] is not None:
        encrypted = writer.rng.choice((None, "null", '"also there"'))
    no_type = row["message_type"] == "text" and writer.chance(0.4)
    return [
        ("_id", writer.id(row["message_id"])),
        ("conversationId", writer.id(row["conversation_id"])),
        ("senderId", writer.id(row["sender_id"])),
        ("type", None if no_type else writer.string(row["message_type"])),
        ("content", writer.optional(row["content"], writer.string)),
        ("encryptedContent", encrypted),
        ("replyTo", writer.id(row["reply_to_message_id"])),
        ("attachments", writer.list(row["attachments"], lambda part: _attachment(part, writer))),
        ("reactions", writer.list(row["reactions"], lambda reaction: _reaction(reaction, writer))),
        *_people(writer, row["read_by"], {"read_at": "readAt"}, ("readReceipts", "readBy")),
        ("isEdited", writer.boolean(row["is_edited"])),
        ("isDeleted", writer.boolean(row["is_deleted"])),
        ("isForwarded", writer.boolean(row["is_forwarded"])),
        *_times(row, writer),
        ("deletedAt", writer.optional(row["deleted_at"], writer.date)),
        ("expiresAt", writer.optional(row["expires_at"], writer.date)),
    ]


def _attachment(part, writer):
    return writer.object([
        ("type", writer.optional(part["type"], writer.string)),
        ("url", writer.optional(part["url"], writer.string)),
        *_either(writer, ("filename", "fileName"), writer.optional(part["filename"], writer.string)),
        *_either(writer, ("size", "fileSize"), writer.optional(part["size_bytes"], writer.integer)),
        ("mimeType", writer.optional(part["mime_type"], writer.string)),
        ("thumbnailUrl", writer.optional(part["thumbnail_url"], writer.string)),
        ("duration", writer.optional(part["duration_seconds"], writer.double)),
        ("width", writer.optional(part["width"], writer.integer)),
        ("height", writer.optional(part["height"], writer.integer)),
    ])


def _reaction(reaction, writer):
    return writer.object([
        ("userId", writer.id(reaction["user_id"])),
        ("emoji", writer.string(reaction["emoji"])),
        ("createdAt", writer.optional(reaction["created_at"], writer.date)),
    ])


def user(row, writer):
    """The pairs of a document of collection users."""
    devices = "[" + ",".join(['{"id":"d"}'] * row["linked_device_count"]) + "]"
    follows_status = row["is_online"] == (row["status"] == "online")
    is_online = "true" if row["is_online"] else "false"
    return [
        ("_id", writer.id(row["user_id"])),
        ("phoneNumber", writer.optional(row["phone_number"], writer.string)),
        ("email", writer.optional(row["email"], writer.string)),
        ("username", writer.optional(row["username"], writer.string)),
        ("displayName", writer.optional(row["display_name"], writer.string)),
        ("avatar", writer.optional(row["avatar"], writer.string)),
        ("bio", writer.optional(row["bio"], writer.string)),
        ("status", writer.optional(row["status"], writer.string)),
        ("lastSeen", writer.optional(row["last_seen_at"], writer.date)),
        ("isOnline", writer.rng.choice((None, "null")) if follows_status and writer.chance(0.5) else is_online),
        ("role", None if row["role"] == "user" and writer.chance(0.5) else writer.string(row["role"])),
        ("isBanned", writer.boolean(row["is_banned"])),
        ("isVerified", writer.boolean(row["is_verified"])),
        ("linkedDevices", None if devices == "[]" and writer.chance(0.5) else devices),
        *_times(row, writer),
    ]


def conversation(row, writer):
    """The pairs of a document of collection conversations."""
    last_message = writer.id(row["last_message_id"])
    last_message_pairs = [("lastMessageId", None)]
    if row["last_message_id"] is not None:
        last_message_pairs = _either(writer, ("lastMessageId", "lastMessage"), last_message)
    return [
        ("_id", writer.id(row["conversation_id"])),
        ("type", None if row["type"] == "single" and writer.chance(0.5) else writer.string(row["type"])),
        ("name", writer.optional(row["name"], writer.string)),
        ("avatar", writer.optional(row["avatar"], writer.string)),
        *_people(writer, row["participants"], {"joined_at": "joinedAt"}, ("participants", "participants")),
        ("admins", writer.list(row["admins"], writer.id)),
        *last_message_pairs,
        ("lastMessageAt", writer.optional(row["last_message_at"], writer.date)),
        ("isArchived", writer.boolean(row["is_archived"])),
        ("isLocked", writer.boolean(row["is_locked"])),
        ("createdBy", writer.id(row["created_by"])),
        *_times(row, writer),
    ]


def call(row, writer):
    """The pairs of a document of collection calls."""
    status = row["status"]
    if status == "ended":
        status = writer.rng.choice(("ended", "completed"))
    return [
        ("_id", writer.id(row["call_id"])),
        ("conversationId", writer.id(row["conversation_id"])),
        ("initiatorId", writer.id(row["initiator_id"])),
        *_people(
            writer, row["participants"], {"joined_at": "joinedAt", "left_at": "leftAt"},
            ("participants", "participantIds"),
        ),
        ("type", writer.optional(row["type"], writer.string)),
        ("status", writer.optional(status, writer.string)),
        *_either(writer, ("startTime", "startedAt"), writer.optional(row["started_at"], writer.date)),
        *_either(writer, ("endTime", "endedAt"), writer.optional(row["ended_at"], writer.date)),
        ("duration", _duration(row, writer)),
        *_times(row, writer),
    ]


def notification(row, writer):
    """The pairs of a document of collection notifications."""
    known = max(row["created_at"], row["created_at"] if row["read_at"] is None else row["read_at"])
    omitted = row["updated_at"] == known and writer.chance(0.6)
    return [
        ("_id", writer.id(row["notification_id"])),
        ("userId", writer.id(row["user_id"])),
        ("type", writer.optional(row["type"], writer.string)),
        ("title", writer.optional(row["title"], writer.string)),
        ("isRead", writer.boolean(row["is_read"])),
        ("createdAt", writer.date(row["created_at"])),
        ("readAt", writer.optional(row["read_at"], writer.date)),
        ("updatedAt", None if omitted else writer.date(row["updated_at"])),
    ]


def _duration(row, writer):
    """The text of the duration, or nothing where it follows from the times of start and end."""
    computed = None
    if row["started_at"] is not None and row["ended_at"] is not None:
        computed = (row["ended_at"] - row["started_at"]) / SECOND
        if computed < 0:
            computed = None
        if computed == row["duration_seconds"] and writer.chance(0.7):
            return None
    if row["duration_seconds"] is not None:
        return writer.double(row["duration_seconds"])
    # A negative one says as little as none.
    return "-1" if computed is not None or writer.chance(0.2) else writer.rng.choice((None, "null"))
