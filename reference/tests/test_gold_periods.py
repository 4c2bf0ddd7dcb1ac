"""Weeks and months at their borders, with results worked out by hand. 2024-05-19 is a Sunday."""

import unittest
from datetime import date

import gold
import silver
from instants import parse_iso
from tests.rows import bronze, call, conversation, message, user


def build(name, as_of, **tables):
    as_of = parse_iso(as_of)
    return gold.build(silver.build(bronze(**tables), as_of), as_of)[name]


def pick(row, *names):
    return tuple(row[name] for name in names)


class Weeks(unittest.TestCase):
    def test_who_returns_and_who_left(self):
        messages = [
            message("1", "a", "2024-04-29"), message("2", "b", "2024-05-05T23:59"), message("3", "b", "2024-05-06"),
            message("4", "c", "2024-05-12"), message("5", "c", "2024-05-20"), message("6", "d", "2024-05-21"),
        ]
        rows = build("weekly_metrics", "2024-05-21", messages=messages)
        self.assertEqual([date(2024, 4, 29), date(2024, 5, 6), date(2024, 5, 13), date(2024, 5, 20)],
                         [row["week_start"] for row in rows])
        names = ("iso_week", "weekly_active_users", "returning_users", "churned_users", "retention_rate", "is_complete")
        self.assertEqual((18, 2, 0, 0, None, True), pick(rows[0], *names))
        self.assertEqual((19, 2, 1, 1, 0.5, True), pick(rows[1], *names))
        self.assertEqual((20, 0, 0, 2, 0.0, True), pick(rows[2], *names))
        self.assertEqual((21, 1, 0, 0, None, False), pick(rows[3], *names))
        # One day of the last week so far, seven of all others.
        self.assertEqual([2 / 7, 2 / 7, 0.0, 1.0], [row["avg_daily_messages"] for row in rows])

    def test_the_year_of_a_week(self):
        rows = build("weekly_metrics", "2027-01-05", users=[user("u", "2026-12-27")])
        self.assertEqual([(2026, 52), (2026, 53), (2027, 1)], [pick(row, "iso_year", "iso_week") for row in rows])
        self.assertEqual([1, 0, 0], [row["new_users"] for row in rows])

    def test_scores_look_back_thirty_days_from_sunday_or_the_last_date(self):
        messages = [message(str(index), "u", "2024-04-20") for index in range(10)] + [message("x", "u", "2024-05-19")]
        # 11 messages and two days on the Sunday; on the Monday after it the tenth is 31 days ago.
        self.assertEqual(5.3, build("weekly_metrics", "2024-05-20", messages=messages)[-1]["engagement_score"])
        messages.append(message("y", "u", "2024-05-20"))
        scores = [row["engagement_score"] for row in build("weekly_metrics", "2024-05-21", messages=messages)]
        self.assertEqual([4.0, None, None, None, 5.3, 2.6], scores)

    def test_the_end_of_a_week(self):
        rows = [build("weekly_metrics", as_of, users=[user("u", "2024-05-13")])[-1] for as_of in (
            "2024-05-19T23:59:59.999999", "2024-05-20", "2024-05-20T00:00:00.000001",
        )]
        self.assertEqual([(13, False), (13, True), (20, False)], [(row["week_start"].day, row["is_complete"]) for row in rows])

    def test_a_reaction_before_everything(self):
        reaction = {"userId": "u", "emoji": "x", "createdAt": "2024-05-01"}
        messages = [message("1", "v", "2024-05-08", reactions=[reaction]), message("2", "u", "2024-05-08")]
        row, = build("weekly_metrics", "2024-05-13", messages=messages)
        # u: a message, a reaction and two days; v: a message and a day.
        self.assertEqual((2, 0, 0, None, (3.3 + 1.3) / 2), pick(
            row, "weekly_active_users", "returning_users", "churned_users", "retention_rate", "engagement_score",
        ))

    def test_nothing(self):
        self.assertEqual([], build("weekly_metrics", "2024-05-13", users=[user("u", "2024-05-13")]))


class Months(unittest.TestCase):
    def test_counts(self):
        messages = [message(str(index), "u", "2024-02-29", type=kind) for index, kind in enumerate("abcdeff")]
        messages += [message("x", "v", "2024-02-01T10:00"), message("y", "v", "2024-03-02")]
        calls = [
            call("1", "u", "2024-02-29", status="ended", duration=5400), call("2", "u", "2024-02-29", duration=60),
        ]
        february, march = build("monthly_metrics", "2024-03-03", messages=messages, calls=calls)
        self.assertEqual({"f": 2, "a": 1, "b": 1, "c": 1, "d": 1}, february["top_message_types"])
        # u on the 29th, v on the 1st: two days with one user each.
        self.assertEqual((2, 0, None, 2 / 29 / 2, 8, 8 / 29, 2, 1.5, 4.0, 4, True), pick(
            february, "monthly_active_users", "churned_users", "retention_rate", "dau_mau_ratio", "total_messages",
            "avg_daily_messages", "total_calls", "total_call_duration_hours", "avg_messages_per_active_user",
            "peak_day_of_week", "is_complete",
        ))
        self.assertEqual((1, 1, 0.5, 0.5, 0.5, 6, False), pick(
            march, "monthly_active_users", "churned_users", "retention_rate", "dau_mau_ratio", "avg_daily_messages",
            "peak_day_of_week", "is_complete",
        ))

    def test_a_month_without_anything(self):
        rows = build("monthly_metrics", "2024-04-01", users=[user("u", "2024-02-29")])
        self.assertEqual([1, 0], [row["new_users"] for row in rows])
        self.assertEqual((0, None, None, 0.0, {}, None, True), pick(
            rows[1], "monthly_active_users", "retention_rate", "dau_mau_ratio", "avg_daily_messages",
            "top_message_types", "peak_day_of_week", "is_complete",
        ))


class Conversations(unittest.TestCase):
    def row(self, messages, as_of="2024-05-20", participants=("u", "v")):
        row, = build(
            "conversation_analytics", as_of, messages=messages,
            conversations=[conversation("c", participants, "2024-05-10T23:00"), conversation("late", (), "2024-05-20")],
        )
        return row

    def test_figures(self):
        reactions = [
            {"userId": "u", "emoji": "x", "createdAt": "2024-05-19"}, {"userId": "u", "emoji": "y", "createdAt": "2024-05-20"},
        ]
        row = self.row([
            message("1", "v", "2024-04-19T08:00", type="image", reactions=reactions),
            message("2", "u", "2024-04-20T09:00"), message("3", "ghost", "2024-05-12T09:00", type="poll"),
            message("4", "v", "2024-05-13T08:00", type="file"), message("5", "u", "2024-05-20"),
            message("6", "u", "2024-05-19", conversation="other"),
        ])
        self.assertEqual((4, 1, 3, 1, 4 / 9, 2.0, "v", 8, "file", 0.5, 0.25, "quiet"), pick(
            row, "total_messages", "messages_last_7", "messages_last_30", "unique_participants_last_7",
            "avg_messages_per_day", "avg_messages_per_participant", "most_active_participant_id", "peak_activity_hour",
            "dominant_message_type", "media_share_rate", "reaction_rate", "conversation_health",
        ))

    def test_no_message_and_no_participant(self):
        names = ("total_messages", "avg_messages_per_day", "avg_messages_per_participant", "reaction_rate",
                 "most_active_participant_id", "conversation_health")
        self.assertEqual((0, 0.0, None, None, None, "dead"), pick(self.row([]), *names))
        row = self.row([message("1", "x", "2024-05-19")], participants=())
        self.assertEqual((1, 1 / 9, None, 0.0, "x", "quiet"), pick(row, *names))

    def test_health(self):
        for days, count, health in (
            ("2024-04-18", 1, "dead"), ("2024-04-19", 1, "dying"), ("2024-05-04", 9, "dying"), ("2024-05-05", 9, "quiet"),
            ("2024-05-12", 20, "quiet"), ("2024-05-13", 2, "quiet"), ("2024-05-13", 3, "active"), ("2024-05-19", 9, "active"),
            ("2024-05-19", 10, "thriving"),
        ):
            messages = [message(str(index), "u", days) for index in range(count)]
            self.assertEqual(health, self.row(messages)["conversation_health"], (days, count))


if __name__ == "__main__":
    unittest.main()
