"""Sessions and audit logs as CSV files, and media objects, full of border cases.

Like the rows of `random_rows`, two versions of one id have different times of change or are the same row.
"""

import os
import shutil

from instants import DAY, HOUR, SECOND

SESSION_COLUMNS = (
    "id", "user_id", "device_id", "device_name", "ip_address", "revoked_at", "revoked_reason", "expires_at",
    "created_at",
)
AUDIT_LOG_COLUMNS = (
    "id", "user_id", "email", "event_type", "status", "ip_address", "device_id", "country", "city", "failure_reason",
    "request_id", "session_id", "created_at",
)
SESSION_SECRETS = ("session_token_hash", "token", "parent_token", "user_agent", "favourite_colour")
AUDIT_LOG_SECRETS = ("user_agent", "details", "favourite_colour")
SESSION_FAULTS = (
    {"id": ""}, {"id": "\\N"}, {"created_at": ""}, {"created_at": "0000-00-00 00:00:00"}, {"created_at": "soon"},
    {"expires_at": "1715000000"}, {"revoked_at": "2024-02-30"},
)
AUDIT_LOG_FAULTS = (
    {"id": ""}, {"created_at": "\\N"}, {"created_at": "2024-01-01T24:00:00"}, {"created_at": "1969-12-31 23:59:59"},
)
TEXTS = (None, "a", 'quoted, "text"', "line\nbreak", "名前", " lead", "0", "null")
MEDIA_NAMES = (
    "noext", ".hidden", "B.PNG", "x/y.tar.gz", "x/ünï cödé %20~.MOV", "x/hash#tag.webm", "x/what?.jpeg", "z.jpg.exe", "t/1.jpg",
)


def sessions(maker, count):
    """Versions of rows of `sessions`, shuffled; the flag stands under a name that the caller chooses."""
    rows = []
    for number in range(count):
        created_at = maker.instant()
        row = {
            "id": f"s{number}{maker.tag}",
            "user_id": maker.rng.choice((None, "1", "17")),
            "device_id": maker.rng.choice(TEXTS),
            "device_name": maker.rng.choice(TEXTS),
            "ip_address": maker.rng.choice((None, "10.0.0.1", "2001:db8::1")),
            "flag": maker.rng.choice((None, False)),
            "revoked_at": None,
            "revoked_reason": None,
            "expires_at": maker.maybe(maker.instant(), 0.7),
            "created_at": created_at,
        }
        rows.append(row)
        if maker.chance(0.4):
            # A time of revocation that lies before the login does not make the row older.
            revoked_at = maker.clamp(created_at + maker.rng.choice((1, SECOND, HOUR, 3 * DAY)))
            if revoked_at > created_at:
                rows.append(row | {"flag": True, "revoked_at": revoked_at, "revoked_reason": maker.rng.choice(TEXTS)})
        elif maker.chance(0.2):
            row["revoked_at"] = maker.clamp(created_at - HOUR)
    maker.rng.shuffle(rows)
    return rows


def audit_logs(maker, count):
    """Versions of rows of `audit_logs`, shuffled."""
    rows = []
    for number in range(count):
        row = {"id": f"{number}{maker.tag}", "created_at": maker.instant()}
        row |= {name: maker.rng.choice(TEXTS) for name in AUDIT_LOG_COLUMNS if name not in row}
        rows.append(row)
        if maker.chance(0.1):
            moved = maker.clamp(row["created_at"] + DAY)
            if moved > row["created_at"]:
                rows.append(row | {"created_at": moved, "status": "moved"})
    maker.rng.shuffle(rows)
    return rows


def remove_media(folders):
    """Makes room for other objects."""
    for folder in folders:
        shutil.rmtree(folder / "media", ignore_errors=True)


def write_media(folders, maker):
    """Small objects, some of which attachments name; what a later folder holds is newer, or the same."""
    rng = maker.rng
    names = [maker.media_name(number, index) for number in range(4) for index in range(10)]
    others = [maker.own_name(name) for name in MEDIA_NAMES]
    chosen = rng.sample(names, 12) + [name for name in others if maker.chance(0.8)]
    if maker.chance(0.1):
        return
    for name in chosen:
        size, modified = rng.randint(0, 50), maker.last_midnight - rng.randint(0, 10**9) * 1000
        for folder in folders:
            if not maker.chance(0.7):
                continue
            path = folder / "media" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
            os.utime(path, ns=(modified * 1000, modified * 1000))
            if maker.chance(0.3):
                size, modified = size + 1, modified + rng.choice((1, SECOND, DAY))
