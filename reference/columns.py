"""The declared columns of every table: what `columns.txt` says, and Delta's own schema in the same terms.

A type is a tuple: `("string",)`, `("list", element)`, `("map", key, value)`, `("struct", ((name, type, nullable), ...))`.
"""

import dataclasses
import json
import pathlib
import re

_DELTA_NAMES = {"integer": "int"}
_WORD = re.compile(r"[a-z_0-9]+")


@dataclasses.dataclass(frozen=True)
class Column:
    """One column; `key` and `partition` are False for what a table's files say, they are not in a schema."""

    name: str
    type: tuple
    nullable: bool
    key: bool = False
    partition: bool = False


def load():
    """Table name to its columns, in order."""
    tables, columns = {}, None
    for line in pathlib.Path(__file__).with_name("columns.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("- "):
            columns.append(_column(line[2:]))
        elif line and not line.startswith("#"):
            columns = tables.setdefault(line, [])
    return tables


def _column(text):
    name, declaration = text.split(": ", 1)
    parser = _TypeParser(declaration)
    type_, nullable = parser.type_and_mark()
    marks = declaration[parser.position :].split()
    return Column(name, type_, nullable, "key" in marks, "partition" in marks)


class _TypeParser:
    """Reads `list<struct{a: string?, b: int}>` from left to right."""

    def __init__(self, text):
        self.text = text
        self.position = 0

    def type_and_mark(self):
        type_ = self._type()
        return type_, self._skip("?")

    def _skip(self, token):
        found = self.text.startswith(token, self.position)
        if found:
            self.position += len(token)
        return found

    def _expect(self, token):
        if not self._skip(token):
            raise ValueError(f"expected {token!r} at {self.position} of {self.text!r}")

    def _word(self):
        match = _WORD.match(self.text, self.position)
        self.position = match.end()
        return match.group()

    def _type(self):
        name = self._word()
        if name == "list":
            self._expect("<")
            element = self._type()
            self._expect(">")
            return ("list", element)
        if name == "map":
            self._expect("<")
            key = self._type()
            self._expect(", ")
            value = self._type()
            self._expect(">")
            return ("map", key, value)
        if name == "struct":
            return ("struct", self._fields())
        return (name,)

    def _fields(self):
        fields = []
        self._expect("{")
        while True:
            name = self._word()
            self._expect(": ")
            fields.append((name, *self.type_and_mark()))
            if not self._skip(", "):
                self._expect("}")
                return tuple(fields)


def of_delta_schema(schema_json):
    """The columns that a Delta table's schema string declares."""
    return [
        Column(field["name"], _delta_type(field["type"]), field["nullable"])
        for field in json.loads(schema_json)["fields"]
    ]


def _delta_type(type_):
    if isinstance(type_, str):
        return (_DELTA_NAMES.get(type_, type_),)
    if type_["type"] == "array":
        return ("list", _delta_type(type_["elementType"]))
    if type_["type"] == "map":
        return ("map", _delta_type(type_["keyType"]), _delta_type(type_["valueType"]))
    return ("struct", tuple(
        (field["name"], _delta_type(field["type"]), field["nullable"]) for field in type_["fields"]
    ))


def to_text(column):
    """The column as `columns.txt` writes it, without its marks."""
    return f"{column.name}: {_type_text(column.type)}{'?' if column.nullable else ''}"


def _type_text(type_):
    if type_[0] == "list":
        return f"list<{_type_text(type_[1])}>"
    if type_[0] == "map":
        return f"map<{_type_text(type_[1])}, {_type_text(type_[2])}>"
    if type_[0] == "struct":
        inner = ", ".join(f"{name}: {_type_text(kind)}{'?' if nullable else ''}" for name, kind, nullable in type_[1])
        return f"struct{{{inner}}}"
    return type_[0]
