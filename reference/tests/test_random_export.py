"""The generator against the decoder: two codes that share no rule but the names of the columns."""

import pathlib
import random
import tempfile
import unittest

import documents
import random_documents
import random_export
from decode import decode
from extended_json import Faults, parse_document
from instants import parse_iso
from random_faults import spoiled
from random_rows import RowMaker
from random_text import Writer
from upsert import KEYS

AS_OF = parse_iso("2024-05-20T00:00:00Z")
KINDS = {
    "messages": (documents.message, random_documents.message, lambda maker: maker.message()),
    "users": (documents.user, random_documents.user, lambda maker: maker.user(maker.new_id())),
    "conversations": (
        documents.conversation, random_documents.conversation, lambda maker: maker.conversation(maker.new_id()),
    ),
    "calls": (documents.call, random_documents.call, lambda maker: maker.call()),
    "notifications": (documents.notification, random_documents.notification, lambda maker: maker.notification()),
}


class RoundTrip(unittest.TestCase):
    """Every way to write a row decodes to that row; every spoiled document is refused."""

    def test_good_documents_decode_to_their_rows(self):
        rng = random.Random(7)
        maker, writer = RowMaker(rng, AS_OF), Writer(rng)
        for decoder, encoder, make in KINDS.values():
            for _ in range(400):
                row = make(maker)
                for _ in range(3):
                    line = writer.object(encoder(row, writer)).encode()
                    faults = Faults()
                    decoded = decoder(parse_document(line, faults), faults)
                    self.assertEqual(set(), faults.reasons, line)
                    self.assertEqual(row, decoded, line)

    def test_spoiled_documents_are_refused(self):
        rng = random.Random(8)
        maker, writer = RowMaker(rng, AS_OF), Writer(rng)
        seen = set()
        for collection, (decoder, encoder, make) in KINDS.items():
            for _ in range(600):
                line = spoiled(collection, encoder(make(maker), writer), writer)
                faults = Faults()
                document = parse_document(line, faults)
                if document is not None:
                    decoder(document, faults)
                self.assertNotEqual(set(), faults.reasons, line)
                seen |= faults.reasons
        self.assertEqual(
            {"invalid_utf8", "invalid_json", "too_deep", "not_an_object", "missing_key", "wrong_type", "bad_date"}, seen
        )


class Folders(unittest.TestCase):
    """What is on disk."""

    def test_the_same_seed_writes_the_same_bytes(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            for folder in (one, two):
                random_export.write([pathlib.Path(folder)], 3, _circles(3, 200))
            self.assertEqual(_contents(one), _contents(two))

    def test_all_versions_are_spread_over_the_runs(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as out:
            random_export.write([pathlib.Path(one)], 5, _circles(5, 300))
            runs = [pathlib.Path(out, str(run)) for run in (1, 2, 3)]
            random_export.write(runs, 5, _circles(5, 300))
            counts = [len(decode(run).rows["messages"]) for run in runs]
            self.assertTrue(all(count > 0 for count in counts), counts)

    def test_circles_share_no_id_and_do_not_depend_on_each_other(self):
        with tempfile.TemporaryDirectory() as out:
            ids = {}
            for name, numbers in {"all": range(3), "last": [2], "others": range(2)}.items():
                folder = pathlib.Path(out, name)
                random_export.write([folder], 9, _circles(9, 100, numbers))
                decoded = decode(folder).rows
                ids[name] = {(table, row[key]) for table, key in KEYS.items() for row in decoded[table]}
            self.assertEqual(ids["all"], ids["last"] | ids["others"])
            self.assertEqual(set(), ids["last"] & ids["others"])
            self.assertGreater(len(ids["last"]), 20)


def _circles(seed, documents, numbers=(0,)):
    return random_export.circles_of(seed, documents, AS_OF, numbers)


def _contents(folder):
    root = pathlib.Path(folder)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
