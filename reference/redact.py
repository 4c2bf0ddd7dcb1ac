"""Which keys are secret, and what a quarantined document may look like once they are gone.

How an implementation writes a document again after it removed keys (spaces, order, form of numbers) is its own
business, so this module does not make *the* redacted text: it judges a given one, see `explain_bad_raw`.
"""

import json
import re

CUT_MARK = "…[cut]"

_SECRET_PARTS = (
    "password", "publickey", "privatekey", "token", "secret", "backupcode", "passcode", "twofactor",
)
_STRING_BEFORE_COLON = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:', re.DOTALL)


def is_secret(key):
    """Whether values under this key must never be stored."""
    name = key.lower().replace("_", "").replace("-", "")
    if name.startswith("otp") or name.endswith("otp"):
        return True
    for part in _SECRET_PARTS:
        if part in name and not (part == "twofactor" and name == "twofactorenabled"):
            return True
    return False


def without_secrets(value):
    """A parsed JSON value without its secret keys, at every depth."""
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items() if not is_secret(key)}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def first_secret_key(text):
    """The position of the first `"key":` of `text` whose key is secret, or None."""
    for match in _STRING_BEFORE_COLON.finditer(text):
        if is_secret(_unescape(match.group(1))):
            return match.start()
    return None


def _unescape(inner):
    try:
        return json.loads(f'"{inner}"', strict=False)
    except ValueError:
        return inner


def explain_bad_raw(text, raw):
    """Why `raw` is not an acceptable redaction of the document `text`, or None when it is one."""
    secret_at = first_secret_key(text)
    if secret_at is None and raw == text:
        return None
    if raw.endswith(CUT_MARK):
        kept = raw[: -len(CUT_MARK)]
        if not text.startswith(kept):
            return "what stands before the cut is not the start of the document"
        if secret_at is None:
            return "cut, though the document holds no secret key"
        if len(kept) > secret_at:
            return "cut behind the first secret key"
        return None
    parsed = _loads(raw)
    original = _loads(text)
    if isinstance(original, _Unparsable):
        return "differs from a document that does not parse, without a cut mark" if secret_at is None else (
            "holds a secret key and is not cut"
        )
    if isinstance(parsed, _Unparsable):
        return "does not parse, though the document does"
    if first_secret_key(raw) is not None:
        return "holds a secret key"
    return None if parsed == without_secrets(original) else "is not the document without its secret keys"


class _Unparsable:
    """Stands for a text that is no JSON; never equal to a JSON value."""


def _loads(text):
    try:
        return json.loads(text, parse_int=float, parse_float=float, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return _Unparsable()


def _refuse_constant(name):
    raise ValueError(f"{name} is no JSON")
