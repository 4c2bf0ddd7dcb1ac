"""Gold tables at their borders, with results worked out by hand."""

import unittest
from datetime import date, timedelta

import gold
import silver
from instants import midnight, parse_iso
from tests.rows import bronze, call, conversation, message, user

AS_OF = parse_iso("2024-05-20")
LAST = date(2024, 5, 19)


def build(name, as_of=AS_OF, **tables):
    return gold.build(silver.build(bronze(**tables), as_of), as_of)[name]


def days_ago(days, hour=12):
    """Epoch milliseconds of an hour so many days before the last date."""
    return midnight(LAST - timedelta(days=days)) // 1000 + hour * 3_600_000


def one_user(name, messages=(), **tables):
    """The row of user u, known since January."""
    row, = build(name, users=[user("u")], messages=list(messages), **tables)
    return row


def sent(counts):
    """Messages of user u: so many on each of the days ago."""
    return [message(f"{day}-{index}", "u", days_ago(day)) for day, count in counts.items() for index in range(count)]


class Daily(unittest.TestCase):
    def test_every_date_from_the_first(self):
        rows = build("daily_metrics", users=[user("u", "2024-05-16T23:59")], messages=[
            message("1", "u", "2024-05-18T10:00", attachments=[{"size": 7}], type="image"),
            message("2", "g", "2024-05-18T09:00", type="poll"), message("3", "u", "2024-05-18T09:30"),
            message("4", "u", "2024-05-18T10:59", conversation="d"), message("5", "u", "2024-05-20"),
        ])
        self.assertEqual([16, 17, 18, 19], [row["metric_date"].day for row in rows])
        self.assertEqual([1, 0, 0, 0], [row["new_users"] for row in rows])
        self.assertEqual([1, 1, 1, 1], [row["total_users"] for row in rows])
        day = rows[2]
        self.assertEqual({"image": 1, "poll": 1, "text": 2}, day["messages_by_type"])
        self.assertEqual((4, 2, 1, 2, 2.0, 7, 9), tuple(day[name] for name in (
            "total_messages", "text_messages", "media_messages", "active_conversations", "avg_messages_per_user",
            "media_bytes", "peak_hour",
        )))
        # u: 09:30, 10:00, then 10:59 is a second session; the other sender has one.
        self.assertEqual(1.5, day["avg_sessions_per_user"])
        self.assertEqual((0, {}, None, None), tuple(rows[3][name] for name in (
            "total_messages", "messages_by_type", "peak_hour", "avg_messages_per_user",
        )))

    def test_calls(self):
        row, = build("daily_metrics", calls=[
            call("1", "a", "2024-05-19", status="completed", type="audio", duration=30),
            call("2", "a", "2024-05-19", status="ended", type="video", duration=90),
            call("3", "a", "2024-05-19", status="ended", type="video"),
            call("4", "a", "2024-05-19", status="missed", type="video", duration=600),
        ])
        self.assertEqual((4, 1, 3, 2.0, 1.0), tuple(row[name] for name in (
            "total_calls", "audio_calls", "video_calls", "total_call_duration_minutes", "avg_call_duration_minutes",
        )))

    def test_nothing_before_as_of_is_no_row(self):
        self.assertEqual([], build("daily_metrics", users=[user("u", "2024-05-20")]))


class Engagement(unittest.TestCase):
    def test_windows_and_score(self):
        row = one_user("user_engagement", sent({0: 3, 6: 1, 7: 2, 29: 4, 30: 50}))
        self.assertEqual((60, 2, 4, 10 / 30), tuple(row[name] for name in (
            "total_messages_sent", "active_days_last_7", "active_days_last_30", "avg_daily_messages",
        )))
        # 10 messages are 3 points, 4 active days are 4.
        self.assertEqual(7.0, row["engagement_score"])

    def test_score_is_capped(self):
        calls = [call(str(index), "u", days_ago(1)) for index in range(11)]
        row = one_user("user_engagement", sent({1: 101}), calls=calls)
        self.assertEqual(51.0, row["engagement_score"])

    def test_trend(self):
        # 42 of 7 days against 115 of 23 is a ratio of 1.2 exactly, 28 against 115 one of 0.8.
        for recent, earlier, trend in (
            (42, 115, "stable"), (43, 115, "increasing"), (28, 115, "stable"), (27, 115, "decreasing"),
            (0, 0, "stable"), (1, 0, "increasing"), (0, 1, "decreasing"),
        ):
            self.assertEqual(trend, one_user("user_engagement", sent({6: recent, 7: earlier}))["activity_trend"])

    def test_churn_risk(self):
        days = dict.fromkeys
        for counts, risk in (
            ({}, "high"), ({15: 1}, "high"), ({14: 1}, "medium"), ({8: 1}, "medium"), ({7: 1}, "medium"), ({0: 1}, "low"),
            (days([0, *range(7, 14)], 1), "low"), (days([0, *range(7, 15)], 1), "medium"),
        ):
            self.assertEqual(risk, one_user("user_engagement", sent(counts))["churn_risk"], counts)

    def test_segments(self):
        def on_days(count, first):
            return {day: first if day == 0 else 1 for day in range(count)}

        for counts, segment in (
            (on_days(25, 76), "power_user"), (on_days(25, 75), "regular"), (on_days(24, 90), "regular"),
            (on_days(15, 16), "regular"), (on_days(15, 15), "casual"), (on_days(5, 1), "casual"),
            (on_days(4, 1), "at_risk"), ({30: 1}, "churned"),
        ):
            self.assertEqual(segment, one_user("user_engagement", sent(counts))["user_segment"], counts)

    def test_response_time(self):
        def minutes(*rows):
            return one_user("user_engagement", rows)["avg_response_time_minutes"]

        start = message("1", "x", days_ago(2, 0))
        self.assertEqual(1440.0, minutes(start, message("2", "u", days_ago(1, 0))))
        self.assertIsNone(minutes(start, message("2", "u", days_ago(1, 0) + 1)))
        self.assertIsNone(minutes(start, message("2", "u", days_ago(2, 1), conversation="other")))
        # Only the message that directly follows is a reply; at the same time the smaller id comes first.
        self.assertEqual(60.0, minutes(start, message("2", "u", days_ago(2, 1)), message("3", "u", days_ago(2, 2))))
        self.assertEqual(0.0, minutes(start, message("2", "u", days_ago(2, 0))))
        self.assertIsNone(minutes(start, message("0", "u", days_ago(2, 0))))
        # The reply lies in the window, what it answers may be older.
        self.assertEqual(120.0, minutes(message("1", "x", days_ago(30, 23)), message("2", "u", days_ago(29, 1))))
        self.assertIsNone(minutes(message("1", "x", days_ago(30, 1)), message("2", "u", days_ago(30, 2))))

    def test_contacts_and_conversations(self):
        conversations = [
            conversation("c", ["u", "a", "a"]), conversation("g", ["a", "b"], type="group"),
            conversation("late", ["u", "z"], "2024-05-20"), conversation("silent", ["u", "y"], type="group"),
        ]
        messages = [message(str(index), "u", days_ago(3), name) for index, name in enumerate(("c", "g", "late", "unknown"))]
        row = one_user("user_engagement", messages, conversations=conversations)
        self.assertEqual((2, 2, 1), tuple(row[name] for name in (
            "unique_contacts_messaged", "conversations_participating", "groups_participating",
        )))

    def test_who_has_a_row(self):
        rows = build("user_engagement", users=[user("u"), user("late", "2024-05-20")], messages=[message("1", "x", days_ago(1))])
        self.assertEqual(["u"], [row["user_id"] for row in rows])


class Features(unittest.TestCase):
    def test_counts(self):
        row = one_user("ml_features", sent({0: 1, 6: 2, 7: 4, 13: 8, 14: 16, 29: 32, 30: 64}))
        self.assertEqual((1, 3, 63, 3 / 7, 3 - 12, None), tuple(row[name] for name in (
            "msg_sent_1d", "msg_sent_7d", "msg_sent_30d", "message_velocity_7d", "engagement_trend", "will_churn_next_7d",
        )))

    def test_hours_weekdays_sessions_and_groups(self):
        # The last date is a Sunday: of the four messages one is sent on a Friday.
        messages = [
            message("1", "u", days_ago(0, 9)), message("2", "u", days_ago(0, 9) + 600_000),
            message("3", "u", days_ago(1, 8)), message("4", "u", days_ago(2, 8)), message("5", "u", days_ago(30, 3)),
        ]
        conversations = [
            conversation("g", ["u", "a"], type="group"), conversation("h", ["u", "a", "b"], type="group"), conversation("c", ["u"]),
        ]
        row = one_user("ml_features", messages, conversations=conversations)
        self.assertEqual((8, 0.25, 10 / 3, 2, 2.5), tuple(row[name] for name in (
            "preferred_hour", "weekday_activity_ratio", "avg_session_duration_minutes", "group_count", "avg_group_size",
        )))

    def test_nothing(self):
        row = one_user("ml_features")
        self.assertEqual((0, None, None, None, None, 0.0), tuple(row[name] for name in (
            "msg_sent_30d", "preferred_hour", "weekday_activity_ratio", "avg_session_duration_minutes", "avg_group_size",
            "message_velocity_7d",
        )))
