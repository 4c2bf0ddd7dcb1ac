"""Instants and dates of the contract.

An instant is an integer, microseconds since 1970-01-01T00:00:00Z, so that no library's idea of time zones, of
precision or of the year 10000 gets in. A date is a `datetime.date`. Nothing here asks the clock.
"""

import datetime
import re

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH_ORDINAL = datetime.date(1970, 1, 1).toordinal()
# The first instant that is too late: 10000-01-01T00:00:00Z.
END_OF_TIME = (datetime.date(9999, 12, 31).toordinal() - _EPOCH_ORDINAL + 1) * DAY

_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?)?"
    r"(?:[Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)


def parse_iso(text):
    """The instant that an ISO-8601 text names, or None when it is no valid instant from 1970 to 9999.

    No offset means UTC; digits beyond microseconds are cut off, not rounded.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    try:
        date = datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None
    hour, minute, second = int(hour or 0), int(minute or 0), int(second or 0)
    offset_hour, offset_minute = int(offset_hour or 0), int(offset_minute or 0)
    if hour > 23 or minute > 59 or second > 59 or offset_hour > 23 or offset_minute > 59:
        return None
    micros = int((fraction or "").ljust(6, "0")[:6])
    offset = offset_hour * HOUR + offset_minute * MINUTE
    local = midnight(date) + hour * HOUR + minute * MINUTE + second * SECOND + micros
    return in_range(local + offset if sign == "-" else local - offset)


def in_range(instant):
    """The instant itself when it lies in 1970 to 9999, else None."""
    return instant if 0 <= instant < END_OF_TIME else None


def midnight(date):
    """The instant at which a date begins."""
    return (date.toordinal() - _EPOCH_ORDINAL) * DAY


def date_of(instant):
    """The UTC date of an instant."""
    return datetime.date.fromordinal(_EPOCH_ORDINAL + instant // DAY)


def month_of(instant):
    """The first day of the instant's month."""
    return date_of(instant).replace(day=1)


def hour_of(instant):
    """The hour of the day, 0 to 23."""
    return instant % DAY // HOUR


def as_of_date(as_of):
    """The last date that a run reports: that of the last microsecond before `as_of`."""
    return date_of(as_of - 1)


def add_days(date, days):
    """The date so many days later (earlier when negative)."""
    return date + datetime.timedelta(days=days)


def days_since(last_date, instant):
    """Calendar days from the instant's date to `last_date`, never below 0; None for None."""
    return None if instant is None else max(0, (last_date - date_of(instant)).days)


def to_text(instant):
    """ISO form with microseconds, for messages to people."""
    date = date_of(instant)
    rest = instant % DAY
    hour, minute = rest // HOUR, rest % HOUR // MINUTE
    return f"{date.isoformat()}T{hour:02}:{minute:02}:{rest % MINUTE // SECOND:02}.{rest % SECOND:06}Z"
