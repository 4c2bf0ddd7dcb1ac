"""Silver tables from bronze rows: one function a table, each the plain reading of its definition.

The row-level tables (users, messages, conversations, calls, reactions, media) hold everything that bronze has; only the
aggregates `user_sessions` and `user_activity` stop at `as_of`. Python compares strings by code points, which is the
order of their UTF-8 bytes, the one that the contract wants.
"""

from collections import defaultdict
from math import fsum

from instants import MINUTE, add_days, as_of_date, date_of, days_since, hour_of
from media import key_of

SESSION_GAP = 30 * MINUTE
ACTIVE_WINDOW_DAYS = 30


def build(bronze, as_of):
    """All silver tables, by name, from the bronze tables by name."""
    tables = {
        "users": users(bronze["users"], bronze["auth_users"], as_of),
        "messages": messages(bronze["messages"], bronze["users"]),
        "conversations": conversations(bronze["conversations"], as_of),
        "calls": calls(bronze["calls"]),
        "reactions": reactions(bronze["messages"]),
        "media": media_objects(bronze["media"], bronze["messages"]),
    }
    tables["user_sessions"] = user_sessions(tables, as_of)
    tables["user_activity"] = user_activity(tables, as_of)
    return tables


def _is_filled(text):
    return text is not None and text.strip(" ") != ""


def _email_key(email):
    """What emails are joined on; None when it joins nothing."""
    return None if email is None else email.strip(" ").lower() or None


def users(bronze_users, auth_users, as_of):
    """One row per user, with the columns of the auth user that belongs to it."""
    last_date = as_of_date(as_of)
    by_external_id, by_email = defaultdict(list), defaultdict(list)
    for auth in auth_users:
        if auth["external_id"]:
            by_external_id[auth["external_id"]].append(auth)
        elif _email_key(auth["email"]):
            by_email[_email_key(auth["email"])].append(auth)
    rows = []
    for user in bronze_users:
        candidates = by_external_id[user["user_id"]] or by_email[_email_key(user["email"])]
        auth = min(candidates, key=_auth_rank, default={})
        rows.append({
            "user_id": user["user_id"],
            "username": user["username"],
            "display_name": user["display_name"],
            "has_avatar": _is_filled(user["avatar"]),
            "has_bio": _is_filled(user["bio"]),
            "last_seen_at": user["last_seen_at"],
            "last_seen_days_ago": days_since(last_date, user["last_seen_at"]),
            "role": user["role"],
            "is_banned": user["is_banned"],
            "is_verified": user["is_verified"],
            "email_verified": auth.get("email_verified"),
            "two_factor_enabled": auth.get("two_factor_enabled"),
            "last_login_at": auth.get("last_login_at"),
            "login_count": auth.get("login_count"),
            "account_age_days": days_since(last_date, user["created_at"]),
            "created_at": user["created_at"],
        })
    return rows


def _auth_rank(auth):
    """Newest first, those without any time last, then by id."""
    changed_at = auth["updated_at"] if auth["updated_at"] is not None else auth["created_at"]
    return (1 if changed_at is None else 0, 0 if changed_at is None else -changed_at, auth["auth_user_id"])


def messages(bronze_messages, bronze_users):
    """One row per message id."""
    names = {user["user_id"]: user["display_name"] for user in bronze_users}
    rows = []
    for message in bronze_messages:
        attachments = message["attachments"]
        pairs = {(reaction["user_id"], reaction["emoji"]) for reaction in message["reactions"]}
        day_of_week = date_of(message["created_at"]).isoweekday()
        rows.append({
            "message_id": message["message_id"],
            "conversation_id": message["conversation_id"],
            "sender_id": message["sender_id"],
            "sender_name": names.get(message["sender_id"]),
            "message_type": message["message_type"],
            "content": message["content"],
            "content_length": None if message["content"] is None else len(message["content"]),
            "has_attachments": len(attachments) > 0,
            "attachment_count": len(attachments),
            "attachment_types": sorted({part["type"] for part in attachments if part["type"] is not None}),
            "attachment_bytes": sum(part["size_bytes"] or 0 for part in attachments),
            "reaction_count": len(pairs),
            "unique_reactors": len({user_id for user_id, _ in pairs}),
            "is_reply": message["reply_to_message_id"] is not None,
            "reply_to_message_id": message["reply_to_message_id"],
            "is_edited": message["is_edited"],
            "is_deleted": message["is_deleted"],
            "is_forwarded": message["is_forwarded"],
            "is_encrypted": message["is_encrypted"],
            "read_count": len({reader["user_id"] for reader in message["read_by"]}),
            "created_at": message["created_at"],
            "updated_at": message["updated_at"],
            "created_date": message["created_date"],
            "hour": hour_of(message["created_at"]),
            "day_of_week": day_of_week,
            "is_weekend": day_of_week >= 6,
        })
    return rows


def conversations(bronze_conversations, as_of):
    """One row per conversation."""
    last_date = as_of_date(as_of)
    first_active_date = add_days(last_date, 1 - ACTIVE_WINDOW_DAYS)
    rows = []
    for conversation in bronze_conversations:
        participant_ids = sorted({person["user_id"] for person in conversation["participants"]})
        last_message_at = conversation["last_message_at"]
        rows.append({
            "conversation_id": conversation["conversation_id"],
            "type": conversation["type"],
            "name": conversation["name"],
            "has_avatar": _is_filled(conversation["avatar"]),
            "participant_ids": participant_ids,
            "participant_count": len(participant_ids),
            "admin_count": len(set(conversation["admins"])),
            "last_message_at": last_message_at,
            "days_since_last_message": days_since(last_date, last_message_at),
            "is_archived": conversation["is_archived"],
            "is_locked": conversation["is_locked"],
            "is_active": last_message_at is not None and date_of(last_message_at) >= first_active_date,
            "conversation_age_days": days_since(last_date, conversation["created_at"]),
            "created_at": conversation["created_at"],
        })
    return rows


def calls(bronze_calls):
    """One row per call."""
    rows = []
    for call in bronze_calls:
        duration = call["duration_seconds"]
        participants = _call_participants(call)
        rows.append({
            "call_id": call["call_id"],
            "conversation_id": call["conversation_id"],
            "initiator_id": call["initiator_id"],
            "participants": participants,
            "participant_count": len(participants) + 1,
            "type": call["type"],
            "status": call["status"],
            "is_completed": call["status"] == "ended",
            "is_missed": call["status"] == "missed",
            "duration_seconds": duration,
            "duration_minutes": None if duration is None else duration / 60,
            "duration_category": _duration_category(duration),
            "created_at": call["created_at"],
            "created_date": call["created_date"],
            "hour": hour_of(call["created_at"]),
        })
    return rows


def _duration_category(duration):
    if duration is None:
        return "unknown"
    if duration < 60:
        return "short"
    return "medium" if duration < 600 else "long"


def _call_participants(call):
    """The others, one entry a user with the earliest time of joining; in an ended call of which no time is known
    for anybody, all joined when it was made."""
    times = defaultdict(list)
    for person in call["participants"]:
        times[person["user_id"]] += [] if person["joined_at"] is None else [person["joined_at"]]
    joined = {user_id: min(known, default=None) for user_id, known in times.items()}
    if call["status"] == "ended" and all(instant is None for instant in joined.values()):
        joined = dict.fromkeys(joined, call["created_at"])
    joined.pop(call["initiator_id"], None)
    return [{"user_id": user_id, "joined_at": joined[user_id]} for user_id in sorted(joined)]


def reactions(bronze_messages):
    """One row per (message, user, emoji), at its earliest time."""
    rows = {}
    for message in bronze_messages:
        for reaction in message["reactions"]:
            reacted_at = message["created_at"] if reaction["created_at"] is None else reaction["created_at"]
            key = (message["message_id"], reaction["user_id"], reaction["emoji"])
            if key not in rows or reacted_at < rows[key]["reacted_at"]:
                rows[key] = {
                    "message_id": message["message_id"],
                    "user_id": reaction["user_id"],
                    "emoji": reaction["emoji"],
                    "conversation_id": message["conversation_id"],
                    "message_sender_id": message["sender_id"],
                    "reacted_at": reacted_at,
                    "reacted_date": date_of(reacted_at),
                }
    return list(rows.values())


def media_objects(bronze_media, bronze_messages):
    """One row per object, with the first message that has it as an attachment."""
    users = defaultdict(list)
    for message in bronze_messages:
        for attachment in message["attachments"]:
            users[key_of(attachment["url"])].append((message["created_at"], message["message_id"]))
    return [
        {
            "key": item["key"],
            "size_bytes": item["size_bytes"],
            "content_type": item["content_type"],
            "message_id": min(users.get(item["key"], [(0, None)]))[1],
            "is_orphan": item["key"] not in users,
        }
        for item in bronze_media
    ]


def joined_before(call, as_of):
    """The users who joined a call (the initiator started it instead) before `as_of`."""
    return [
        (person["user_id"], person["joined_at"])
        for person in call["participants"]
        if person["joined_at"] is not None and person["joined_at"] < as_of
    ]


def events_before(tables, as_of):
    """The messages, reactions and calls whose time is before `as_of`."""
    return (
        [message for message in tables["messages"] if message["created_at"] < as_of],
        [reaction for reaction in tables["reactions"] if reaction["reacted_at"] < as_of],
        [call for call in tables["calls"] if call["created_at"] < as_of],
    )


def user_sessions(tables, as_of):
    """Maximal runs of a user's events with gaps of at most half an hour."""
    messages, reactions, calls = events_before(tables, as_of)
    events = [(message["sender_id"], message["created_at"]) for message in messages]
    events += [(reaction["user_id"], reaction["reacted_at"]) for reaction in reactions]
    events += [(call["initiator_id"], call["created_at"]) for call in calls]
    for call in calls:
        events += joined_before(call, as_of)
    sessions = []
    for user_id, instant in sorted(events):
        last = sessions[-1] if sessions else None
        if last and last["user_id"] == user_id and instant - last["session_end"] <= SESSION_GAP:
            last["session_end"] = instant
            last["event_count"] += 1
        else:
            sessions.append({
                "user_id": user_id, "session_start": instant, "session_end": instant, "event_count": 1,
            })
    for session in sessions:
        session["duration_minutes"] = (session["session_end"] - session["session_start"]) / MINUTE
        session["session_date"] = date_of(session["session_start"])
    return sessions


class _Day:
    """What one user did and received on one date."""

    def __init__(self):
        self.counts = defaultdict(int)
        self.call_minutes = []
        self.conversations = set()
        self.is_active = False


def user_activity(tables, as_of):
    """One row per user and date on which the user did or received anything."""
    messages, reactions, calls = events_before(tables, as_of)
    days = defaultdict(_Day)
    _count_messages(days, messages, tables["conversations"])
    for reaction in reactions:
        given = days[reaction["user_id"], reaction["reacted_date"]]
        given.counts["reactions_given"] += 1
        given.is_active = True
        days[reaction["message_sender_id"], reaction["reacted_date"]].counts["reactions_received"] += 1
    for call in calls:
        _count_call(days, call, as_of)
    for session in tables["user_sessions"]:
        days[session["user_id"], session["session_date"]].counts["sessions"] += 1
    return [_activity_row(user_id, date, day) for (user_id, date), day in days.items()]


def _count_messages(days, messages, conversations):
    participants = {row["conversation_id"]: row["participant_ids"] for row in conversations}
    first_dates = {}
    for message in messages:
        sender, conversation_id, date = message["sender_id"], message["conversation_id"], message["created_date"]
        day = days[sender, date]
        day.counts["messages_sent"] += 1
        day.counts["media_shared"] += 1 if message["has_attachments"] else 0
        day.conversations.add(conversation_id)
        day.is_active = True
        for user_id in participants.get(conversation_id, []):
            if user_id != sender:
                days[user_id, date].counts["messages_received"] += 1
        first_date = first_dates.get((sender, conversation_id), date)
        first_dates[sender, conversation_id] = min(first_date, date)
    for (sender, _), date in first_dates.items():
        days[sender, date].counts["new_conversations_started"] += 1


def _count_call(days, call, as_of):
    joined = {user_id for user_id, _ in joined_before(call, as_of)}
    initiator = days[call["initiator_id"], call["created_date"]]
    initiator.counts["calls_initiated"] += 1
    for person in call["participants"]:
        days[person["user_id"], call["created_date"]].counts["calls_received"] += 1
    for user_id in joined | {call["initiator_id"]}:
        day = days[user_id, call["created_date"]]
        day.is_active = True
        if call["status"] == "ended" and call["duration_minutes"] is not None:
            day.call_minutes.append(call["duration_minutes"])


def _activity_row(user_id, date, day):
    return {
        "user_id": user_id,
        "activity_date": date,
        "messages_sent": day.counts["messages_sent"],
        "messages_received": day.counts["messages_received"],
        "reactions_given": day.counts["reactions_given"],
        "reactions_received": day.counts["reactions_received"],
        "calls_initiated": day.counts["calls_initiated"],
        "calls_received": day.counts["calls_received"],
        "total_call_duration_minutes": fsum(day.call_minutes),
        "conversations_active": len(day.conversations),
        "new_conversations_started": day.counts["new_conversations_started"],
        "media_shared": day.counts["media_shared"],
        "sessions": day.counts["sessions"],
        "is_active_day": day.is_active,
    }
