"""Upsert and silver tables at their borders, with results worked out by hand."""

import unittest
from datetime import date

import silver
from instants import parse_iso
from tests.rows import auth_user, bronze, call, conversation, message, user
from upsert import upsert

AS_OF = parse_iso("2024-05-20")
MONDAY = date(2024, 5, 13)


def build(as_of=AS_OF, **tables):
    return silver.build(bronze(**tables), as_of)


def activity(tables):
    """Rows of user_activity by user and day of May."""
    return {(row["user_id"], row["activity_date"].day): row for row in tables["user_activity"]}


class Upsert(unittest.TestCase):
    def test_newest_wins_and_the_later_of_two_equal(self):
        first = message("m", "a", "2024-05-01", updatedAt="2024-05-02", content="first")
        older = message("m", "a", "2024-05-09", updatedAt="2024-05-01", content="older")
        equal = message("m", "a", "2024-05-01", updatedAt="2024-05-02", content="equal")
        self.assertEqual(["first"], [row["content"] for row in upsert("messages", [first, older])])
        self.assertEqual(["first"], [row["content"] for row in upsert("messages", [older, first])])
        self.assertEqual(["equal"], [row["content"] for row in upsert("messages", [first, equal, older])])

    def test_no_time_loses(self):
        rows = [auth_user("1", updated_at="1970-01-01", status="dated"), auth_user("1", status="undated")]
        self.assertEqual(["dated"], [row["status"] for row in upsert("auth_users", rows)])
        self.assertEqual(["dated"], [row["status"] for row in upsert("auth_users", rows[::-1])])


class Users(unittest.TestCase):
    def logins(self, users, auths):
        return {row["user_id"]: row["login_count"] for row in build(users=users, auth_users=auths)["users"]}

    def test_external_id_joins_alone(self):
        users = [user("u", email="a@x"), user("v", email=" A@X ")]
        self.assertEqual({"u": 1, "v": None}, self.logins(users, [auth_user("1", external_id="u", email="a@x", login_count=1)]))
        self.assertEqual({"u": None, "v": None}, self.logins(users, [auth_user("1", external_id="w", email="a@x", login_count=1)]))

    def test_email_joins_each_and_empty_ones_none(self):
        users = [user("u", email="a@x"), user("v", email=" A@X "), user("w", email=" "), user("x")]
        auths = [auth_user("1", email="A@x ", login_count=1), auth_user("2", email=" ", login_count=2), auth_user("3", login_count=3)]
        self.assertEqual({"u": 1, "v": 1, "w": None, "x": None}, self.logins(users, auths))

    def test_which_of_several(self):
        by_email = [
            auth_user("9", email="a@x", updated_at="2024-01-02", login_count=9),
            auth_user("10", email="a@x", updated_at="2024-01-02", login_count=10),
            auth_user("1", email="a@x", login_count=1),
            auth_user("2", email="a@x", created_at="2024-01-01", updated_at="2024-01-01", login_count=2),
        ]
        self.assertEqual({"u": 10}, self.logins([user("u", email="a@x")], by_email))
        self.assertEqual({"u": 7}, self.logins([user("u", email="a@x")], by_email + [auth_user("99", external_id="u", login_count=7)]))

    def test_days_and_flags(self):
        row, = build(users=[user("u", "2024-05-18T23:59:59", lastSeen="2024-05-25", avatar="  ", bio=" x ")])["users"]
        self.assertEqual((1, 0, False, True), (
            row["account_age_days"], row["last_seen_days_ago"], row["has_avatar"], row["has_bio"],
        ))


class Rows(unittest.TestCase):
    def test_messages(self):
        row, = build(
            users=[user("a", username="name only")],
            messages=[message(
                "m", "a", "2024-05-18T23:59:59.999", content="e\u0301😀",
                attachments=[{"type": "image", "size": 5}, {"type": None}, {"type": "audio", "fileSize": -2}, {"type": "image"}],
                reactions=[{"userId": "x", "emoji": "1"}, {"userId": "x", "emoji": "2"}, {"userId": "x", "emoji": "1"}],
                readBy=["x", "x", "y"],
            )],
        )["messages"]
        self.assertEqual((None, 3, 4, ["audio", "image"], 3, 2, 1, 2, 23, 6, True), tuple(row[name] for name in (
            "sender_name", "content_length", "attachment_count", "attachment_types", "attachment_bytes", "reaction_count",
            "unique_reactors", "read_count", "hour", "day_of_week", "is_weekend",
        )))

    def test_conversation_is_active_for_thirty_dates(self):
        rows = build(conversations=[
            conversation("in", ["b", "a", "b"], lastMessageAt="2024-04-20"),
            conversation("out", lastMessageAt="2024-04-19T23:59:59.999"),
            conversation("future", lastMessageAt="2030-01-01"),
            conversation("none"),
        ])["conversations"]
        self.assertEqual([True, False, True, False], [row["is_active"] for row in rows])
        self.assertEqual([29, 30, 0, None], [row["days_since_last_message"] for row in rows])
        self.assertEqual((["a", "b"], 2), (rows[0]["participant_ids"], rows[0]["participant_count"]))

    def test_call_categories(self):
        durations = (0, 59.999, 60, 599.999, 600, None)
        rows = build(calls=[call(str(index), "a", "2024-05-01", duration=value) for index, value in enumerate(durations)])
        self.assertEqual(
            ["short", "short", "medium", "medium", "long", "unknown"], [row["duration_category"] for row in rows["calls"]]
        )

    def test_who_joined(self):
        def joined(status, people):
            row, = build(calls=[call("k", "a", 5000, status=status, participants=people)])["calls"]
            return {person["user_id"]: person["joined_at"] for person in row["participants"]}

        self.assertEqual({"b": 5_000_000, "c": 5_000_000}, joined("completed", ["c", "a", "b"]))
        self.assertEqual({"b": None}, joined("missed", ["b"]))
        # The initiator's own time tells that times were recorded, so those without one did not join.
        self.assertEqual({"b": None}, joined("ended", [{"userId": "a", "joinedAt": 6000}, {"userId": "b"}]))
        self.assertEqual({"b": 6_000_000}, joined("ended", [
            {"userId": "b", "joinedAt": 7000}, {"userId": "b", "joinedAt": 6000}, {"userId": "b"},
        ]))

    def test_reactions_keep_the_earliest(self):
        rows = build(messages=[message("m", "a", 5000, reactions=[
            {"userId": "x", "emoji": "1", "createdAt": 9000}, {"userId": "x", "emoji": "1"}, {"userId": "x", "emoji": "2", "createdAt": 1000},
        ])])["reactions"]
        self.assertEqual([5_000_000, 1_000_000], [row["reacted_at"] for row in rows])


class Sessions(unittest.TestCase):
    def test_a_gap_of_exactly_thirty_minutes_continues(self):
        rows = build(messages=[
            message("1", "a", "2024-05-13T23:45"), message("2", "a", "2024-05-14T00:15"),
            message("3", "a", "2024-05-14T00:45:00.000001"), message("4", "b", "2024-05-14T00:00"),
        ])["user_sessions"]
        self.assertEqual(
            [("a", MONDAY, 30.0, 2), ("a", date(2024, 5, 14), 0.0, 1), ("b", date(2024, 5, 14), 0.0, 1)],
            [(row["user_id"], row["session_date"], row["duration_minutes"], row["event_count"]) for row in rows],
        )

    def test_nothing_at_or_after_as_of(self):
        tables = build(
            messages=[message("1", "a", "2024-05-19T23:59:59.999999"), message("2", "a", "2024-05-20")],
            calls=[
                call("k", "b", "2024-05-19T23:59", participants=[{"userId": "c", "joinedAt": "2024-05-20"}]),
                call("l", "d", "2024-05-20", participants=[{"userId": "e", "joinedAt": "2024-05-19"}]),
            ],
        )
        self.assertEqual([("a", 1), ("b", 1)], [(row["user_id"], row["event_count"]) for row in tables["user_sessions"]])
        rows = activity(tables)
        self.assertEqual({("a", 19), ("b", 19), ("c", 19)}, set(rows))
        self.assertEqual((1, False), (rows["c", 19]["calls_received"], rows["c", 19]["is_active_day"]))

    def test_a_session_alone_makes_a_row_that_is_not_active(self):
        rows = activity(build(calls=[call("k", "a", "2024-05-13T23:59", status="ended", duration=90, participants=[
            {"userId": "b", "joinedAt": "2024-05-14T00:01"},
        ])]))
        self.assertEqual({("a", 13), ("b", 13), ("b", 14)}, set(rows))
        self.assertEqual((1, True, 1.5, 0), tuple(
            rows["b", 13][name] for name in ("calls_received", "is_active_day", "total_call_duration_minutes", "sessions")
        ))
        self.assertEqual((1, False), (rows["b", 14]["sessions"], rows["b", 14]["is_active_day"]))


class Activity(unittest.TestCase):
    def test_messages(self):
        rows = activity(build(
            conversations=[conversation("c", ["a", "b"])],
            messages=[
                message("1", "a", "2024-05-13T10:00", attachments=[{}]),
                message("2", "a", "2024-05-14T10:00"), message("3", "a", "2024-05-14T11:00", "unknown"),
                message("4", "ghost", "2024-05-14T12:00"),
            ],
        ))
        names = ("messages_sent", "messages_received", "conversations_active", "new_conversations_started", "media_shared")
        found = {key: tuple(row[name] for name in names) for key, row in rows.items()}
        self.assertEqual({
            ("a", 13): (1, 0, 1, 1, 1), ("a", 14): (2, 1, 2, 1, 0), ("ghost", 14): (1, 0, 1, 1, 0),
            ("b", 13): (0, 1, 0, 0, 0), ("b", 14): (0, 2, 0, 0, 0),
        }, found)
        self.assertFalse(rows["b", 13]["is_active_day"])

    def test_reactions_to_oneself_are_received_too(self):
        rows = activity(build(messages=[message("1", "a", "2024-05-13", reactions=[
            {"userId": "a", "emoji": "x", "createdAt": "2024-05-14"}, {"userId": "b", "emoji": "x", "createdAt": "2024-05-14"},
        ])]))
        self.assertEqual((1, 2, True), tuple(
            rows["a", 14][name] for name in ("reactions_given", "reactions_received", "is_active_day")
        ))

    def test_only_ended_calls_have_minutes(self):
        rows = activity(build(calls=[
            call("1", "a", "2024-05-13", status="ongoing", duration=600, participants=[{"userId": "b", "joinedAt": "2024-05-13"}]),
            call("2", "a", "2024-05-13", status="ended", participants=["b"]),
        ]))
        self.assertEqual((2, 0.0), (rows["a", 13]["calls_initiated"], rows["a", 13]["total_call_duration_minutes"]))
        self.assertEqual((2, True), (rows["b", 13]["calls_received"], rows["b", 13]["is_active_day"]))
