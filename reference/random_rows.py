"""Random bronze rows full of border cases, made from a seed.

The rows are what an export should decode to; `random_export` chooses how to write them. Versions of one id either
have different `updated_at` or are the same row, for which of two equally new ones wins depends on the order of
reading, and a randomised comparison must not.
"""

from instants import DAY, END_OF_TIME, HOUR, MINUTE, SECOND, as_of_date, date_of, midnight, month_of

GAPS = (
    0, 1, SECOND, 5 * MINUTE, 30 * MINUTE - 1, 30 * MINUTE, 30 * MINUTE + 1, HOUR,
    24 * HOUR - 1, 24 * HOUR, 24 * HOUR + 1, 3 * DAY,
)
CONTENTS = (
    "", " ", "hello", "a\0b", "naïve café", "e\u0301", "👩‍👩‍👧‍👦", "שלום", "\\N", "null", 'say "hi"\\', "two\nlines", "\u2028",
    "𝔘nicode", "x" * 3000, "\ufeffbom", "tab\there", "\u007f", "/slash/",
)
TYPES = ("text",) * 6 + ("image", "video", "audio", "file", "call", "huddle", "system", "poll", "")
EMOJIS = ("👍", "❤️", "❤", ":+1:", "é", "e\u0301")
EMAILS = (None, "", " ", "ann@x.org", " Ann@X.org ", "bob@x.org", "BOB@x.org", "carl@x.org", "dora@x.org", "ÉVA@x.org")
# By UTF-8 the last comes after the one before it, by UTF-16 it would not.
ODD_IDS = ("u-1", "U-1", " lead", "two words", "é", "\uffee", "😀")


class RowMaker:
    """Makes rows; every choice comes from `rng`, so that a seed gives the same rows on every machine."""

    def __init__(self, rng, as_of, circle=0):
        self.rng = rng
        self.as_of = as_of
        # Behind every id that is not drawn from a large space, so that several circles share none.
        self.tag = f"~{circle}" if circle else ""
        self.last_midnight = midnight(as_of_date(as_of))
        self.has_extremes = rng.random() < 0.3
        self.users = [self.new_id() for _ in range(rng.randint(5, 9))] + [user_id + self.tag for user_id in rng.sample(ODD_IDS, 4)]
        self.orphans = [self.new_id(), f"ghost{self.tag}", f"zoë{self.tag}"]
        # One user does very much, one little and one nothing, so that every segment and risk occurs.
        self.people = self.users[:-2] * 12 + self.users[:1] * 60 + self.users[-2:-1] + self.orphans * 4
        self.conversations = [self.new_id() for _ in range(rng.randint(4, 9))] + [f"general{self.tag}"]
        self.last_message_at = {}

    def new_id(self):
        """A fresh id: the hex digits of an ObjectId, or another string."""
        digits = f"{self.rng.getrandbits(96):024x}"
        return digits if self.rng.random() < 0.7 else f"id-{digits[:10]}"

    def chance(self, probability):
        """True with this probability."""
        return self.rng.random() < probability

    def maybe(self, value, probability=0.5):
        """The value or None."""
        return value if self.chance(probability) else None

    def instant(self):
        """A time near a border: midnight, `as_of`, the first and last day of a window, sometimes the end of time."""
        kind = self.rng.random()
        if kind < 0.02 and self.has_extremes:
            return self.rng.choice((0, 1000, 12 * HOUR, END_OF_TIME - 1, END_OF_TIME - DAY))
        if kind < 0.08:
            return self.as_of + self.rng.choice((-1000, -1, 0, 1, 1000, HOUR, DAY, 9 * DAY))
        if kind < 0.35:
            day = self.last_midnight - self.rng.choice((0, 1, 6, 7, 8, 13, 14, 15, 28, 29, 30, 31, 60)) * DAY
            return day + self.rng.choice((-1, 0, 1, 1000, HOUR - 1, HOUR, 15 * MINUTE))
        day = self.last_midnight - self.rng.randint(0, 40) * DAY
        instant = day + self.rng.randint(0, DAY // 1000 - 1) * 1000
        return instant + self.rng.choice((0, 0, 0, 1, 999))

    def clamp(self, instant):
        """The nearest instant that the contract allows."""
        return max(0, min(END_OF_TIME - 1, instant))

    def versions(self, row, change):
        """The row, and up to three changed versions with other `updated_at`, older or newer."""
        rows = [row]
        # The last microseconds of time leave no room for later versions.
        if self.chance(0.4) and DAY < row["updated_at"] < END_OF_TIME - DAY:
            for step in self.rng.sample((-HOUR, -1, 1, 1000, SECOND, HOUR), self.rng.randint(1, 3)):
                changed = row | {"updated_at": row["updated_at"] + step}
                change(changed)
                rows.append(changed)
        return rows

    def _times(self, created_at):
        later = created_at + self.rng.choice((0, 0, 0, 1000, MINUTE, 3 * DAY))
        return {"created_at": created_at, "updated_at": self.clamp(later)}

    def message(self):
        """A row of bronze.messages."""
        conversation_id = self.rng.choice(self.conversations + [f"nowhere{self.tag}"])
        created_at = self.instant()
        last_message_at = self.last_message_at.get(conversation_id, self.as_of)
        # Not beyond as_of, or a long conversation would wander off into the future.
        if last_message_at < self.as_of and self.chance(0.6):
            created_at = self.clamp(last_message_at + self.rng.choice(GAPS))
        self.last_message_at[conversation_id] = created_at
        content = self.rng.choice(CONTENTS) if self.chance(0.8) else None
        return {
            "message_id": self.new_id(),
            "conversation_id": conversation_id,
            "sender_id": self.rng.choice(self.people),
            "message_type": self.rng.choice(TYPES),
            "content": content,
            "is_encrypted": content is None and self.chance(0.5),
            "reply_to_message_id": self.maybe(self.new_id(), 0.2),
            "attachments": [self._attachment(number) for number in range(self._small_count())],
            "reactions": self._reactions(created_at),
            "read_by": self._read_by(),
            "is_edited": self.chance(0.2),
            "is_deleted": self.chance(0.2),
            "is_forwarded": self.chance(0.2),
            **self._times(created_at),
            "deleted_at": self.maybe(self.instant(), 0.1),
            "expires_at": self.maybe(self.instant(), 0.1),
            "created_date": date_of(created_at),
        }

    def _small_count(self):
        return self.rng.choice((0, 0, 0, 0, 1, 1, 2, 4))

    def _attachment(self, number):
        return {
            "type": self.rng.choice((None, "image", "video", "image", "Ünknown", "")),
            "url": self._url(self.media_name(number, self.rng.randint(0, 9))),
            "filename": self.rng.choice((None, "", "a.jpg", "señor.pdf")),
            "size_bytes": self.rng.choice((None, 0, 1, -7, 2048, 2**31, 2**40)),
            "mime_type": self.rng.choice((None, "image/jpeg")),
            "thumbnail_url": self.rng.choice((None, "https://cdn.example/media/t/1.jpg")),
            "duration_seconds": self.rng.choice((None, 0.0, 1.5, 60.0, 1e-3)),
            "width": self.rng.choice((None, 0, 640, -1, 2**31 - 1)),
            "height": self.rng.choice((None, 0, 480, -(2**31))),
        }

    def media_name(self, number, index):
        """The key of an object that attachments may name."""
        return self.own_name(f"a/{number}/{index}.jpg")

    def own_name(self, name):
        """A key that no other circle uses."""
        return f"{self.tag}/{name}" if self.tag else name

    def _url(self, key):
        """One of the forms in which an object of this key is named, or one that names none."""
        return self.rng.choice((
            f"https://cdn.example/media/{key}?sig=x", f"https://cdn.example/media/{key}?next=/media/b#c", f"media/{key}",
            key, f"/{key}", f"s3://bucket/media/old/media/{key}#top", f"https://elsewhere.example/{key}", f"media/x/{key}",
            self.own_name("x/hash#tag.webm"), self.own_name("noext"), None,
        ))

    def _reactions(self, created_at):
        reactions = []
        for _ in range(self._small_count()):
            time = self.rng.choice((None, self.instant(), self.clamp(created_at + self.rng.choice(GAPS))))
            reaction = {"user_id": self.rng.choice(self.people), "emoji": self.rng.choice(EMOJIS), "created_at": time}
            reactions += [reaction] if self.chance(0.8) else [reaction, reaction | {"created_at": self.instant()}, reaction]
        return reactions

    def _read_by(self):
        people = [{"user_id": self.rng.choice(self.people), "read_at": None} for _ in range(self._small_count())]
        if self.chance(0.5):
            for person in people:
                person["read_at"] = self.maybe(self.instant(), 0.7)
        return people + people[:1] if self.chance(0.2) else people

    def change_message(self, row):
        """Makes another version of a message in place: edited, reacted to, perhaps moved to another date."""
        row["content"], row["is_encrypted"], row["is_edited"] = self.rng.choice(CONTENTS), False, True
        row["reactions"] = self._reactions(row["created_at"])
        if self.chance(0.3):
            row["created_at"] = self.instant()
            row["created_date"] = date_of(row["created_at"])

    def user(self, user_id):
        """A row of bronze.users."""
        created_at = self.instant()
        status = self.rng.choice((None, "online", "offline", "Online", ""))
        return {
            "user_id": user_id,
            "phone_number": self.rng.choice((None, "+1555", "")),
            "email": self.rng.choice(EMAILS),
            "username": self.rng.choice((None, "", "ann", "böb")),
            "display_name": self.rng.choice((None, "", "Ann", "Bob\0", "名前")),
            "avatar": self.rng.choice((None, "", " ", "   ", "https://cdn.example/media/p.png")),
            "bio": self.rng.choice((None, "", "  ", "hi", " x ")),
            "status": status,
            "last_seen_at": self.maybe(self.instant(), 0.7),
            "is_online": self.chance(0.5),
            "role": self.rng.choice(("user", "user", "admin", "Moderator", "")),
            "is_banned": self.chance(0.2),
            "is_verified": self.chance(0.5),
            "linked_device_count": self.rng.choice((0, 0, 1, 3)),
            **self._times(created_at),
            "created_month": month_of(created_at),
        }

    def change_user(self, row):
        """Makes another version of a user in place: renamed, perhaps with another date of creation."""
        row["display_name"] = self.rng.choice((None, "Renamed", "Ann"))
        row["email"] = self.rng.choice(EMAILS)
        if self.chance(0.3):
            row["created_at"] = self.instant()
            row["created_month"] = month_of(row["created_at"])

    def conversation(self, conversation_id):
        """A row of bronze.conversations."""
        created_at = self.instant()
        return {
            "conversation_id": conversation_id,
            "type": self.rng.choice(("single", "group", "group", "Group", "channel")),
            "name": self.rng.choice((None, "", "General", "🎉")),
            "avatar": self.rng.choice((None, "", " ", "x")),
            "participants": self._participants(),
            "admins": [self.rng.choice(self.people) for _ in range(self._small_count())],
            "last_message_id": self.maybe(self.new_id(), 0.6),
            "last_message_at": self.maybe(self.instant(), 0.7),
            "is_archived": self.chance(0.2),
            "is_locked": self.chance(0.2),
            "created_by": self.maybe(self.rng.choice(self.people), 0.7),
            **self._times(created_at),
            "created_month": month_of(created_at),
        }

    def _participants(self):
        has_times = self.chance(0.5)
        return [
            {"user_id": self.rng.choice(self.people), "joined_at": self.maybe(self.instant(), 0.8) if has_times else None}
            for _ in range(self.rng.choice((0, 1, 2, 2, 2, 5, 8)))
        ]

    def change_conversation(self, row):
        """Makes another version of a conversation in place: other participants, another name."""
        row["participants"], row["name"] = self._participants(), "renamed"

    def call(self):
        """A row of bronze.calls."""
        created_at = self.instant()
        started_at = self.maybe(self.clamp(created_at + self.rng.choice(GAPS[:5])), 0.7)
        ended_at = None
        if started_at is not None and self.chance(0.7):
            length = self.rng.choice((-SECOND, 0, 1, 59_999_999, MINUTE, 10 * MINUTE - 1, 10 * MINUTE, HOUR))
            ended_at = self.clamp(started_at + length)
        durations = [None, 0.0, 59.999, 60.0, 599.5, 600.0, 3600.0, 0.1]
        if ended_at is not None and ended_at >= started_at:
            durations += [(ended_at - started_at) / SECOND] * 6
        participants = self._participants()
        return {
            "call_id": self.new_id(),
            "conversation_id": self.maybe(self.rng.choice(self.conversations), 0.8),
            "initiator_id": self.rng.choice(self.people),
            "participants": [self._call_participant(person, created_at) for person in participants],
            "type": self.rng.choice((None, "audio", "video", "Audio")),
            "status": self.rng.choice((None, "ended", "ended", "ended", "missed", "initiated", "ongoing", "rejected", "odd")),
            "started_at": started_at,
            "ended_at": ended_at,
            "duration_seconds": self.rng.choice(durations),
            **self._times(created_at),
            "created_date": date_of(created_at),
        }

    def _call_participant(self, person, created_at):
        joined_at = person["joined_at"]
        if joined_at is not None and self.chance(0.7):
            joined_at = self.clamp(created_at + self.rng.choice(GAPS))
        return {"user_id": person["user_id"], "joined_at": joined_at, "left_at": self.maybe(self.instant(), 0.3)}

    def change_call(self, row):
        """Makes another version of a call in place: its status, perhaps its date."""
        row["status"] = self.rng.choice(("ended", "failed", "missed"))
        if self.chance(0.3):
            row["created_at"] = self.instant()
            row["created_date"] = date_of(row["created_at"])

    def notification(self):
        """A row of bronze.notifications."""
        created_at = self.instant()
        read_at = self.maybe(self.clamp(created_at + self.rng.choice((0, 1, HOUR, -HOUR, DAY))), 0.5)
        known = created_at if read_at is None else max(created_at, read_at)
        return {
            "notification_id": self.new_id(),
            "user_id": self.rng.choice(self.people),
            "type": self.rng.choice((None, "message", "call_missed", "")),
            "title": self.rng.choice((None, *CONTENTS)),
            "is_read": read_at is not None,
            "created_at": created_at,
            "read_at": read_at,
            "updated_at": self.clamp(known + self.rng.choice((0, 0, 0, 1000, DAY))),
            "created_month": month_of(created_at),
        }

    def change_notification(self, row):
        """Makes another version of a notification in place: read or not, perhaps of another month."""
        row["title"], row["is_read"] = "changed", not row["is_read"]
        if self.chance(0.3):
            row["created_at"] = self.instant()
            row["created_month"] = month_of(row["created_at"])

    def auth_user(self, has_external_ids):
        """A row of bronze.auth_users in the shape of table `auth_users`, or of `users` without external ids."""
        created_at = self.maybe(self.instant(), 0.9)
        row = {
            "auth_user_id": f"{self.rng.randint(1, 10**6)}{self.tag}",
            "email": self.rng.choice(EMAILS) or None,
            "external_id": self.rng.choice([None, "nobody", *self.users]),
            "status": self.rng.choice((None, "active", 'quoted, "text"', "line\nbreak")),
            "email_verified": None,
            "two_factor_enabled": self.rng.choice((None, True, False)),
            "failed_login_attempts": self.rng.choice((None, 0, 3)),
            "locked_until": self.maybe(self.instant(), 0.3),
            "last_login_at": self.maybe(self.instant(), 0.6),
            "login_count": None,
            "created_at": created_at,
            "updated_at": self.maybe(self.instant(), 0.6) or created_at,
        }
        if not has_external_ids:
            absent = ("external_id", "status", "failed_login_attempts", "locked_until")
            row |= dict.fromkeys(absent) | {"updated_at": created_at}
            row["email_verified"] = self.rng.choice((None, True, False))
            row["login_count"] = self.rng.choice((None, 0, 12, 2**40))
        return row
