"""Small documents to bronze rows, through the decoder, with only the fields that a test is about."""

import json

import documents
from extended_json import Faults, parse_document
from instants import parse_iso


def _decode(decoder, fields):
    faults = Faults()
    row = decoder(parse_document(json.dumps(fields).encode(), faults), faults)
    if faults.reasons:
        raise ValueError(f"{fields}: {faults.reasons}")
    return row


def message(message_id, sender, created_at, conversation="c", **fields):
    """A row of bronze.messages."""
    known = {"_id": message_id, "senderId": sender, "conversationId": conversation, "createdAt": created_at}
    return _decode(documents.message, known | fields)


def user(user_id, created_at="2024-01-01", **fields):
    """A row of bronze.users."""
    return _decode(documents.user, {"_id": user_id, "createdAt": created_at} | fields)


def conversation(conversation_id, participants=(), created_at="2024-01-01", **fields):
    """A row of bronze.conversations."""
    known = {"_id": conversation_id, "participants": list(participants), "createdAt": created_at}
    return _decode(documents.conversation, known | fields)


def call(call_id, initiator, created_at, **fields):
    """A row of bronze.calls."""
    return _decode(documents.call, {"_id": call_id, "initiatorId": initiator, "createdAt": created_at} | fields)


def auth_user(auth_user_id, **fields):
    """A row of bronze.auth_users; times as ISO text."""
    row = dict.fromkeys((
        "email", "external_id", "status", "email_verified", "two_factor_enabled", "failed_login_attempts",
        "locked_until", "last_login_at", "login_count", "created_at", "updated_at",
    )) | {"auth_user_id": auth_user_id} | fields
    for name in ("created_at", "updated_at"):
        row[name] = row[name] and parse_iso(row[name])
    return row


def bronze(**tables):
    """The bronze tables, those that are not given empty."""
    names = ("messages", "users", "conversations", "calls", "notifications", "auth_users", "media")
    return {name: tables.get(name, []) for name in names}
