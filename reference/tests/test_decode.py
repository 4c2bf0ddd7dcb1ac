"""Border cases of reading dates, numbers, documents, files and CSV, and of what is kept of a refused document."""

import gzip
import pathlib
import tempfile
import unittest

import documents
from decode import decode
from export_files import split_record
from extended_json import INT_RANGE, Faults, parse_document, read_date, read_double, read_id, read_integer
from instants import END_OF_TIME, as_of_date, date_of, parse_iso, to_text
from redact import explain_bad_raw, is_secret

MESSAGE = '"_id":"m","conversationId":"c","senderId":"s","createdAt":0'


def read(reader, value, *more):
    """The value, or the set of reasons."""
    faults = Faults()
    result = reader(value, faults, *more)
    return faults.reasons or result


def message(fields="", line=None):
    """The decoded message with these further fields, or the set of reasons."""
    faults = Faults()
    document = parse_document((line or "{" + MESSAGE + fields + "}").encode(), faults)
    row = None if document is None else documents.message(document, faults)
    return faults.reasons or row


class Instants(unittest.TestCase):
    def test_iso_forms(self):
        second = 1_000_000
        for text, expected in (
            ("1970-01-01", 0),
            ("1970-01-01T00:01", 60 * second),
            ("1970-01-01 00:00:01", second),
            ("1970-01-01T00:00:01.5Z", 1_500_000),
            ("1970-01-01T00:00:00.123456999", 123_456),
            ("1970-01-01T02:00:00+02:00", 0),
            ("1970-01-01T02:30+0230", 0),
            ("1970-01-01T00:00:00-01", 3600 * second),
            ("2000-02-29T00:00:00z", 951_782_400 * second),
            ("9999-12-31T23:59:59.999999Z", END_OF_TIME - 1),
        ):
            self.assertEqual(expected, parse_iso(text), text)

    def test_what_is_no_instant(self):
        for text in (
            "", "2024", "2024-02-30", "2023-02-29", "2024-1-1", "2024-01-01T24:00", "2024-01-01T00:60", "10000-01-01",
            "2024-01-01T00:00:60", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "1715000000000", "2024-01-01T5",
            "9999-12-31T23:59:59-01:00", "2024-01-01T00:00:00.0123456789Z", "2024-01-01t00:00", " 2024-01-01", "２０２４-01-01",
        ):
            self.assertIsNone(parse_iso(text), text)

    def test_the_last_date_is_that_of_the_microsecond_before(self):
        self.assertEqual("2024-05-19", as_of_date(parse_iso("2024-05-20")).isoformat())
        self.assertEqual("2024-05-20", as_of_date(parse_iso("2024-05-20T00:00:00.000001")).isoformat())
        self.assertEqual("9999-12-31", date_of(END_OF_TIME - 1).isoformat())
        self.assertEqual("2024-05-20T01:02:03.000004Z", to_text(parse_iso("2024-05-20T01:02:03.000004Z")))


class Values(unittest.TestCase):
    def test_dates(self):
        for value in (1000, 1000.0, {"$date": 1000}, {"$date": {"$numberLong": "1000"}}, {"$numberInt": "1000"}):
            self.assertEqual(1_000_000, read(read_date, value), value)
        for value in (-1, 1.5, "1000", True, [], {}, {"$date": None}, {"$date": "x"}, 253402300800000, {"$oid": "0" * 24}):
            self.assertEqual({"bad_date"}, read(read_date, value), value)

    def test_integers(self):
        for value in (5, 5.0, {"$numberInt": "5"}, {"$numberLong": "5"}, {"$numberDouble": "5.0"}):
            self.assertEqual(5, read(read_integer, value, INT_RANGE), value)
        self.assertEqual(2**31 - 1, read(read_integer, 2**31 - 1, INT_RANGE))
        for value in (5.5, "5", True, 2**31, -(2**31) - 1, {"$numberDouble": "NaN"}, {"$numberLong": 5}, [], 1e400):
            self.assertEqual({"wrong_type"}, read(read_integer, value, INT_RANGE), value)

    def test_doubles(self):
        self.assertEqual(1.5, read(read_double, {"$numberDouble": "1.5"}))
        self.assertEqual(3.0, read(read_double, {"$numberLong": "3"}))
        for value in ({"$numberDouble": "Infinity"}, {"$numberDouble": "1_0"}, "1", False, 1e400):
            self.assertEqual({"wrong_type"}, read(read_double, value), value)

    def test_ids(self):
        self.assertEqual("ab" * 12, read(read_id, {"$oid": "AB" * 12}))
        self.assertEqual(" Ab ", read(read_id, " Ab "))
        self.assertIsNone(read(read_id, ""))
        for value in (5, {"$oid": "ab"}, {"$oid": "g" * 24}, {"$uuid": "x"}, [], True):
            self.assertEqual({"wrong_type"}, read(read_id, value), value)


class Documents(unittest.TestCase):
    def test_the_least_message(self):
        row = message()
        self.assertEqual(("text", None, False), (row["message_type"], row["content"], row["is_encrypted"]))
        self.assertEqual((0, 0, "1970-01-01"), (row["created_at"], row["updated_at"], str(row["created_date"])))
        self.assertEqual(([], [], []), (row["attachments"], row["reactions"], row["read_by"]))

    def test_encrypted_only_without_content(self):
        self.assertTrue(message(',"encryptedContent":{"iv":5}')["is_encrypted"])
        self.assertTrue(message(',"content":null,"encryptedContent":""')["is_encrypted"])
        self.assertFalse(message(',"content":"","encryptedContent":"x"')["is_encrypted"])
        self.assertFalse(message(',"encryptedContent":null,"isEncrypted":true')["is_encrypted"])

    def test_aliases(self):
        part = message(',"attachments":[{"fileName":"b","filename":"a","size":null,"fileSize":7}]')["attachments"][0]
        self.assertEqual(("a", 7), (part["filename"], part["size_bytes"]))
        readers = message(',"readBy":["a"],"readReceipts":[{"userId":"b","readAt":5}]')["read_by"]
        self.assertEqual([{"user_id": "b", "read_at": 5000}], readers)
        readers = message(',"readBy":["a",{"userId":"b"}],"readReceipts":[]')["read_by"]
        self.assertEqual(["a", "b"], [reader["user_id"] for reader in readers])
        self.assertEqual({"wrong_type"}, message(',"readBy":"a","readReceipts":[{"userId":"b"}]'))

    def test_the_last_of_two_keys_wins(self):
        self.assertEqual("b", message(',"content":5,"content":"b"')["content"])
        self.assertIsNone(message(',"content":"b","content":null')["content"])

    def test_refused(self):
        for fields, reason in (
            (',"senderId":""', "missing_key"), (',"senderId":null', "missing_key"), (',"content":5', "wrong_type"),
            (',"reactions":[{"userId":"a"}]', "missing_key"), (',"reactions":[null]', "wrong_type"),
            (',"createdAt":"x"', "bad_date"), (',"createdAt":null', "missing_key"), (',"deletedAt":[]', "bad_date"),
            (',"isEdited":1', "wrong_type"), (',"x":NaN', "invalid_json"), (',"content":"\\ud800"', "invalid_utf8"),
            (',"attachments":[{"width":3000000000}]', "wrong_type"), (',"replyTo":7', "wrong_type"),
        ):
            self.assertEqual({reason}, message(fields), fields)
        for line, reason in (("[]", "not_an_object"), ("null", "not_an_object"), ("{", "invalid_json"), ("{}{}", "invalid_json")):
            self.assertEqual({reason}, message(line=line), line)

    def test_one_hundred_levels_are_allowed(self):
        self.assertEqual("m", message(',"x":' + "[" * 99 + "]" * 99)["message_id"])
        self.assertEqual({"too_deep"}, message(',"x":' + "[" * 100 + "]" * 100))
        self.assertEqual("[" * 200, message(',"content":"' + "[" * 200 + '"')["content"])
        self.assertIn("too_deep", message(',"x":' + "[" * 100_000 + "]" * 100_000))

    def test_surrogate_pairs_and_nul_are_text(self):
        self.assertEqual("😀\0", message(',"content":"\\ud83d\\ude00\\u0000"')["content"])

    def test_call_durations(self):
        def duration(fields):
            faults = Faults()
            line = '{"_id":"c","initiatorId":"i","createdAt":0' + fields + "}"
            return documents.call(parse_document(line.encode(), faults), faults)["duration_seconds"]

        self.assertEqual(1.5, duration(',"startTime":1000,"endedAt":2500'))
        self.assertEqual(7.0, duration(',"startedAt":1000,"endTime":2500,"duration":7'))
        self.assertIsNone(duration(',"startTime":1000,"endTime":2500,"duration":-1'))
        self.assertIsNone(duration(',"startTime":2500,"endTime":1000'))
        self.assertIsNone(duration(',"startTime":2500'))

    def test_online(self):
        def is_online(fields):
            faults = Faults()
            line = '{"_id":"u","createdAt":0' + fields + "}"
            return documents.user(parse_document(line.encode(), faults), faults)["is_online"]

        self.assertTrue(is_online(',"status":"online"'))
        self.assertFalse(is_online(',"status":"online","isOnline":false'))
        self.assertTrue(is_online(',"status":"away","isOnline":true'))
        self.assertFalse(is_online(',"status":"Online","isOnline":null'))


class Folders(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for part in ("mongodb", "mysql"):
            (self.root / part).mkdir()

    def test_lines_positions_and_hashes(self):
        good, bad = b"{" + MESSAGE.encode() + b"}", b'{"password":"x"'
        content = b"\xef\xbb\xbf" + good + b"\r\n\r\n" + bad + b"\r\n" + bad
        (self.root / "mongodb" / "messages_b.json").write_bytes(content)
        (self.root / "mongodb" / "messages_a.json.gz").write_bytes(gzip.compress(b"5\n") + gzip.compress(good))
        decoded = decode(self.root)
        self.assertEqual(2, len(decoded.rows["messages"]))
        reasons = [each.reasons for each in decoded.refused["messages"]]
        self.assertEqual([{"not_an_object"}, {"invalid_json"}, {"invalid_json"}], reasons)
        first, second = decoded.refused["messages"][1:]
        self.assertEqual(first.document_sha256, second.document_sha256)
        self.assertEqual({"mongodb/messages_b.json:3", "mongodb/messages_b.json:2"}, first.positions)
        self.assertIn("mongodb/messages_b.json:4", second.positions)

    def test_auth_users_before_users(self):
        header = "id,email,external_id,two_factor_enabled,last_login_at,created_at,updated_at,password_hash\n"
        rows = (
            '1,"a,""b""\r\nc",\\N,TRUE,0000-00-00 00:00:00,2024-01-01 00:00:00.5,,x\n'
            "2,,u,0,,,,x\n"
            "3,,,2,,,,x\n"
            "4,,,1,soon,,,x\n"
            ",,,1,,,,x\n"
            "6,,,1\n"
        )
        (self.root / "mysql" / "auth_users.csv").write_bytes((header + rows).encode())
        (self.root / "mysql" / "users.csv").write_bytes(b"id\n99\n")
        decoded = decode(self.root)
        one, two = decoded.rows["auth_users"]
        self.assertEqual(('a,"b"\r\nc', None, True), (one["email"], one["external_id"], one["two_factor_enabled"]))
        self.assertEqual(parse_iso("2024-01-01T00:00:00.5"), one["updated_at"])
        self.assertEqual((None, "u", None), (two["email"], two["external_id"], two["updated_at"]))
        reasons = [each.reasons for each in decoded.refused["auth_users"]]
        self.assertEqual([{"wrong_type"}, {"bad_date"}, {"missing_key"}, {"wrong_type"}], reasons)
        self.assertNotIn("password_hash", decoded.refused["auth_users"][0].columns)
        # The quoted line end makes the first record two lines long.
        self.assertEqual({"mysql/auth_users.csv:5", "mysql/auth_users.csv:4"}, decoded.refused["auth_users"][0].positions)

    def test_a_missing_or_empty_folder_is_an_error(self):
        with self.assertRaisesRegex(FileNotFoundError, "none of the collections"):
            decode(self.root)
        with self.assertRaisesRegex(FileNotFoundError, "nowhere"):
            decode(self.root / "nowhere")


class Secrets(unittest.TestCase):
    def test_names(self):
        for name in ("password", "Password_Hash", "refresh-token", "publicKey", "otp", "otpCode", "mfaOtp", "twoFactorCode",
                     "backup_codes", "two_factor_enabled_secret"):
            self.assertTrue(is_secret(name), name)
        for name in ("two_factor_enabled", "twoFactorEnabled", "option", "key", "email", "photoptic"):
            self.assertFalse(is_secret(name), name)

    def test_what_may_be_kept(self):
        parsed = '{"a":1.0,"n":[{"token":"x","b":2}]}'
        self.assertIsNone(explain_bad_raw(parsed, '{"a": 1, "n": [{"b": 2}]}'))
        self.assertIsNone(explain_bad_raw("{broken", "{broken"))
        self.assertIsNone(explain_bad_raw('{"a":1,"password":"x"', '{"a":1,…[cut]'))
        for text, raw in (
            (parsed, parsed), (parsed, '{"a":1}'), ("{broken", "{brok"), ('{"a":1,"password":"x"', '{"a":1,"password":"x"'),
            ('{"a":1,"password":"x"', '{"a":1,"password"…[cut]'), ('{"a":1', '{"a"…[cut]'),
        ):
            self.assertIsNotNone(explain_bad_raw(text, raw), raw)


class Csv(unittest.TestCase):
    def test_fields(self):
        self.assertEqual(["a", "", 'b"c', "d,e\nf", ""], split_record('a,,"b""c","d,e\nf",'))
