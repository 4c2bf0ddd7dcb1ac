"""The many ways to write one value in an export file; each decodes to the same row."""

import json

from instants import DAY, HOUR, MINUTE, SECOND, date_of


class Writer:
    """Writes values as JSON text, choosing among their forms with `rng`."""

    def __init__(self, rng):
        self.rng = rng

    def chance(self, probability):
        """True with this probability."""
        return self.rng.random() < probability

    def string(self, text):
        """A JSON string, sometimes with every non-ASCII character escaped."""
        return json.dumps(text, ensure_ascii=self.chance(0.3))

    def id(self, value):
        """An ObjectId where the value can be one, else a string."""
        if value is None:
            return self.rng.choice((None, "null", '""'))
        if len(value) == 24 and self.chance(0.6):
            return f'{{"$oid":"{value.upper() if self.chance(0.1) else value}"}}'
        return self.string(value)

    def optional(self, value, write):
        """Null or nothing for None."""
        return self.rng.choice((None, "null")) if value is None else write(value)

    def boolean(self, value):
        """False may also be left out."""
        return "true" if value else self.rng.choice((None, "null", "false"))

    def integer(self, value):
        """A JSON integer, an integral float or an extended JSON wrapper."""
        forms = [str(value), f'{{"$numberLong":"{value}"}}']
        if abs(value) < 2**31:
            forms += [f"{value}.0", f'{{"$numberInt":"{value}"}}', f'{{"$numberDouble":"{value}.0"}}']
        return self.rng.choice(forms)

    def double(self, value):
        """A JSON number or an extended JSON wrapper."""
        forms = [repr(value), f'{{"$numberDouble":"{value!r}"}}']
        if value == int(value):
            forms += [str(int(value)), f'{{"$numberInt":"{int(value)}"}}']
        return self.rng.choice(forms)

    def date(self, instant):
        """ISO text, epoch milliseconds, or either within `$date`."""
        forms = [f'"{self.iso(instant)}"', f'{{"$date":"{self.iso(instant)}"}}']
        if instant % 1000 == 0:
            millis = instant // 1000
            forms += [
                str(millis), f'{{"$date":{millis}}}', f'{{"$date":{{"$numberLong":"{millis}"}}}}',
                f'{{"$numberLong":"{millis}"}}', f"{millis}.0",
            ]
        return self.rng.choice(forms)

    def iso(self, instant):
        """ISO-8601 text in one of its forms, with any offset."""
        offset = self.rng.choice((0, 0, 0, 0, 2 * HOUR, -5 * HOUR, 5 * HOUR + 30 * MINUTE))
        if not DAY < instant < 253_402_000_000 * SECOND:
            offset = 0
        local = instant + offset
        date, rest = date_of(local).isoformat(), local % DAY
        if rest == 0 and offset == 0 and self.chance(0.3):
            return date
        text = f"{date}{self.rng.choice('TTT ')}{rest // HOUR:02}:{rest % HOUR // MINUTE:02}"
        if rest % MINUTE or self.chance(0.8):
            text += f":{rest % MINUTE // SECOND:02}"
            text += self._fraction(rest % SECOND)
        return text + self._zone(offset)

    def _fraction(self, micros):
        if micros == 0 and self.chance(0.5):
            return ""
        digits = f"{micros:06}"
        if self.chance(0.3):
            # Beyond microseconds the contract cuts, it does not round.
            return f".{digits}{self.rng.choice(('9', '99', '999'))}"
        shortest = digits.rstrip("0") or "0"
        return f".{shortest}" if self.chance(0.5) else f".{digits}"

    def _zone(self, offset):
        if offset == 0:
            return self.rng.choice(("Z", "Z", "Z", "z", "", "+00:00", "-0000"))
        sign = "-" if offset < 0 else "+"
        hours, minutes = abs(offset) // HOUR, abs(offset) % HOUR // MINUTE
        forms = [f"{sign}{hours:02}:{minutes:02}", f"{sign}{hours:02}{minutes:02}"]
        return self.rng.choice(forms + ([f"{sign}{hours:02}"] if minutes == 0 else []))

    def list(self, items, write):
        """A list; an empty one may be left out."""
        if not items:
            return self.rng.choice((None, "null", "[]"))
        return "[" + ",".join(write(item) for item in items) + "]"

    def object(self, fields):
        """An object of (key, text) pairs in any order; fields without text are left out.

        Sometimes a key comes twice (the last wins), is escaped, or unknown ones are added.
        """
        fields = [(key, text) for key, text in fields if text is not None]
        self.rng.shuffle(fields)
        if fields and self.chance(0.03):
            fields.insert(0, (self.rng.choice(fields)[0], "[[1e5]]"))
        if self.chance(0.1):
            fields.insert(self.rng.randint(0, len(fields)), self.rng.choice(UNKNOWN_FIELDS))
        space = self.rng.choice(("", "", " "))
        return "{" + ("," + space).join(f"{self._key(key)}:{space}{text}" for key, text in fields) + "}"

    def _key(self, key):
        if self.chance(0.01):
            return f'"\\u{ord(key[0]):04x}{key[1:]}"'
        return json.dumps(key)


def nested(levels):
    """`levels` arrays within each other."""
    return "[" * levels + "]" * levels


# In any object of a document these are ignored.
UNKNOWN_FIELDS = (
    ("__v", "0"), ("password", '"hunter2"'), ("otpSecret", "null"), ("mystery", '{"a":[1,{"b":null}]}'),
    ("publicKey", '"-----BEGIN"'), ("isEncrypted", "true"), ("huge", "123456789012345678901234567890"), ("e", "-1.5e-7"),
)
