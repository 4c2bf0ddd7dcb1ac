"""The comparer against lakes that the reference wrote itself: equal ones pass, a single changed cell is found."""

import contextlib
import io
import pathlib
import tempfile
import unittest

import columns
import compare
import lake
import random_export
from instants import MINUTE, parse_iso
from tests.written_lake import write_lake, write_table

AS_OF = "2024-05-20T00:00:00Z"


class Compare(unittest.TestCase):
    """One export folder, one lake for all tests; a test that spoils the lake replaces a table by a copy elsewhere."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.exports = pathlib.Path(cls.folder.name, "exports")
        cls.as_of = parse_iso(AS_OF)
        random_export.write([cls.exports], 18, random_export.circles_of(18, 200, cls.as_of, [0]))
        cls.expected = compare.Expected([cls.exports], cls.as_of)
        cls.lake = pathlib.Path(cls.folder.name, "lake")
        write_lake(cls.lake, cls.expected, cls.as_of)

    def run_compare(self, lake_path, *options):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = compare.main([str(lake_path), str(self.exports), "--as-of", AS_OF, *options])
        return code, output.getvalue()

    def changed(self, name, change, declared=None):
        """A lake with one table whose rows `change` worked on; the problems found in it."""
        with tempfile.TemporaryDirectory() as other:
            rows = [dict(row) for row in lake.Table(self.lake, name).rows]
            change(rows)
            write_table(other, name, declared or columns.load()[name], rows)
            return self.run_compare(other, "--tables", name)

    def test_the_references_own_lake_is_equal(self):
        names = [name for name in self.expected.rows if self.expected.rows[name]]
        self.assertEqual(len(names), 23)
        code, output = self.run_compare(self.lake, "--tables", ",".join(names))
        self.assertEqual(0, code, output)
        self.assertEqual(23, output.count(" equal\n"), output)

    def test_a_changed_count_is_found(self):
        def change(rows):
            rows[0]["messages_sent"] += 1

        code, output = self.changed("silver.user_activity", change)
        self.assertEqual(1, code)
        self.assertIn("messages_sent is ", output)

    def test_a_microsecond_is_found(self):
        def change(rows):
            rows[3]["created_at"] += 1

        code, output = self.changed("bronze.messages", change)
        self.assertEqual(1, code)
        self.assertIn("created_at is ", output)

    def test_rounding_in_doubles_is_not_a_difference_but_more_is(self):
        def add(amount):
            def change(rows):
                longest = max(rows, key=lambda row: row["duration_minutes"])
                longest["duration_minutes"] *= 1 + amount

            return change

        self.assertEqual(0, self.changed("silver.user_sessions", add(1e-12))[0])
        self.assertEqual(1, self.changed("silver.user_sessions", add(1e-6))[0])

    def test_missing_extra_and_double_rows_are_found(self):
        def drop(rows):
            rows.pop()

        def add(rows):
            rows.append(rows[0] | {"user_id": "nobody at all"})

        def double(rows):
            rows.append(dict(rows[0]))

        for change, text in ((drop, "missing in the lake"), (add, "should not be there"), (double, "more than one row")):
            code, output = self.changed("silver.users", change)
            self.assertEqual(1, code)
            self.assertIn(text, output)

    def test_the_order_of_a_list_and_a_null_in_it_count(self):
        def change(rows):
            row = max(rows, key=lambda row: len(row["participant_ids"]))
            row["participant_ids"].reverse()

        code, output = self.changed("silver.conversations", change)
        self.assertEqual(1, code)
        self.assertIn("participant_ids is ", output)

    def test_another_ingested_at_is_found(self):
        def change(rows):
            rows[0]["ingested_at"] -= MINUTE

        code, output = self.changed("bronze.users", change)
        self.assertEqual(1, code)
        self.assertIn("ingested_at is 2024-05-19T23:59:00", output)

    def test_nullability_and_types_are_compared(self):
        declared = columns.load()["silver.users"]
        loose = [columns.Column(each.name, each.type, True, each.key, each.partition) for each in declared]
        code, output = self.changed("silver.users", lambda rows: None, loose)
        self.assertEqual(1, code)
        self.assertIn("schema: declared, not in the table: user_id: string\n", output)

    def test_partition_columns_are_compared(self):
        declared = columns.load()["bronze.calls"]
        flat = [columns.Column(each.name, each.type, each.nullable, each.key) for each in declared]
        code, output = self.changed("bronze.calls", lambda rows: None, flat)
        self.assertEqual(1, code)
        self.assertIn("partitioned by [], declared ['created_date']", output)

    def test_two_files_of_one_commit_and_partition_are_too_many(self):
        with tempfile.TemporaryDirectory() as other:
            name = "silver.users"
            write_table(other, name, columns.load()[name], lake.Table(self.lake, name).rows)
            commit = pathlib.Path(other, "silver", "users", "_delta_log", "00000000000000000000.json")
            add = next(line for line in commit.read_text().splitlines() if line.startswith('{"add"'))
            commit.write_text(commit.read_text().rstrip("\n") + "\n" + add + "\n")
            problems = list(lake.Table(other, name)._file_count_problems())
            self.assertEqual(1, len(problems))
            self.assertIn("2 files for partition", problems[0])

    def test_history_of_other_dates_is_left_alone(self):
        def change(rows):
            rows.append(rows[0] | {"feature_date": rows[0]["feature_date"].replace(day=1), "msg_sent_1d": 5})

        self.assertEqual(0, self.changed("gold.ml_features", change)[0])

    def test_quarantine(self):
        code, output = self.run_compare(self.lake, "--tables", ",".join(self.expected.refused))
        self.assertGreater(len(self.expected.refused["quarantine.messages"]), 5)
        self.assertEqual(0, code, output)

    def test_a_wrong_reason_or_place_or_a_kept_secret_is_found(self):
        def change(rows):
            rows[0]["reason"] = "unknown"
            rows[1]["source_position"] = "mongodb/messages.json:0"
            rows[2]["raw"] = '{"password":"hunter2"}'

        declared = columns.load()["quarantine.*"]
        code, output = self.changed("quarantine.messages", change, declared)
        self.assertEqual(1, code)
        self.assertIn("reason unknown of ", output)
        self.assertIn("source_position mongodb/messages.json:0, should be one of", output)
        self.assertIn("raw of ", output)

    def test_unknown_tables_and_times_are_wrong_usage(self):
        self.assertEqual(2, self.run_compare(self.lake, "--tables", "silver.nothing")[0])
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            self.assertEqual(2, compare.main([str(self.lake), str(self.exports), "--as-of", "today"]))
            self.assertEqual(2, compare.main([str(self.lake), "no-such-folder", "--as-of", AS_OF]))
        self.assertIn("no ISO-8601 instant", errors.getvalue())
        self.assertIn("no export folder no-such-folder", errors.getvalue())
