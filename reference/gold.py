"""Gold tables from silver rows, as of an instant: only events, users and conversations before it count."""

from bisect import bisect_right
from collections import Counter, defaultdict
from fractions import Fraction
from math import fsum

from instants import HOUR, MINUTE, add_days, as_of_date, date_of
from gold_periods import monthly_metrics, weekly_metrics
from silver import events_before

MEDIA_TYPES = ("image", "video", "audio", "file")
REPLY_WITHIN = 24 * HOUR


def build(silver, as_of):
    """The gold tables, by name, from the silver tables by name."""
    return {
        "daily_metrics": daily_metrics(silver, as_of),
        "weekly_metrics": weekly_metrics(silver, as_of),
        "monthly_metrics": monthly_metrics(silver, as_of),
        "user_engagement": user_engagement(silver, as_of),
        "conversation_analytics": conversation_analytics(silver, as_of),
        "ml_features": ml_features(silver, as_of),
    }


def _created_before(rows, as_of):
    return [row for row in rows if row["created_at"] < as_of]


def _group(rows, key):
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _mode(values):
    """The most frequent value, the smallest on ties, None when there is none."""
    return min(((-count, value) for value, count in Counter(values).items()), default=(0, None))[1]


def daily_metrics(silver, as_of):
    """One row per date from the first event's to `as_of_date`."""
    messages, reactions, calls = events_before(silver, as_of)
    users = _created_before(silver["users"], as_of)
    conversations = _created_before(silver["conversations"], as_of)
    starts = [date_of(row["created_at"]) for row in users + conversations + messages + calls]
    if not starts:
        return []
    user_dates = sorted(date_of(user["created_at"]) for user in users)
    conversation_dates = sorted(date_of(row["created_at"]) for row in conversations)
    new_users, new_conversations = Counter(user_dates), Counter(conversation_dates)
    active_users = Counter(row["activity_date"] for row in silver["user_activity"] if row["is_active_day"])
    sessions = Counter(row["session_date"] for row in silver["user_sessions"])
    reactions_by_date = Counter(row["reacted_date"] for row in reactions)
    messages_by_date = _group(messages, lambda row: row["created_date"])
    calls_by_date = _group(calls, lambda row: row["created_date"])
    rows = []
    date, last_date = min(starts), as_of_date(as_of)
    while True:
        rows.append({
            "metric_date": date,
            "total_users": bisect_right(user_dates, date),
            "active_users": active_users[date],
            "new_users": new_users[date],
            **_message_metrics(messages_by_date.get(date, []), active_users[date]),
            **_call_metrics(calls_by_date.get(date, [])),
            "total_conversations": bisect_right(conversation_dates, date),
            "new_conversations": new_conversations[date],
            "total_reactions": reactions_by_date[date],
            "avg_sessions_per_user": _ratio(sessions[date], active_users[date]),
        })
        if date == last_date:
            return rows
        date = add_days(date, 1)


def _ratio(numerator, denominator):
    return None if denominator == 0 else float(numerator) / float(denominator)


def _message_metrics(messages, active_users):
    types = Counter(message["message_type"] for message in messages)
    return {
        "total_messages": len(messages),
        "text_messages": types["text"],
        "media_messages": sum(types[name] for name in MEDIA_TYPES),
        "messages_by_type": {name: count for name, count in types.items() if count > 0},
        "active_conversations": len({message["conversation_id"] for message in messages}),
        "avg_messages_per_user": _ratio(len(messages), active_users),
        "peak_hour": _mode(message["hour"] for message in messages),
        "media_bytes": sum(message["attachment_bytes"] for message in messages),
    }


def _call_metrics(calls):
    minutes = [
        call["duration_minutes"] for call in calls if call["status"] == "ended" and call["duration_minutes"] is not None
    ]
    return {
        "total_calls": len(calls),
        "audio_calls": sum(call["type"] == "audio" for call in calls),
        "video_calls": sum(call["type"] == "video" for call in calls),
        "total_call_duration_minutes": fsum(minutes),
        "avg_call_duration_minutes": fsum(minutes) / len(minutes) if minutes else None,
    }


class _People:
    """What the two tables with a row per user share: the user's days, messages, conversations and contacts."""

    def __init__(self, silver, as_of):
        self.last_date = as_of_date(as_of)
        self.users = _created_before(silver["users"], as_of)
        messages, _, _ = events_before(silver, as_of)
        self.days = _group(silver["user_activity"], lambda row: row["user_id"])
        self.sent = _group(messages, lambda row: row["sender_id"])
        self.conversations = {
            row["conversation_id"]: row for row in _created_before(silver["conversations"], as_of)
        }
        self.joined = defaultdict(list)
        for conversation in self.conversations.values():
            for user_id in conversation["participant_ids"]:
                self.joined[user_id].append(conversation)

    def window(self, user_id, days, until=0):
        """The user's activity rows of the last `days` days, without the last `until` of them."""
        first, last = add_days(self.last_date, 1 - days), add_days(self.last_date, -until)
        return [row for row in self.days.get(user_id, []) if first <= row["activity_date"] <= last]

    def total(self, column, user_id, days, until=0):
        """The sum of a count over a window."""
        return sum(row[column] for row in self.window(user_id, days, until))

    def active_days(self, user_id, days):
        """The number of active days in a window."""
        return sum(row["is_active_day"] for row in self.window(user_id, days))

    def contacts(self, user_id):
        """The other participants of the known conversations in which the user ever sent."""
        people = set()
        for conversation_id in {message["conversation_id"] for message in self.sent.get(user_id, [])}:
            if conversation_id in self.conversations:
                people.update(self.conversations[conversation_id]["participant_ids"])
        return people - {user_id}

    def groups(self, user_id):
        """The group conversations of which the user is a participant."""
        return [conversation for conversation in self.joined.get(user_id, []) if conversation["type"] == "group"]


def user_engagement(silver, as_of):
    """One row per user: the engagement as it stands on `as_of_date`."""
    people = _People(silver, as_of)
    replies = _response_minutes(events_before(silver, as_of)[0], add_days(people.last_date, -29))
    return [_engagement_row(people, user["user_id"], replies.get(user["user_id"], [])) for user in people.users]


def _response_minutes(messages, first_date):
    """For each sender the minutes to each reply of `first_date` or later: a message that directly follows another
    sender's in its conversation within a day."""
    minutes = defaultdict(list)
    for chain in _group(messages, lambda row: row["conversation_id"]).values():
        chain.sort(key=lambda row: (row["created_at"], row["message_id"]))
        for previous, message in zip(chain, chain[1:]):
            gap = message["created_at"] - previous["created_at"]
            if (
                message["sender_id"] != previous["sender_id"]
                and gap <= REPLY_WITHIN
                and message["created_date"] >= first_date
            ):
                minutes[message["sender_id"]].append(Fraction(gap, MINUTE))
    return minutes


def _engagement_row(people, user_id, reply_minutes):
    days = people.days.get(user_id, [])
    sent_7, sent_30 = people.total("messages_sent", user_id, 7), people.total("messages_sent", user_id, 30)
    active_7, active_30 = people.active_days(user_id, 7), people.active_days(user_id, 30)
    return {
        "user_id": user_id,
        "calculation_date": people.last_date,
        "total_messages_sent": sum(day["messages_sent"] for day in days),
        "total_messages_received": sum(day["messages_received"] for day in days),
        "total_reactions_given": sum(day["reactions_given"] for day in days),
        "total_reactions_received": sum(day["reactions_received"] for day in days),
        "total_calls": sum(day["calls_initiated"] + day["calls_received"] for day in days),
        "total_call_duration_minutes": fsum(day["total_call_duration_minutes"] for day in days),
        "active_days_last_7": active_7,
        "active_days_last_30": active_30,
        "avg_daily_messages": sent_30 / 30,
        "avg_response_time_minutes": float(sum(reply_minutes) / len(reply_minutes)) if reply_minutes else None,
        "unique_contacts_messaged": len(people.contacts(user_id)),
        "conversations_participating": len(people.joined.get(user_id, [])),
        "groups_participating": len(people.groups(user_id)),
        "engagement_score": _engagement_score(people, user_id, sent_30, active_30),
        "activity_trend": _activity_trend(sent_7, sent_30 - sent_7),
        "churn_risk": _churn_risk(people.last_date, days, active_7, active_30),
        "user_segment": _user_segment(active_30, sent_30),
    }


def _engagement_score(people, user_id, sent_30, active_30):
    given = people.total("reactions_given", user_id, 30)
    calls = people.total("calls_initiated", user_id, 30) + people.total("calls_received", user_id, 30)
    score = (
        min(Fraction(30), Fraction(sent_30, 100) * 30)
        + min(Fraction(20), Fraction(given, 20) * 20)
        + min(Fraction(20), Fraction(calls, 10) * 20)
        + Fraction(active_30, 30) * 30
    )
    return float(round(score, 2))


def _activity_trend(sent_7, sent_23):
    recent, earlier = Fraction(sent_7, 7), Fraction(sent_23, 23)
    if earlier == 0:
        return "stable" if recent == 0 else "increasing"
    if recent / earlier > Fraction(12, 10):
        return "increasing"
    return "decreasing" if recent / earlier < Fraction(8, 10) else "stable"


def _churn_risk(last_date, days, active_7, active_30):
    active_dates = [day["activity_date"] for day in days if day["is_active_day"]]
    if not active_dates or (last_date - max(active_dates)).days > 14:
        return "high"
    if (last_date - max(active_dates)).days > 7:
        return "medium"
    return "medium" if Fraction(active_7) < Fraction(active_30, 4) * Fraction(1, 2) else "low"


def _user_segment(active_30, sent_30):
    if active_30 >= 25 and sent_30 >= 100:
        return "power_user"
    if active_30 >= 15 and sent_30 >= 30:
        return "regular"
    if active_30 >= 5:
        return "casual"
    return "at_risk" if active_30 >= 1 else "churned"


def conversation_analytics(silver, as_of):
    """One row per conversation: what went on in it until `as_of_date`."""
    messages, reactions, _ = events_before(silver, as_of)
    messages_by_id = _group(messages, lambda row: row["conversation_id"])
    reactions_by_id = Counter(reaction["conversation_id"] for reaction in reactions)
    return [
        _conversation_row(
            conversation,
            messages_by_id.get(conversation["conversation_id"], []),
            reactions_by_id[conversation["conversation_id"]],
            as_of_date(as_of),
        )
        for conversation in _created_before(silver["conversations"], as_of)
    ]


def _conversation_row(conversation, messages, reactions, last_date):
    last_7, last_30 = (
        [message for message in messages if message["created_date"] >= add_days(last_date, 1 - days)] for days in (7, 30)
    )
    age = max(1, (last_date - date_of(conversation["created_at"])).days)
    media = sum(message["message_type"] in MEDIA_TYPES for message in messages)
    participants = conversation["participant_count"]
    return {
        "conversation_id": conversation["conversation_id"],
        "calculation_date": last_date,
        "total_messages": len(messages),
        "messages_last_7": len(last_7),
        "messages_last_30": len(last_30),
        "unique_participants_last_7": len({message["sender_id"] for message in last_7}),
        "avg_messages_per_day": len(messages) / age,
        "avg_messages_per_participant": _ratio(len(messages), participants) if messages else None,
        "most_active_participant_id": _mode(message["sender_id"] for message in messages),
        "peak_activity_hour": _mode(message["hour"] for message in messages),
        "dominant_message_type": _mode(message["message_type"] for message in messages),
        "media_share_rate": _ratio(media, len(messages)),
        "reaction_rate": _ratio(reactions, len(messages)),
        "conversation_health": _health(messages, len(last_7), last_date),
    }


def _health(messages, last_7, last_date):
    silent = min(((last_date - message["created_date"]).days for message in messages), default=None)
    if silent is None or silent > 30:
        return "dead"
    if silent > 14:
        return "dying"
    if last_7 < 3:
        return "quiet"
    return "thriving" if last_7 >= 10 else "active"


def ml_features(silver, as_of):
    """One row per user: the features of `as_of_date`. The label is never known on the date itself."""
    people = _People(silver, as_of)
    first_date = add_days(people.last_date, -29)
    session_minutes = defaultdict(list)
    for session in silver["user_sessions"]:
        if session["session_date"] >= first_date:
            session_minutes[session["user_id"]].append(session["duration_minutes"])
    return [_feature_row(people, user["user_id"], session_minutes, first_date) for user in people.users]


def _feature_row(people, user_id, session_minutes, first_date):
    sent = {days: people.total("messages_sent", user_id, days) for days in (1, 7, 30)}
    received = {days: people.total("messages_received", user_id, days) for days in (1, 7, 30)}
    recent = [message for message in people.sent.get(user_id, []) if message["created_date"] >= first_date]
    minutes = session_minutes.get(user_id, [])
    groups = people.groups(user_id)
    return {
        "user_id": user_id,
        "feature_date": people.last_date,
        "msg_sent_1d": sent[1],
        "msg_sent_7d": sent[7],
        "msg_sent_30d": sent[30],
        "msg_recv_1d": received[1],
        "msg_recv_7d": received[7],
        "msg_recv_30d": received[30],
        "active_days_7": people.active_days(user_id, 7),
        "active_days_30": people.active_days(user_id, 30),
        "avg_session_duration_minutes": fsum(minutes) / len(minutes) if minutes else None,
        "unique_contacts": len(people.contacts(user_id)),
        "group_count": len(groups),
        "avg_group_size": _ratio(sum(group["participant_count"] for group in groups), len(groups)),
        "preferred_hour": _mode(message["hour"] for message in recent),
        "weekday_activity_ratio": _ratio(sum(not message["is_weekend"] for message in recent), len(recent)),
        "message_velocity_7d": sent[7] / 7,
        "engagement_trend": sent[7] - people.total("messages_sent", user_id, 14, until=7),
        "will_churn_next_7d": None,
    }
