"""One line of a `mongoexport` file: strict parsing, and readers for the values that documents hold.

The readers never stop at the first bad value: a document with several faults may be reported for any of them, so
`Faults` collects all reasons and the caller accepts each. Integers of any length, duplicate keys (the last wins)
and escapes are the standard library's business; what it is too generous with (NaN, deep nesting, lone surrogates)
is refused here.
"""

import json
import math
import re

from instants import in_range, parse_iso

MAX_DEPTH = 100
INT_RANGE = (-(2**31), 2**31 - 1)
LONG_RANGE = (-(2**63), 2**63 - 1)

_HEX_ID = re.compile(r"[0-9a-fA-F]{24}")
_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class Faults:
    """The reasons for which a document is refused; empty means that it is accepted."""

    def __init__(self):
        self.reasons = set()

    def add(self, *reasons):
        """Notes a fault that may be reported under any of `reasons`; returns None, the value of a bad field."""
        self.reasons.update(reasons)


def parse_document(line, faults):
    """The object that the bytes of a line hold, or None with the reasons in `faults`."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        faults.add("invalid_utf8")
        text = line.decode("utf-8", errors="replace")
    if _depth(text) > MAX_DEPTH:
        faults.add("too_deep")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_integer)
    except ValueError:
        return faults.add("invalid_json")
    except RecursionError:
        return None
    if not isinstance(value, dict):
        return faults.add("not_an_object")
    return value


def _refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def _integer(digits):
    # Beyond any column's range the exact value has no meaning, and int() refuses texts of thousands of digits.
    return int(digits) if len(digits) < 300 else float(digits)


def _depth(text):
    """How many arrays and objects are open at once at most (0 when too few for the question), valid text or not."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return 0
    deepest = depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


def read_string(value, faults):
    """A JSON string; None for null."""
    if value is None:
        return None
    if not isinstance(value, str):
        return faults.add("wrong_type")
    return checked_text(value, faults)


def checked_text(value, faults):
    """The string itself unless it holds half of a surrogate pair, which no UTF-8 can say."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return faults.add("invalid_utf8")
    return value


def read_id(value, faults):
    """An ObjectId or a string, verbatim; None for null and for the empty string."""
    if isinstance(value, dict):
        digits = value.get("$oid")
        if list(value) == ["$oid"] and isinstance(digits, str) and _HEX_ID.fullmatch(digits):
            return digits.lower()
        return faults.add("wrong_type")
    return read_string(value, faults) or None


def read_boolean(value, faults, default=False):
    """A JSON boolean; `default` for null."""
    if value is None:
        return default
    if not isinstance(value, bool):
        return faults.add("wrong_type")
    return value


def read_integer(value, faults, limits):
    """A whole number within `limits`, in any of its JSON and extended JSON forms; None for null."""
    if value is None:
        return None
    number = _number(value)
    if number is None or not math.isfinite(number) or number != int(number):
        return faults.add("wrong_type")
    number = int(number)
    return number if limits[0] <= number <= limits[1] else faults.add("wrong_type")


def read_double(value, faults):
    """A finite number; None for null."""
    if value is None:
        return None
    number = _number(value)
    try:
        number = None if number is None else float(number)
    except OverflowError:
        number = None
    return number if number is not None and math.isfinite(number) else faults.add("wrong_type")


def _number(value):
    """The number that a JSON value or an extended JSON wrapper holds, else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, dict) and len(value) == 1:
        (wrapper, digits), = value.items()
        if not isinstance(digits, str):
            return None
        if wrapper in ("$numberInt", "$numberLong"):
            return _integer(digits) if _INTEGER.fullmatch(digits) else None
        if wrapper == "$numberDouble":
            return float(digits) if _NUMBER.fullmatch(digits) else None
    return None


def read_date(value, faults):
    """A BSON date, an ISO text or epoch milliseconds as an instant; None for null."""
    if value is None:
        return None
    if isinstance(value, dict) and list(value) == ["$date"]:
        value = value["$date"]
    if isinstance(value, str):
        instant = parse_iso(value)
    else:
        instant = _from_epoch_millis(value)
    return instant if instant is not None else _bad_date(value, faults)


def _from_epoch_millis(value):
    number = _number(value)
    if isinstance(value, dict) and "$numberDouble" in value:
        return None
    if number is None or not math.isfinite(number) or number != int(number):
        return None
    return in_range(int(number) * 1000)


def _bad_date(value, faults):
    faults.add("bad_date")
    if isinstance(value, str):
        checked_text(value, faults)


def read_list(value, faults):
    """A JSON list; an empty one for null."""
    if value is None:
        return []
    if not isinstance(value, list):
        faults.add("wrong_type")
        return []
    return value
