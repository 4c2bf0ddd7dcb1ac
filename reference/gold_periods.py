"""Weekly and monthly metrics, straight from silver: a period is a list of dates, and what falls on them is counted."""

from collections import Counter, defaultdict
from fractions import Fraction
from math import fsum

from instants import add_days, as_of_date, date_of, midnight
from silver import events_before

SCORE_DAYS = 30
TOP_TYPES = 5


def weekly_metrics(silver, as_of):
    """One row per ISO week from the first event's to that of `as_of_date`."""
    facts = _Facts(silver, as_of)
    rows = []
    for previous, start, days in _periods(facts, _monday_of, lambda monday: add_days(monday, 7)):
        end = add_days(start, 7)
        active, before = facts.active(start, end), facts.active(previous, start) if previous else set()
        scores = [facts.score(user_id, min(add_days(end, -1), facts.last_date)) for user_id in active]
        year, week, _ = start.isocalendar()
        rows.append({
            "week_start": start,
            "iso_year": year,
            "iso_week": week,
            "weekly_active_users": len(active),
            "new_users": facts.new_users(start, end),
            "returning_users": len(active & before),
            **_changes(active, before),
            "total_messages": len(facts.messages_in(start, end)),
            "avg_daily_messages": len(facts.messages_in(start, end)) / days,
            "total_calls": len(facts.calls_in(start, end)),
            "avg_daily_calls": len(facts.calls_in(start, end)) / days,
            "total_call_duration_hours": facts.call_hours(start, end),
            "engagement_score": float(sum(scores) / len(scores)) if scores else None,
            "is_complete": as_of >= midnight(end),
        })
    return rows


def monthly_metrics(silver, as_of):
    """One row per calendar month from the first event's to that of `as_of_date`."""
    facts = _Facts(silver, as_of)
    rows = []
    for previous, start, days in _periods(facts, _first_of_month, _next_month):
        end = _next_month(start)
        active, before = facts.active(start, end), facts.active(previous, start) if previous else set()
        messages = facts.messages_in(start, end)
        types = Counter(message["message_type"] for message in messages)
        top = sorted(types, key=lambda name: (-types[name], name))[:TOP_TYPES]
        weekdays = Counter(message["created_date"].isoweekday() for message in messages)
        daily_active = sum(len(facts.active_on[date]) for date in _dates(start, end))
        rows.append({
            "month_start": start,
            "monthly_active_users": len(active),
            "new_users": facts.new_users(start, end),
            **_changes(active, before),
            "dau_mau_ratio": daily_active / days / len(active) if active else None,
            "total_messages": len(messages),
            "avg_daily_messages": len(messages) / days,
            "total_calls": len(facts.calls_in(start, end)),
            "total_call_duration_hours": facts.call_hours(start, end),
            "avg_messages_per_active_user": len(messages) / len(active) if active else None,
            "top_message_types": {name: types[name] for name in top},
            "peak_day_of_week": min(weekdays, key=lambda day: (-weekdays[day], day), default=None),
            "is_complete": as_of >= midnight(end),
        })
    return rows


def _changes(active, before):
    return {
        "churned_users": len(before - active),
        "retention_rate": len(active & before) / len(before) if before else None,
    }


def _monday_of(date):
    return add_days(date, 1 - date.isoweekday())


def _first_of_month(date):
    return date.replace(day=1)


def _next_month(first):
    return _first_of_month(add_days(first, 31))


def _dates(start, end):
    while start < end:
        yield start
        start = add_days(start, 1)


def _periods(facts, first_of, next_of):
    """(start of the period before or None, start, days that are not after the last date) of every period."""
    if facts.first_date is None:
        return
    previous, start = None, first_of(facts.first_date)
    while start <= facts.last_date:
        end = next_of(start)
        yield previous, start, (min(end, add_days(facts.last_date, 1)) - start).days
        previous, start = start, end


class _Facts:
    """What happened, by date."""

    def __init__(self, silver, as_of):
        messages, _, calls = events_before(silver, as_of)
        users = [user for user in silver["users"] if user["created_at"] < as_of]
        conversations = [row for row in silver["conversations"] if row["created_at"] < as_of]
        starts = [date_of(row["created_at"]) for row in users + conversations + messages + calls]
        self.first_date, self.last_date = min(starts, default=None), as_of_date(as_of)
        self.messages, self.calls = _by_date(messages), _by_date(calls)
        self.users = Counter(date_of(user["created_at"]) for user in users)
        self.days = {(row["user_id"], row["activity_date"]): row for row in silver["user_activity"]}
        self.active_on = defaultdict(set)
        for (user_id, date), row in self.days.items():
            if row["is_active_day"]:
                self.active_on[date].add(user_id)

    def active(self, start, end):
        """The users with an active day from `start` to before `end`."""
        return set().union(*(self.active_on[date] for date in _dates(start, end)))

    def new_users(self, start, end):
        """Users created from `start` to before `end`."""
        return sum(self.users[date] for date in _dates(start, end))

    def messages_in(self, start, end):
        """Messages sent from `start` to before `end`."""
        return [message for date in _dates(start, end) for message in self.messages[date]]

    def calls_in(self, start, end):
        """Calls made from `start` to before `end`."""
        return [call for date in _dates(start, end) for call in self.calls[date]]

    def call_hours(self, start, end):
        """Hours of the ended calls among them."""
        calls = [call for call in self.calls_in(start, end) if call["status"] == "ended"]
        return fsum(call["duration_seconds"] for call in calls if call["duration_seconds"] is not None) / 3600

    def score(self, user_id, last_date):
        """The engagement score of the 30 days that end with a date."""
        dates = _dates(add_days(last_date, 1 - SCORE_DAYS), add_days(last_date, 1))
        days = [self.days[user_id, date] for date in dates if (user_id, date) in self.days]
        sent, given = (sum(day[name] for day in days) for name in ("messages_sent", "reactions_given"))
        calls = sum(day["calls_initiated"] + day["calls_received"] for day in days)
        active_days = sum(day["is_active_day"] for day in days)
        return (
            min(Fraction(30), Fraction(sent, 100) * 30)
            + min(Fraction(20), Fraction(given, 20) * 20)
            + min(Fraction(20), Fraction(calls, 10) * 20)
            + Fraction(active_days, 30) * 30
        )


def _by_date(rows):
    by_date = defaultdict(list)
    for row in rows:
        by_date[row["created_date"]].append(row)
    return by_date
