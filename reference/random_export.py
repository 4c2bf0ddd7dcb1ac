#!/usr/bin/env python3
"""Writes a small export folder full of border cases, the same for the same seed.

    random_export.py --seed N --out DIR [--documents K] [--as-of T] [--runs R] [--circles C [--first-circle F]]

With `--circles C` there are C circles of people who do not know each other, each with about K documents; a circle is
the same, whichever others there are. With `--runs R` it writes DIR/1 to DIR/R: the versions of every document spread over R folders, for runs one after
the other. Prints the folders. Made for comparing two decoders of the contract: what the contract leaves free (which of
two equally new, different documents wins, say) does not occur, so that any order of files, lines and folders must give
the same tables, quarantine apart.
"""

import argparse
import dataclasses
import gzip
import json
import pathlib
import random
import sys

import random_accounts
import random_documents
from export_files import BOM
from instants import date_of, parse_iso, to_text
from random_faults import spoiled
from random_rows import RowMaker
from random_text import Writer, nested

DEFAULT_AS_OF = "2024-05-20T00:00:00Z"
BAD_SHARE = 0.12


def main(arguments=None):
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description="Writes a small export folder full of border cases.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", required=True, help="folder to write; its files are replaced")
    parser.add_argument("--documents", type=int, default=400, help="about how many (default 400)")
    parser.add_argument("--as-of", default=DEFAULT_AS_OF, help=f"the instant that times lie around ({DEFAULT_AS_OF})")
    parser.add_argument("--runs", type=int, default=1, help="spread versions over so many folders (default 1)")
    parser.add_argument("--circles", type=int, default=1, help="so many circles of people (default 1)")
    parser.add_argument("--first-circle", type=int, default=0, help="the number of the first one (default 0)")
    options = parser.parse_args(arguments)
    as_of = parse_iso(options.as_of)
    if as_of is None:
        print(f"--as-of {options.as_of} is no ISO-8601 instant", file=sys.stderr)
        return 2
    out = pathlib.Path(options.out)
    folders = [out] if options.runs == 1 else [out / str(run) for run in range(1, options.runs + 1)]
    for folder in folders:
        print(folder)
    numbers = range(options.first_circle, options.first_circle + options.circles)
    write(folders, options.seed, circles_of(options.seed, options.documents, as_of, numbers))
    return 0


@dataclasses.dataclass
class Circle:
    """People who know each other and nobody else, with conversations and ids of their own."""

    maker: RowMaker
    writer: Writer
    documents: int

    def chance(self, probability):
        """True with this probability."""
        return self.maker.chance(probability)


def circles_of(seed, documents, as_of, numbers):
    """The circles with these numbers; each is the same, whichever others there are."""
    found = []
    for number in numbers:
        rng = random.Random(f"{seed}/{number}")
        found.append(Circle(RowMaker(rng, as_of, number), Writer(rng), documents))
    return found


def write(folders, seed, circles):
    """Writes the exports, one folder a run. What files there are and of which shape depends on the seed alone."""
    for folder in folders:
        for part in ("mongodb", "mysql"):
            (folder / part).mkdir(parents=True, exist_ok=True)
            for old in (folder / part).iterdir():
                old.unlink()
    for collection in ("users", "conversations", "messages", "calls", "notifications"):
        rng = random.Random(f"{seed}/{collection}")
        # A collection may be absent, but not all of them.
        is_absent = collection != "users" and rng.random() < 0.04
        lines = [[] for _ in folders]
        for circle in circles:
            _add_lines(lines, collection, circle)
        for folder, chosen in zip(folders, lines):
            if not is_absent:
                _write_collection(folder, collection, chosen, rng)
    for accounts in (_write_auth_users, _write_sessions, _write_audit_logs):
        accounts(folders, circles, random.Random(f"{seed}/{accounts.__name__}"))
    random_accounts.remove_media(folders)
    for circle in circles:
        random_accounts.write_media(folders, circle.maker)


def _add_lines(lines, collection, circle):
    """Adds a circle's documents of a collection to the lines of the runs, some twice and some spoiled."""
    writer, rng = circle.writer, circle.writer.rng
    encode = getattr(random_documents, collection.removesuffix("s"))
    for row in _rows(collection, circle):
        for _ in range(2 if rng.random() < 0.1 else 1):
            rng.choice(lines).append(_line(encode(row, writer), writer))
        if rng.random() < BAD_SHARE:
            bad = spoiled(collection, encode(row, writer), writer)
            rng.choice(lines).extend([bad] * rng.choice((1, 1, 1, 2)))


def _rows(collection, circle):
    """Row versions of a collection, shuffled."""
    maker, documents = circle.maker, circle.documents
    if collection == "users":
        known_users = maker.users[:-1] if maker.chance(0.5) else maker.users
        rows, change = [maker.user(user_id) for user_id in known_users], maker.change_user
    elif collection == "conversations":
        rows, change = [maker.conversation(each) for each in maker.conversations], maker.change_conversation
    elif collection == "messages":
        rows, change = [maker.message() for _ in range(documents // 2)], maker.change_message
    elif collection == "calls":
        rows, change = [maker.call() for _ in range(documents // 8)], maker.change_call
    else:
        rows, change = [maker.notification() for _ in range(documents // 16)], maker.change_notification
    found = [version for row in rows for version in maker.versions(row, change)]
    maker.rng.shuffle(found)
    return found


def _line(pairs, writer):
    """A document of the pairs, sometimes with the deepest unknown field that is allowed."""
    if writer.chance(0.02):
        pairs = [*pairs, ("deep", nested(99))]
    text = writer.object(pairs)
    return (f" {text}\t" if writer.chance(0.05) else text).encode()


def _write_collection(folder, collection, lines, rng):
    """Spreads lines over up to three files, each with its own line ends, byte order mark and compression."""
    names = rng.sample(("", "-2", "_old", ".part.2", "É"), rng.choice((1, 1, 2, 3)))
    parts = {name: [] for name in names}
    for line in lines:
        parts[rng.choice(names)].append(line)
    for name, chosen in parts.items():
        _write_file(folder / "mongodb" / f"{collection}{name}.json", chosen, rng)


def _write_file(path, lines, rng, blank_lines=True):
    end = rng.choice((b"\n", b"\n", b"\r\n"))
    pieces = [BOM] if rng.random() < 0.2 else []
    for index, line in enumerate(lines):
        if blank_lines and rng.random() < 0.03:
            pieces.append(end)
        is_last = index == len(lines) - 1
        pieces.append(line + (b"" if is_last and rng.random() < 0.3 else end))
    content = b"".join(pieces)
    if rng.random() < 0.3:
        # Two members, as `cat a.gz b.gz` makes them, are one file.
        cut = rng.randint(0, len(content))
        content = b"".join(gzip.compress(part, mtime=0) for part in (content[:cut], content[cut:]))
        path = path.with_name(path.name + ".gz")
    path.write_bytes(content)


_USER_COLUMNS = ("id", "email", "email_verified", "two_factor_enabled", "last_login_at", "login_count", "created_at")
_AUTH_USER_COLUMNS = (
    "id", "email", "external_id", "status", "two_factor_enabled", "failed_login_attempts", "locked_until",
    "last_login_at", "created_at", "updated_at",
)
_EXTRA_COLUMNS = ("password_hash", "user_agent", "two_factor_secret", "favourite_colour")
_UNKNOWN_COLUMNS = {*_EXTRA_COLUMNS, *random_accounts.SESSION_SECRETS, *random_accounts.AUDIT_LOG_SECRETS}
_AUTH_USER_FAULTS = (
    {"id": ""}, {"id": "\\N"}, {"created_at": "soon"}, {"created_at": "2024-02-30 00:00:00"},
    {"created_at": "1715000000"}, {"last_login_at": "1969-12-31 23:59:59"}, {"two_factor_enabled": "yes"},
    {"two_factor_enabled": "2"},
)


def _write_auth_users(folders, circles, rng):
    if rng.random() < 0.1:
        return
    has_external_ids = rng.random() < 0.7
    columns = list(_AUTH_USER_COLUMNS if has_external_ids else _USER_COLUMNS)
    columns += rng.sample(_EXTRA_COLUMNS, rng.randint(0, len(_EXTRA_COLUMNS)))
    rng.shuffle(columns)
    records = [[] for _ in folders]
    for circle in circles:
        _add_auth_users(records, columns, circle, has_external_ids)
    name = "auth_users" if has_external_ids else "users"
    _write_records(folders, name, columns, records, rng)


def _add_auth_users(records, columns, circle, has_external_ids):
    maker, writer, rng = circle.maker, circle.writer, circle.maker.rng
    by_id = {}
    for _ in range(_account_count(circle)):
        row = maker.auth_user(has_external_ids)
        by_id.setdefault(row["auth_user_id"], row)
    for row in by_id.values():
        versions = [row]
        if has_external_ids and row["updated_at"] is not None and rng.random() < 0.3:
            newer = maker.clamp(row["updated_at"] + 1000)
            if newer != row["updated_at"]:
                versions.append(row | {"updated_at": newer, "status": "newer"})
        for version in versions:
            for _ in range(rng.choice((1, 1, 1, 2))):
                rng.choice(records).append(_record(_cells(version, columns, writer), rng))
            if rng.random() < BAD_SHARE * 2:
                counts = "failed_login_attempts" if "failed_login_attempts" in columns else "login_count"
                faults = [*_AUTH_USER_FAULTS, {counts: "many" if counts != "login_count" else "1.5"}]
                rng.choice(records).append(_bad_record(_cells(version, columns, writer), faults, rng))


def _account_count(circle):
    return max(4, circle.documents // 20)


def _write_records(folders, name, columns, records, rng):
    for folder, chosen in zip(folders, records):
        header = ",".join(f'"{column}"' if rng.random() < 0.1 else column for column in columns).encode()
        _write_file(folder / "mysql" / f"{name}{rng.choice(('', '_1'))}.csv", [header, *chosen], rng, blank_lines=False)


def _write_sessions(folders, circles, rng):
    if rng.random() < 0.1:
        return
    flag = rng.choice(("revoked", "is_revoked"))
    columns = [*random_accounts.SESSION_COLUMNS, flag]
    # The other name of the flag may be there too, without a value that counts.
    other = rng.choice((None, "revoked" if flag == "is_revoked" else None))
    if other is not None:
        columns.append(other)

    def rows_of(circle):
        rows = [row | {flag: row["flag"]} for row in random_accounts.sessions(circle.maker, _account_count(circle))]
        if other is not None:
            rng = circle.maker.rng
            rows = [row | {other: None if row[flag] is None else rng.choice((None, True, False))} for row in rows]
        return rows

    name = rng.choice(("sessions", "refresh_tokens"))
    columns = _among_others(columns, random_accounts.SESSION_SECRETS, rng)
    _write_rows(folders, name, columns, [(circle, rows_of(circle)) for circle in circles], random_accounts.SESSION_FAULTS, rng)


def _write_audit_logs(folders, circles, rng):
    if rng.random() < 0.1:
        return
    columns = _among_others(random_accounts.AUDIT_LOG_COLUMNS, random_accounts.AUDIT_LOG_SECRETS, rng)
    rows = [(circle, random_accounts.audit_logs(circle.maker, _account_count(circle))) for circle in circles]
    _write_rows(folders, "audit_logs", columns, rows, random_accounts.AUDIT_LOG_FAULTS, rng)


def _among_others(columns, extra, rng):
    """The columns and some that are not wanted, in any order."""
    columns = [*columns, *rng.sample(extra, rng.randint(0, len(extra)))]
    rng.shuffle(columns)
    return columns


def _write_rows(folders, name, columns, circles, faults, rng):
    """The circles' rows over the folders, some twice and some spoiled."""
    records = [[] for _ in folders]
    for circle, rows in circles:
        own = circle.maker.rng
        for row in rows:
            for _ in range(own.choice((1, 1, 1, 2))):
                own.choice(records).append(_record(_cells(row, columns, circle.writer), own))
            if own.random() < BAD_SHARE * 2:
                own.choice(records).append(_bad_record(_cells(row, columns, circle.writer), faults, own))
    _write_records(folders, name, columns, records, rng)


def _cells(row, columns, writer):
    """The texts of a record by column."""
    cells = {}
    for column in columns:
        value = row.get("auth_user_id" if column == "id" and "id" not in row else column)
        if column in _UNKNOWN_COLUMNS:
            cells[column] = writer.rng.choice(("", "hunter2", 'a, "b"'))
        elif value is None:
            cells[column] = writer.rng.choice(("", "\\N"))
            if column.endswith("_at") and writer.chance(0.3):
                cells[column] = "0000-00-00 00:00:00"
        elif isinstance(value, bool):
            cells[column] = writer.rng.choice(("1", "true", "TRUE", "True") if value else ("0", "false", "FALSE"))
        elif column.endswith(("_at", "_until")):
            cells[column] = writer.iso(value) if writer.chance(0.3) else _mysql_time(value)
        else:
            cells[column] = str(value)
    return cells


def _mysql_time(instant):
    """`YYYY-MM-DD HH:MM:SS.ffffff`, the fraction only where there is one."""
    text = to_text(instant).replace("T", " ").removesuffix("Z")
    return text.removesuffix(".000000")


def _record(cells, rng):
    """A CSV record; quotes where they are needed, and sometimes where not."""
    fields = []
    for text in cells.values():
        needs_quotes = any(character in text for character in ',"\r\n')
        if needs_quotes or (text not in ("", "\\N") and rng.random() < 0.2):
            text = '"' + text.replace('"', '""') + '"'
        fields.append(text)
    return ",".join(fields).encode()


def _bad_record(cells, faults, rng):
    kind = rng.random()
    if kind < 0.6:
        return _record(cells | rng.choice(faults), rng)
    record = _record(cells, rng)
    if kind < 0.75:
        return record + b",more"
    if kind < 0.9:
        return b"123,only two"
    # The bad byte stands in an unquoted field of its own; rows of other lengths are bad already.
    name = "email" if "email" in cells else "ip_address"
    return _record(cells | {name: "BAD"}, rng).replace(b"BAD", b"b\xffd")


if __name__ == "__main__":
    sys.exit(main())
