"""Bronze tables: one row per id, the newest `updated_at` wins, a tie is won by the later read."""

KEYS = {
    "messages": "message_id",
    "users": "user_id",
    "conversations": "conversation_id",
    "calls": "call_id",
    "notifications": "notification_id",
    "auth_users": "auth_user_id",
    "auth_sessions": "session_id",
    "audit_logs": "audit_id",
    "media": "key",
}
# What tells the newer of two rows; `updated_at` where nothing else is said.
NEWEST = {"audit_logs": "created_at", "media": "last_modified"}


def upsert(table, rows):
    """Folds rows in reading order (several export folders: one after the other) into the rows of the table.

    A row without `updated_at` (an auth user without any time) loses to every row that has one.
    """
    kept, newest = {}, NEWEST.get(table, "updated_at")
    for row in rows:
        key = row[KEYS[table]]
        if key not in kept or _age(row[newest]) >= _age(kept[key][newest]):
            kept[key] = row
    return list(kept.values())


def _age(instant):
    return -1 if instant is None else instant
