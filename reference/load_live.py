"""Puts the documents and rows of an export folder into live systems, as the chat application would have them.

    load_live.py EXPORT --database NAME [--mongodb URI] [--mysql URL --ca FILE]
    load_live.py --drop --database NAME [--mongodb URI] [--mysql URL --ca FILE]

The database is made if it is not there; with `--drop` it is removed instead of filled.

Of a document or row that stands in the export more than once the newest is loaded, as a live system has only that. Lines
that are no documents cannot be loaded; their number is printed, for the caller to expect. The clients are not those of
the project: pymongo and PyMySQL.
"""

import argparse
import json
import pathlib
import sys
import urllib.parse

import bson.errors
import pymongo
import pymongo.errors
import pymysql
from bson import json_util

from export_files import collection_lines, split_record, table_records

COLLECTIONS = ["messages", "users", "conversations", "calls", "notifications"]
TABLES = ["auth_users", "users", "sessions", "refresh_tokens", "audit_logs"]
BATCH = 500
# What cannot be written as BSON, and what the server refuses.
REFUSED = (pymongo.errors.PyMongoError, bson.errors.BSONError, UnicodeError, OverflowError)

BOOLEANS = {"two_factor_enabled", "email_verified", "is_revoked", "revoked"}
INTEGERS = {"failed_login_attempts", "login_count"}


def newest(known, document):
    """Whether a document replaces the one that is known; `updatedAt` may be of any type in a broken one."""
    try:
        return known.get("updatedAt") <= document.get("updatedAt")
    except TypeError:
        return True


def load_collection(database, export, name):
    """Loads one collection; returns how many documents it has now, and how many lines could not be loaded."""
    documents, refused = {}, 0
    options = json_util.JSONOptions(tz_aware=True, unicode_decode_error_handler="ignore")
    for line in collection_lines(export, name):
        try:
            document = json_util.loads(line.raw.decode("utf-8"), json_options=options)
        except (ValueError, TypeError, OverflowError):
            refused += 1
            continue
        if not isinstance(document, dict) or "_id" not in document:
            refused += 1
            continue
        key = repr(document["_id"])
        if key not in documents or newest(documents[key], document):
            documents[key] = document
    collection = database[name]
    loaded, pending = 0, list(documents.values())
    if not pending:
        database.create_collection(name)
    for start in range(0, len(pending), BATCH):
        batch = pending[start : start + BATCH]
        try:
            collection.insert_many(batch, ordered=False)
            loaded += len(batch)
        except REFUSED:
            for document in batch:
                try:
                    collection.replace_one({"_id": document["_id"]}, document, upsert=True)
                    loaded += 1
                except REFUSED:
                    refused += 1
    return loaded, refused


def column_type(name, is_key, integral):
    """The type of a column in the chat application's schema, by its name."""
    if is_key:
        return "BIGINT UNSIGNED PRIMARY KEY" if integral else "VARCHAR(64) PRIMARY KEY"
    if name in BOOLEANS:
        return "TINYINT(1)"
    if name in INTEGERS:
        return "INT UNSIGNED"
    if name.endswith("_at") or name == "locked_until":
        return "DATETIME(6)"
    return "TEXT"


def load_table(connection, export, name):
    """Loads one table; returns how many rows it has now and how many were refused, or None without files."""
    header, rows, refused = None, {}, 0
    for found, line in table_records(export, name):
        header = [column.strip() for column in found]
        fields = split_record(line.raw.decode("utf-8"))
        if len(fields) != len(header):
            refused += 1
            continue
        values = [None if field in ("", "\\N") else field for field in fields]
        rows[values[header.index("id")]] = values
    if header is None:
        return None
    integral = all(key is not None and key.isdecimal() for key in rows)
    columns = ", ".join(f"`{column}` {column_type(column, column == 'id', integral)}" for column in header)
    places = ", ".join(["%s"] * len(header))
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE `{name}` ({columns}) CHARACTER SET utf8mb4")
        for values in rows.values():
            try:
                cursor.execute(f"INSERT INTO `{name}` VALUES ({places})", values)
            except pymysql.err.Error:
                refused += 1
        cursor.execute(f"SELECT COUNT(*) FROM `{name}`")
        loaded = cursor.fetchone()[0]
    connection.commit()
    return loaded, refused


def connect_mysql(url, ca):
    """A connection to the server of a url."""
    parts = urllib.parse.urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=urllib.parse.unquote(parts.username or ""),
        password=urllib.parse.unquote(parts.password or ""),
        charset="utf8mb4",
        ssl={"ca": ca} if ca else None,
    )


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=pathlib.Path, nargs="?")
    parser.add_argument("--database", required=True)
    parser.add_argument("--mongodb")
    parser.add_argument("--mysql")
    parser.add_argument("--ca")
    parser.add_argument("--drop", action="store_true")
    given = parser.parse_args(arguments)
    if (given.export is None) != given.drop:
        parser.error("either an export to load or --drop is needed")
    counts = {}
    if given.mongodb:
        client = pymongo.MongoClient(given.mongodb)
        if given.drop:
            client.drop_database(given.database)
        for name in () if given.drop else COLLECTIONS:
            counts[f"mongodb.{name}"] = load_collection(client[given.database], given.export, name)
    if given.mysql:
        connection = connect_mysql(given.mysql, given.ca)
        with connection.cursor() as cursor:
            verb = "DROP DATABASE IF EXISTS" if given.drop else "CREATE DATABASE IF NOT EXISTS"
            cursor.execute(f"{verb} `{given.database}`")
        if not given.drop:
            connection.select_db(given.database)
        for name in () if given.drop else TABLES:
            loaded = load_table(connection, given.export, name)
            if loaded is not None:
                counts[f"mysql.{name}"] = loaded
    json.dump({name: {"loaded": loaded, "refused": refused} for name, (loaded, refused) in counts.items()}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
