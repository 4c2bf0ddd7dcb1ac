"""Writes the reference's own rows as a Delta lake, so that the comparer can be tested without any other writer."""

import json
import pathlib

import pyarrow
from deltalake import write_deltalake

import columns
from redact import CUT_MARK, first_secret_key

_PLAIN = {
    "string": pyarrow.string(),
    "boolean": pyarrow.bool_(),
    "int": pyarrow.int32(),
    "long": pyarrow.int64(),
    "double": pyarrow.float64(),
    "date": pyarrow.date32(),
    "timestamp": pyarrow.timestamp("us", "UTC"),
}


def arrow_type(type_):
    """The Arrow type of a declared type."""
    if type_[0] == "list":
        return pyarrow.list_(arrow_type(type_[1]))
    if type_[0] == "map":
        return pyarrow.map_(arrow_type(type_[1]), arrow_type(type_[2]))
    if type_[0] == "struct":
        return pyarrow.struct([pyarrow.field(name, arrow_type(kind), nullable) for name, kind, nullable in type_[1]])
    return _PLAIN[type_[0]]


def write_lake(lake, expected, as_of):
    """Every table of `expected`, as a run at `as_of` would leave it."""
    declared = columns.load()
    for name, rows in expected.rows.items():
        run = {"ingested_at": as_of, "run_id": "run-1"} if name.startswith("bronze.") else {}
        write_table(lake, name, declared[name], [row | run for row in rows])
    for name, refused in expected.refused.items():
        rows = {document.document_sha256: _refused_row(document, as_of) for document in refused}
        write_table(lake, name, declared["quarantine.*"], list(rows.values()))


def _refused_row(document, as_of):
    raw = document.text if first_secret_key(document.text) is None else CUT_MARK
    if document.columns is not None:
        raw = json.dumps(document.columns)
    return {
        "document_sha256": document.document_sha256,
        "raw": raw,
        "reason": min(document.reasons),
        "field": None,
        "source_position": min(document.positions),
        "run_id": "run-1",
        "ingested_at": as_of,
    }


def write_table(lake, name, declared, rows, mode="error"):
    """One commit to one table."""
    schema = pyarrow.schema([pyarrow.field(each.name, arrow_type(each.type), each.nullable) for each in declared])
    arrays = []
    for column in declared:
        values = [row[column.name] for row in rows]
        if column.type[0] == "map":
            values = [list(value.items()) for value in values]
        arrays.append(pyarrow.array(values, arrow_type(column.type)))
    write_deltalake(
        str(pathlib.Path(lake, *name.split("."))),
        pyarrow.Table.from_arrays(arrays, schema=schema),
        partition_by=[column.name for column in declared if column.partition] or None,
        mode=mode,
    )
