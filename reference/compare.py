#!/usr/bin/env python3
"""Compares a lake with the reference, cell by cell.

    compare.py LAKE EXPORTS... --as-of T [--tables a,b]

Several export folders stand for several runs in that order, all silver and gold as of T. Doubles may differ by a
relative 1e-9, everything else must be equal. Exit code 0: all tables agree; 1: some do not, the differences are
printed; 2: wrong usage.
"""

import argparse
import collections
import json
import math
import os
import sys

import columns
import gold
import lake
import silver
from decode import decode
from instants import as_of_date, parse_iso, to_text
from redact import explain_bad_raw, is_secret
from upsert import upsert

MAX_SHOWN = 10
RELATIVE_TOLERANCE = 1e-9
# Other dates than the run's are kept in these tables, and not ours to judge.
HISTORY_DATES = {
    "gold.user_engagement": "calculation_date",
    "gold.conversation_analytics": "calculation_date",
    "gold.ml_features": "feature_date",
}
RUN_COLUMNS = ("ingested_at", "run_id")


class Expected:
    """What the lake should hold after runs over the export folders: rows by table, refused documents by table."""

    def __init__(self, exports, as_of):
        decoded = [decode(export) for export in exports]
        bronze = {
            table: upsert(table, [row for run in decoded for row in run.rows[table]]) for table in decoded[0].rows
        }
        self.refused = {
            f"quarantine.{table}": [refused for run in decoded for refused in run.refused[table]]
            for table in decoded[0].refused
        }
        layers = {"bronze": bronze, "silver": silver.build(bronze, as_of)}
        layers["gold"] = gold.build(layers["silver"], as_of)
        self.rows = {f"{layer}.{table}": rows for layer, tables in layers.items() for table, rows in tables.items()}


class Report:
    """The findings about one table."""

    def __init__(self, name):
        self.name = name
        self.problems = []
        self.numbers = {}


def main(arguments=None):
    """Entry point; returns the exit code."""
    options = _options(arguments)
    as_of = parse_iso(options.as_of)
    if as_of is None:
        print(f"--as-of {options.as_of} is no ISO-8601 instant, write for instance 2024-05-20T00:00:00Z", file=sys.stderr)
        return 2
    try:
        expected = Expected(options.exports, as_of)
    except FileNotFoundError as error:
        print(f"cannot compute what {options.lake} should hold: {error}", file=sys.stderr)
        return 2
    names = [*expected.rows, *expected.refused]
    chosen = options.tables.split(",") if options.tables else names
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        print(f"--tables: no table {', '.join(unknown)}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    ingested_at = as_of if len(options.exports) == 1 and not options.any_ingested_at else None
    reports = [check(options.lake, name, expected, as_of, ingested_at) for name in names if name in chosen]
    _print_reports(reports)
    return 1 if any(report.problems for report in reports) else 0


def _options(arguments):
    parser = argparse.ArgumentParser(description="Compares a lake with the reference, cell by cell.")
    parser.add_argument("lake", help="folder of the lake")
    parser.add_argument("exports", nargs="+", help="export folders in the order of their runs")
    parser.add_argument("--as-of", required=True, help="the runs' exclusive end, ISO-8601")
    parser.add_argument("--tables", help="only these, for instance silver.users,gold.daily_metrics")
    parser.add_argument(
        "--any-ingested-at",
        action="store_true",
        help="do not ask that ingested_at is --as-of (never asked with several export folders)",
    )
    return parser.parse_args(arguments)


def check(lake_path, name, expected, as_of, ingested_at):
    """Compares one table with what it should be; `ingested_at` None leaves that column out."""
    report = Report(name)
    rows, refused = expected.rows.get(name), expected.refused.get(name)
    report.numbers["reference"] = len(rows) if rows is not None else len({each.document_sha256 for each in refused})
    if not lake.exists(lake_path, name):
        # A quarantine that nothing entered need not exist.
        if rows is not None or refused:
            report.problems.append("the lake has no such table")
        return report
    table = lake.Table(lake_path, name)
    report.numbers |= {
        "lake": len(table.rows),
        "version": table.version,
        "files": len(table.files),
        "per partition": table.most_files_per_partition(),
    }
    declared = columns.load()["quarantine.*" if refused is not None else name]
    report.problems += _schema_problems(table, declared)
    if {(each.name, each.type[0]) for each in declared} != {(each.name, each.type[0]) for each in table.columns}:
        return report
    report.problems += table.problems()
    report.problems += _null_problems(table, declared)
    if ingested_at is not None and any(column.name == "ingested_at" for column in declared):
        report.problems += _ingestion_problems(table, ingested_at)
    if refused is not None:
        _compare_refused(report, table.rows, refused)
    else:
        _compare_rows(report, table, declared, rows, as_of)
    return report


def _schema_problems(table, declared):
    wanted, found = [columns.to_text(column) for column in declared], [columns.to_text(each) for each in table.columns]
    if wanted != found:
        missing = [text for text in wanted if text not in found]
        extra = [text for text in found if text not in wanted]
        yield from (f"schema: declared, not in the table: {text}" for text in missing)
        yield from (f"schema: in the table, not declared: {text}" for text in extra)
        if not missing and not extra:
            yield f"schema: the order of columns is {', '.join(column.name for column in table.columns)}"
    partition = [column.name for column in declared if column.partition]
    if partition != table.partition_columns:
        yield f"partitioned by {table.partition_columns}, declared {partition}"


def _null_problems(table, declared):
    for column in declared:
        if not column.nullable:
            count = sum(row[column.name] is None for row in table.rows)
            if count:
                yield f"{column.name} is null in {count} rows, though declared without nulls"


def _ingestion_problems(table, ingested_at):
    others = collections.Counter(row["ingested_at"] for row in table.rows if row["ingested_at"] != ingested_at)
    for instant, count in others.items():
        yield f"ingested_at is {to_text(instant)} in {count} rows, the run's as_of is {to_text(ingested_at)}"
    if any(row["run_id"] == "" for row in table.rows):
        yield "run_id is empty"


def _compare_rows(report, table, declared, expected_rows, as_of):
    keys = [column.name for column in declared if column.key]
    compared = [column for column in declared if column.name not in RUN_COLUMNS]
    found = _by_key(report, table.rows, keys, "lake")
    wanted = _by_key(report, expected_rows, keys, "reference")
    if report.name in HISTORY_DATES:
        date = HISTORY_DATES[report.name]
        found = {key: row for key, row in found.items() if row[date] == as_of_date(as_of)}
    cells = []
    for key, row in wanted.items():
        if key not in found:
            cells.append(f"{_key_text(keys, key)}: missing in the lake, should be {_row_text(row)}")
            continue
        for column in compared:
            ours, theirs = row[column.name], found[key][column.name]
            if not same(ours, theirs, column.type):
                cells.append(
                    f"{_key_text(keys, key)}: {column.name} is {_cell(theirs, column.type)}, "
                    f"should be {_cell(ours, column.type)}"
                )
    for key, row in found.items():
        if key not in wanted:
            cells.append(f"{_key_text(keys, key)}: should not be there, is {_row_text(row)}")
    _add_shortened(report, cells)


def _by_key(report, rows, keys, side):
    by_key = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        if key in by_key:
            report.problems.append(f"{_key_text(keys, key)}: more than one row in the {side}")
        by_key[key] = row
    return by_key


def _add_shortened(report, lines):
    report.numbers["differences"] = len(lines)
    report.problems += lines[:MAX_SHOWN]
    if len(lines) > MAX_SHOWN:
        report.problems.append(f"... and {len(lines) - MAX_SHOWN} more differences")


def same(ours, theirs, type_):
    """Whether two cells are equal: doubles but for rounding, the rest exactly, types included."""
    if ours is None or theirs is None:
        return ours is theirs
    if type_[0] == "double":
        return math.isclose(ours, theirs, rel_tol=RELATIVE_TOLERANCE)
    if type_[0] == "list":
        return len(ours) == len(theirs) and all(same(a, b, type_[1]) for a, b in zip(ours, theirs))
    if type_[0] == "struct":
        return all(same(ours[name], theirs[name], kind) for name, kind, _ in type_[1])
    if type_[0] == "map":
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key], type_[2]) for key in ours)
    return type(ours) is type(theirs) and ours == theirs


def _compare_refused(report, rows, refused):
    found = _by_key(report, rows, ["document_sha256"], "lake")
    wanted = collections.defaultdict(list)
    for document in refused:
        wanted[document.document_sha256].append(document)
    lines = []
    for sha256, documents in wanted.items():
        if (sha256,) not in found:
            lines.append(f"missing: {_refused_text(documents[0])}")
        else:
            lines += _refused_problems(found[sha256,], documents)
    for (sha256,), row in found.items():
        if sha256 not in wanted:
            lines.append(f"should not be there: {row['source_position']} {row['reason']} {row['raw'][:200]!r}")
    _add_shortened(report, lines)


def _refused_text(document):
    return f"{min(document.positions)} {'|'.join(sorted(document.reasons))} {document.text[:200]!r}"


def _refused_problems(row, documents):
    """Two identical documents are one row, which may name the place of either."""
    first = documents[0]
    if row["reason"] not in first.reasons:
        yield f"reason {row['reason']} of {_refused_text(first)}"
    positions = set().union(*(document.positions for document in documents))
    if row["source_position"] not in positions:
        yield f"source_position {row['source_position']}, should be one of {sorted(positions)}"
    reason = explain_bad_raw(first.text, row["raw"]) if first.columns is None else _bad_csv_raw(first, row["raw"])
    if reason is not None:
        yield f"raw of {_refused_text(first)}: {reason}: {row['raw'][:200]!r}"


def _bad_csv_raw(document, raw):
    """A refused CSV record is kept as a JSON object of its columns; only those that have a name are certain."""
    try:
        stored = json.loads(raw)
    except ValueError:
        return "is no JSON"
    if not isinstance(stored, dict):
        return "is no JSON object"
    if any(is_secret(name) or name == "user_agent" for name in stored):
        return "holds a secret column"
    for name, text in document.columns.items():
        accepted = (text, None) if text in ("", "\\N") else (text,)
        if stored.get(name) not in accepted:
            return f"column {name} is {stored.get(name)!r}, should be {text!r}"
    return None


def _key_text(names, key):
    return ", ".join(f"{name} {str(value)!r}" for name, value in zip(names, key))


def _cell(value, type_):
    if value is not None and type_[0] == "timestamp":
        return to_text(value)
    return str(value) if type_[0] == "date" else repr(value)[:300]


def _row_text(row):
    text = ", ".join(f"{name}={value!r}" for name, value in row.items())
    return text if len(text) <= 300 else text[:300] + "..."


def _print_reports(reports):
    head = ["table", "lake", "reference", "differences", "files", "per partition", "version"]
    lines = [[*head, "verdict"]]
    for report in reports:
        numbers = [str(report.numbers.get(name, "-")) for name in head[1:]]
        lines.append([report.name, *numbers, "differs" if report.problems else "equal"])
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    for report in reports:
        if report.problems:
            print(f"\n{report.name}")
            for problem in report.problems:
                print(f"  {problem}")


def leave(code):
    """Ends the process at once: threads of pyarrow now and then abort an interpreter that ends in its own time."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
