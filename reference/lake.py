"""A table of the lake as two engines that are not ours see it.

`deltalake` (delta-rs) replays the log and reads the rows; `duckdb` reads the Parquet files of the log's file list by
itself, with the partition values of the log beside them, and must find the same row count and the same sum of every
column. What both rely on, the protocol, partition columns, file counts and file statistics, is checked here too.
"""

import collections
import datetime
import json
import math
import pathlib

import duckdb
import pyarrow
import pyarrow.parquet
from deltalake import DeltaTable

import columns

MAX_READER_VERSION = 1
MAX_WRITER_VERSION = 2
TARGET_FILE_BYTES = 128 * 1024 * 1024
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MICROSECOND = datetime.timedelta(microseconds=1)


class Table:
    """One Delta table at its newest version: `rows` as plain Python values, instants as microseconds."""

    def __init__(self, lake, name):
        self.path = pathlib.Path(lake, *name.split("."))
        self._delta = DeltaTable(str(self.path))
        self.version = self._delta.version()
        self.columns = columns.of_delta_schema(self._delta.schema().to_json())
        self.partition_columns = list(self._delta.metadata().partition_columns)
        self.files = _live_files(self._delta)
        table = self._delta.to_pyarrow_table()
        values = {
            column.name: [plain(value, column.type) for value in table.column(column.name).to_pylist()]
            for column in self.columns
        }
        self.rows = [dict(zip(values, row)) for row in zip(*values.values())]

    def problems(self):
        """What is wrong with the table whatever its rows should be, as lines of text."""
        return [
            *self._protocol_problems(),
            *self._file_count_problems(),
            *self._parquet_problems(),
            *self._engine_problems(),
        ]

    def most_files_per_partition(self):
        """The greatest number of files that one partition value has now."""
        counts = collections.Counter(json.dumps(file["partition"], sort_keys=True) for file in self.files)
        return max(counts.values(), default=0)

    def _protocol_problems(self):
        protocol = self._delta.protocol()
        if protocol.min_reader_version > MAX_READER_VERSION or protocol.min_writer_version > MAX_WRITER_VERSION:
            yield (
                f"protocol: reader {protocol.min_reader_version} and writer {protocol.min_writer_version}, "
                f"at most {MAX_READER_VERSION} and {MAX_WRITER_VERSION} are read everywhere"
            )
        features = [*(protocol.reader_features or []), *(protocol.writer_features or [])]
        if features:
            yield f"protocol: table features {', '.join(map(str, features))}"
        for option in self._delta.metadata().configuration:
            if option.startswith("delta.columnMapping"):
                yield f"configuration: {option} is set"

    def _file_count_problems(self):
        """One commit adds at most one file per partition value and 128 MiB."""
        for commit in sorted((self.path / "_delta_log").glob("*.json")):
            sizes = collections.defaultdict(list)
            for line in commit.read_text(encoding="utf-8").split("\n"):
                add = json.loads(line).get("add") if line.strip() else None
                if add is not None:
                    sizes[json.dumps(add["partitionValues"], sort_keys=True)].append(add["size"])
            for partition, files in sizes.items():
                allowed = max(1, math.ceil(sum(files) / TARGET_FILE_BYTES))
                if len(files) > allowed:
                    yield f"{commit.name}: {len(files)} files for partition {partition}, at most {allowed}"

    def _parquet_problems(self):
        for file in self.files:
            footer = pyarrow.parquet.read_metadata(file["path"])
            schema = footer.schema.to_arrow_schema()
            yield from (f"{file['path']}: {text}" for text in _timestamp_problems(schema))
            if file["records"] is not None and file["records"] != footer.num_rows:
                yield f"{file['path']}: the log says {file['records']} rows, the file has {footer.num_rows}"

    def _engine_problems(self):
        ours, theirs = self._sums_of_rows(), self._sums_by_duckdb()
        for name, value in ours.items():
            if not _close(value, theirs[name]):
                yield f"engines: {name} is {value} by deltalake and {theirs[name]} by duckdb"

    def _sums_of_rows(self):
        sums = {"row count": len(self.rows)}
        for column in self.columns:
            values = [row[column.name] for row in self.rows if row[column.name] is not None]
            sums[f"{column.name} (values)"] = len(values)
            sums[f"{column.name} (sum)"] = math.fsum(map(_weight, values)) if column.type[0] == "double" else sum(
                map(_weight, values)
            )
        return sums

    def _sums_by_duckdb(self):
        if not self.files:
            return collections.defaultdict(int)
        names, expressions = ["row count"], ["count(*)"]
        for column in self.columns:
            table = "files" if column.name in self.partition_columns else "data"
            reference = f'{table}."{column.name}"'
            if table == "files":
                reference = f"CAST({reference} AS {_DUCKDB_TYPES[column.type[0]]})"
            names += [f"{column.name} (values)", f"{column.name} (sum)"]
            expressions += [f"count({reference})", f"coalesce(sum({_weight_sql(column.type, reference)}), 0)"]
        with duckdb.connect() as connection:
            connection.register("files", self._file_table())
            row = connection.execute(
                f"SELECT {', '.join(expressions)} FROM "
                "read_parquet($paths, filename = true, hive_partitioning = false, union_by_name = true) AS data "
                "JOIN files ON files.path = data.filename",
                {"paths": [file["path"] for file in self.files]},
            ).fetchone()
        return dict(zip(names, row))

    def _file_table(self):
        fields = {"path": [file["path"] for file in self.files]}
        for name in self.partition_columns:
            fields[name] = [file["partition"].get(name) for file in self.files]
        return pyarrow.table({name: pyarrow.array(values, pyarrow.string()) for name, values in fields.items()})


_DUCKDB_TYPES = {"date": "DATE", "string": "VARCHAR", "long": "BIGINT", "int": "INTEGER"}


def exists(lake, name):
    """Whether the lake has a Delta table of this name."""
    return (pathlib.Path(lake, *name.split(".")) / "_delta_log").is_dir()


def _live_files(delta):
    """The data files of the version: path, partition values as text, the log's row count."""
    actions = pyarrow.table(delta.get_add_actions(flatten=True)).to_pylist()
    base = pathlib.Path(delta.table_uri.removeprefix("file://"))
    files = []
    for action in actions:
        partition = {
            name.removeprefix("partition."): None if value is None else str(value)
            for name, value in action.items()
            if name.startswith("partition.")
        }
        files.append({
            "path": str(base / action["path"]), "partition": partition, "records": action.get("num_records"),
        })
    return files


def _timestamp_problems(schema):
    """Timestamps that are not microseconds in UTC, at any depth of an Arrow schema."""
    pending = [(field.name, field.type) for field in schema]
    while pending:
        name, kind = pending.pop()
        if pyarrow.types.is_timestamp(kind) and (kind.unit != "us" or kind.tz != "UTC"):
            yield f"{name} is stored as {kind}"
        pending += [(f"{name}.{kind.field(index).name}", kind.field(index).type) for index in range(kind.num_fields)]


def plain(value, type_):
    """A value as pyarrow gives it in the terms of the reference."""
    if value is None:
        return None
    if type_[0] == "timestamp":
        return (value - _EPOCH) // _MICROSECOND
    if type_[0] == "list":
        return [plain(item, type_[1]) for item in value]
    if type_[0] == "struct":
        return {name: plain(value[name], kind) for name, kind, _ in type_[1]}
    if type_[0] == "map":
        keys = [key for key, _ in value]
        if len(set(keys)) != len(keys):
            raise ValueError(f"a map holds a key twice: {keys}")
        return {key: plain(item, type_[2]) for key, item in value}
    return value


def _weight(value):
    """What a value adds to the sum of its column: itself for numbers, a length or a distance for the rest."""
    if isinstance(value, datetime.date):
        return value.toordinal() - _EPOCH.toordinal()
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, (list, dict)):
        return len(value)
    return value


def _weight_sql(type_, reference):
    """`_weight` in DuckDB's SQL."""
    return {
        "date": f"date_diff('day', DATE '1970-01-01', {reference})",
        "timestamp": f"epoch_us({reference})",
        "string": f"strlen({reference})",
        "list": f"len({reference})",
        "map": f"cardinality({reference})",
        "boolean": f"CAST({reference} AS INTEGER)",
    }.get(type_[0], reference)


def _close(left, right):
    """Equal, or doubles that differ by no more than rounding in another order of adding."""
    if isinstance(left, float) or isinstance(right, float):
        return math.isclose(float(left), float(right), rel_tol=1e-9, abs_tol=1e-9)
    return int(left) == int(right)
