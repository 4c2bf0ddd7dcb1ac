"""MongoDB documents of both shapes to the columns of bronze.

Each function takes a parsed document and the `Faults` to note refusals in; the row that it returns has a meaning
only while there are none. Where two names exist for one value, the first that is not null is the one that counts,
and only it is looked at.
"""

from extended_json import (
    INT_RANGE,
    LONG_RANGE,
    read_boolean,
    read_date,
    read_double,
    read_id,
    read_integer,
    read_list,
    read_string,
)
from instants import SECOND, date_of, month_of


def _first(document, *names):
    """The value of the first of `names` that is there and not null."""
    for name in names:
        if document.get(name) is not None:
            return document[name]
    return None


def _required_id(document, name, faults):
    value = read_id(document.get(name), faults)
    if value is None and (document.get(name) is None or document.get(name) == ""):
        faults.add("missing_key")
    return value


def _required_date(document, name, faults):
    if document.get(name) is None:
        return faults.add("missing_key")
    return read_date(document[name], faults)


def _times(document, faults):
    """created_at and updated_at; a document without the second was last changed when it was made."""
    created_at = _required_date(document, "createdAt", faults)
    updated_at = read_date(document.get("updatedAt"), faults)
    return created_at, created_at if updated_at is None else updated_at


def _objects(values, faults):
    """The elements that are objects; any other is a fault."""
    for value in values:
        if isinstance(value, dict):
            yield value
        else:
            faults.add("wrong_type")


def _id_element(value, faults):
    """An element of a list of ids. The contract calls an empty one a missing key or an element of a wrong type."""
    if value is None:
        return faults.add("wrong_type")
    if value == "":
        return faults.add("missing_key", "wrong_type")
    return read_id(value, faults)


def _people(document, names, dates, faults):
    """A list of user ids or of objects with a userId: the first of `names` whose list is not empty.

    `dates` maps the columns of the result, other than user_id, to the fields of the objects.
    """
    lists = [read_list(document.get(name), faults) for name in names]
    chosen = next((values for values in lists if values), [])
    people = []
    for value in chosen:
        if isinstance(value, dict) and "$oid" not in value:
            person = {"user_id": _required_id(value, "userId", faults)}
            for column, field in dates.items():
                person[column] = read_date(value.get(field), faults)
        else:
            person = {"user_id": _id_element(value, faults)} | dict.fromkeys(dates)
        people.append(person)
    return people


def message(document, faults):
    """A row of bronze.messages."""
    content = read_string(document.get("content"), faults)
    created_at, updated_at = _times(document, faults)
    return {
        "message_id": _required_id(document, "_id", faults),
        "conversation_id": _required_id(document, "conversationId", faults),
        "sender_id": _required_id(document, "senderId", faults),
        "message_type": _or(read_string(document.get("type"), faults), "text"),
        "content": content,
        "is_encrypted": content is None and document.get("encryptedContent") is not None,
        "reply_to_message_id": read_id(document.get("replyTo"), faults),
        "attachments": [
            _attachment(value, faults) for value in _objects(read_list(document.get("attachments"), faults), faults)
        ],
        "reactions": [
            _reaction(value, faults) for value in _objects(read_list(document.get("reactions"), faults), faults)
        ],
        "read_by": _people(document, ("readReceipts", "readBy"), {"read_at": "readAt"}, faults),
        "is_edited": read_boolean(document.get("isEdited"), faults),
        "is_deleted": read_boolean(document.get("isDeleted"), faults),
        "is_forwarded": read_boolean(document.get("isForwarded"), faults),
        "created_at": created_at,
        "updated_at": updated_at,
        "deleted_at": read_date(document.get("deletedAt"), faults),
        "expires_at": read_date(document.get("expiresAt"), faults),
        "created_date": None if created_at is None else date_of(created_at),
    }


def _or(value, default):
    return default if value is None else value


def _attachment(value, faults):
    return {
        "type": read_string(value.get("type"), faults),
        "url": read_string(value.get("url"), faults),
        "filename": read_string(_first(value, "filename", "fileName"), faults),
        "size_bytes": read_integer(_first(value, "size", "fileSize"), faults, LONG_RANGE),
        "mime_type": read_string(value.get("mimeType"), faults),
        "thumbnail_url": read_string(value.get("thumbnailUrl"), faults),
        "duration_seconds": read_double(value.get("duration"), faults),
        "width": read_integer(value.get("width"), faults, INT_RANGE),
        "height": read_integer(value.get("height"), faults, INT_RANGE),
    }


def _reaction(value, faults):
    if value.get("emoji") is None:
        faults.add("missing_key")
    return {
        "user_id": _required_id(value, "userId", faults),
        "emoji": read_string(value.get("emoji"), faults),
        "created_at": read_date(value.get("createdAt"), faults),
    }


def user(document, faults):
    """A row of bronze.users."""
    created_at, updated_at = _times(document, faults)
    status = read_string(document.get("status"), faults)
    return {
        "user_id": _required_id(document, "_id", faults),
        "phone_number": read_string(document.get("phoneNumber"), faults),
        "email": read_string(document.get("email"), faults),
        "username": read_string(document.get("username"), faults),
        "display_name": read_string(document.get("displayName"), faults),
        "avatar": read_string(document.get("avatar"), faults),
        "bio": read_string(document.get("bio"), faults),
        "status": status,
        "last_seen_at": read_date(document.get("lastSeen"), faults),
        "is_online": read_boolean(document.get("isOnline"), faults, default=status == "online"),
        "role": _or(read_string(document.get("role"), faults), "user"),
        "is_banned": read_boolean(document.get("isBanned"), faults),
        "is_verified": read_boolean(document.get("isVerified"), faults),
        "linked_device_count": len(read_list(document.get("linkedDevices"), faults)),
        "created_at": created_at,
        "updated_at": updated_at,
        "created_month": None if created_at is None else month_of(created_at),
    }


def conversation(document, faults):
    """A row of bronze.conversations."""
    created_at, updated_at = _times(document, faults)
    return {
        "conversation_id": _required_id(document, "_id", faults),
        "type": _or(read_string(document.get("type"), faults), "single"),
        "name": read_string(document.get("name"), faults),
        "avatar": read_string(document.get("avatar"), faults),
        "participants": _people(document, ("participants",), {"joined_at": "joinedAt"}, faults),
        "admins": [_id_element(value, faults) for value in read_list(document.get("admins"), faults)],
        "last_message_id": read_id(_first(document, "lastMessageId", "lastMessage"), faults),
        "last_message_at": read_date(document.get("lastMessageAt"), faults),
        "is_archived": read_boolean(document.get("isArchived"), faults),
        "is_locked": read_boolean(document.get("isLocked"), faults),
        "created_by": read_id(document.get("createdBy"), faults),
        "created_at": created_at,
        "updated_at": updated_at,
        "created_month": None if created_at is None else month_of(created_at),
    }


def notification(document, faults):
    """A row of bronze.notifications."""
    created_at = _required_date(document, "createdAt", faults)
    read_at = read_date(document.get("readAt"), faults)
    updated_at = read_date(document.get("updatedAt"), faults)
    if updated_at is None and created_at is not None:
        updated_at = created_at if read_at is None else max(created_at, read_at)
    return {
        "notification_id": _required_id(document, "_id", faults),
        "user_id": _required_id(document, "userId", faults),
        "type": read_string(document.get("type"), faults),
        "title": read_string(document.get("title"), faults),
        "is_read": read_boolean(document.get("isRead"), faults),
        "created_at": created_at,
        "read_at": read_at,
        "updated_at": updated_at,
        "created_month": None if created_at is None else month_of(created_at),
    }


def call(document, faults):
    """A row of bronze.calls."""
    created_at, updated_at = _times(document, faults)
    status = read_string(document.get("status"), faults)
    started_at = read_date(_first(document, "startTime", "startedAt"), faults)
    ended_at = read_date(_first(document, "endTime", "endedAt"), faults)
    duration = read_double(document.get("duration"), faults)
    if document.get("duration") is None and started_at is not None and ended_at is not None:
        duration = (ended_at - started_at) / SECOND
    if duration is not None and duration < 0:
        duration = None
    joined_left = {"joined_at": "joinedAt", "left_at": "leftAt"}
    return {
        "call_id": _required_id(document, "_id", faults),
        "conversation_id": read_id(document.get("conversationId"), faults),
        "initiator_id": _required_id(document, "initiatorId", faults),
        "participants": _people(document, ("participants", "participantIds"), joined_left, faults),
        "type": read_string(document.get("type"), faults),
        "status": "ended" if status == "completed" else status,
        "started_at": started_at,
        "ended_at": ended_at,
        "duration_seconds": duration,
        "created_at": created_at,
        "updated_at": updated_at,
        "created_date": None if created_at is None else date_of(created_at),
    }
