"""The files of an export folder, their lines and their CSV records, each with its place.

Files of a collection come in byte order of their names. A line ends in `\\n` or `\\r\\n`; a byte order mark at the
start of a file is no part of its first line; blank lines do not count.
"""

import gzip
import pathlib

BOM = b"\xef\xbb\xbf"


class Line:
    """The raw bytes of a line or record without its end, and the positions by which it may be named.

    There are two when blank lines come before it: the contract says that these "are not counted", which may or may
    not include the line number.
    """

    def __init__(self, raw, positions):
        self.raw = raw
        self.positions = positions


def files_of(export, folder, name, endings):
    """The files `<export>/<folder>/<name>*<ending>`, in byte order of their names."""
    path = pathlib.Path(export) / folder
    if not path.is_dir():
        return []
    names = [entry.name for entry in path.iterdir() if entry.is_file()]
    chosen = [file for file in names if file.startswith(name) and file.endswith(tuple(endings))]
    return [path / file for file in sorted(chosen, key=lambda file: file.encode())]


def collection_lines(export, collection):
    """Every line of `mongodb/<collection>*.json[.gz]`."""
    for path in files_of(export, "mongodb", collection, (".json", ".json.gz")):
        yield from _numbered(_lines(_content(path)), f"mongodb/{path.name}")


def table_records(export, table):
    """Every record of `mysql/<table>*.csv[.gz]`, as (header, line, fields), see `split_record`."""
    for path in files_of(export, "mysql", table, (".parquet",)):
        raise NotImplementedError(f"the reference reads MySQL tables from CSV only, but there is {path}")
    for path in files_of(export, "mysql", table, (".csv", ".csv.gz")):
        header = None
        for line in _numbered(_records(_content(path)), f"mysql/{path.name}"):
            if header is None:
                header = split_record(line.raw.decode("utf-8"))
            else:
                yield header, line


def _content(path):
    content = path.read_bytes()
    if path.name.endswith(".gz"):
        content = gzip.decompress(content)
    return content.removeprefix(BOM)


def _lines(content):
    """(line number, bytes) of each line, blank ones included."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        yield number, line.removesuffix(b"\r")


def _records(content):
    """(number of its first line, bytes) of each CSV record: a line end within quotes belongs to the field."""
    record, first = None, 0
    for number, line in enumerate(content.split(b"\n"), start=1):
        if record is None:
            record, first = line, number
        else:
            record += b"\n" + line
        if record.count(b'"') % 2 == 0:
            yield first, record.removesuffix(b"\r")
            record = None
    if record is not None:
        yield first, record


def _numbered(lines, path):
    counted = 0
    for number, raw in lines:
        if raw.strip(b" \t\r"):
            counted += 1
            yield Line(raw, {f"{path}:{number}", f"{path}:{counted}"})


def split_record(text):
    """The fields of one CSV record (RFC 4180): quotes around a field are dropped, doubled ones within it are one."""
    fields, field, quoted, index = [], [], False, 0
    while index < len(text):
        character = text[index]
        if quoted:
            if character == '"' and text[index + 1 : index + 2] == '"':
                field.append('"')
                index += 1
            elif character == '"':
                quoted = False
            else:
                field.append(character)
        elif character == '"' and not field:
            quoted = True
        elif character == ",":
            fields.append("".join(field))
            field = []
        else:
            field.append(character)
        index += 1
    fields.append("".join(field))
    return fields
