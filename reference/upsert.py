"""Bronze tables: one row per id, the newest `updated_at` wins, a tie is won by the later read."""

KEYS = {
    "messages": "message_id",
    "users": "user_id",
    "conversations": "conversation_id",
    "calls": "call_id",
    "auth_users": "auth_user_id",
}


def upsert(table, rows):
    """Folds rows in reading order (several export folders: one after the other) into the rows of the table.

    A row without `updated_at` (an auth user without any time) loses to every row that has one.
    """
    kept = {}
    for row in rows:
        key = row[KEYS[table]]
        if key not in kept or _age(row) >= _age(kept[key]):
            kept[key] = row
    return list(kept.values())


def _age(row):
    return -1 if row["updated_at"] is None else row["updated_at"]
