"""Media objects on disk, and the messages that use them."""

import os
import pathlib
import tempfile
import unittest

import media
import silver
from instants import parse_iso
from tests.rows import bronze, message


class Listing(unittest.TestCase):
    def test_every_file_below_the_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "media/images/2024/a b%20.JPG")
            path.parent.mkdir(parents=True)
            path.write_bytes(b"12345")
            os.utime(path, ns=(0, 1_700_000_000_123_456_789))
            pathlib.Path(folder, "media/empty").mkdir()
            row, = media.objects(folder)
            self.assertEqual("images/2024/a b%20.JPG", row["key"])
            self.assertEqual((5, None, 1_700_000_000_123_456, "image/jpeg", "s3"), tuple(row[name] for name in (
                "size_bytes", "etag", "last_modified", "content_type", "source_system",
            )))
            self.assertEqual([], media.objects(path.parent))

    def test_content_types(self):
        for name, expected in (
            ("a.jpeg", "image/jpeg"), ("a.HeIc", "image/heic"), ("a.b.zip", "application/zip"), ("a.svg", media.OTHER),
            ("jpg", media.OTHER), (".jpg", media.OTHER), ("a.", media.OTHER),
        ):
            self.assertEqual(expected, media.content_type(name), name)


class Use(unittest.TestCase):
    def test_keys(self):
        for url, key in (
            ("https://h/media/a/b.jpg?x#y", "a/b.jpg"), ("https://h/media/a/media/b.jpg", "b.jpg"), ("media/a.jpg", "a.jpg"),
            ("/media/a.jpg", "a.jpg"), ("/a.jpg", "a.jpg"), ("a.jpg#?", "a.jpg"), ("https://h/a.jpg", None),
            ("a?u=s3://b/media/c", "a"), ("https://h/media/", None), ("", None), (None, None), ("multimedia/a", "multimedia/a"),
        ):
            self.assertEqual(key, media.key_of(url), url)

    def test_the_earliest_user(self):
        objects = [{"key": key, "size_bytes": 1, "content_type": "image/jpeg"} for key in ("a", "b", "t", "none")]
        messages = [
            message("9", "u", "2024-01-01", attachments=[{"url": "a"}]),
            message("1", "u", "2024-01-02", attachments=[{"url": "a"}, {"url": "b", "thumbnailUrl": "t"}]),
            message("0", "u", "2024-01-02", attachments=[{"url": "/b"}], isDeleted=True),
        ]
        rows = silver.build(bronze(media=objects, messages=messages), parse_iso("2024-01-01"))["media"]
        self.assertEqual(
            [("9", False), ("0", False), (None, True), (None, True)],
            [(row["message_id"], row["is_orphan"]) for row in rows],
        )


if __name__ == "__main__":
    unittest.main()
