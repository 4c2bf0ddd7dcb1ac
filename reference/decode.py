"""An export folder to bronze rows and refused documents.

`decode(folder)` gives a `Decoded`: for each bronze table its valid rows in reading order, versions and duplicates
included (`upsert` chooses among them), and for each quarantine table what was refused. Nothing is deduplicated here,
so for every table rows + refused = documents read.
"""

import dataclasses
import hashlib
import pathlib
import re

import documents
import media
from export_files import collection_lines, files_of, split_record, table_records
from extended_json import LONG_RANGE, Faults, parse_document
from instants import date_of, parse_iso
from redact import is_secret

DOCUMENT_DECODERS = {
    "messages": documents.message,
    "users": documents.user,
    "conversations": documents.conversation,
    "calls": documents.call,
    "notifications": documents.notification,
}
# The MySQL tables by the bronze table that they become: of several, the first that is there is read.
TABLE_NAMES = {
    "auth_users": ("auth_users", "users"),
    "auth_sessions": ("sessions", "refresh_tokens"),
    "audit_logs": ("audit_logs",),
}
TABLE_ENDINGS = (".csv", ".csv.gz", ".parquet")
# Columns of the bronze tables by the kind of text that the CSV field of the same name holds.
AUTH_USER_FIELDS = {
    "email": "string",
    "external_id": "string",
    "status": "string",
    "email_verified": "boolean",
    "two_factor_enabled": "boolean",
    "failed_login_attempts": "integer",
    "locked_until": "instant",
    "last_login_at": "instant",
    "login_count": "integer",
    "created_at": "instant",
    "updated_at": "instant",
}
SESSION_FIELDS = {
    "device_id": "string",
    "device_name": "string",
    "ip_address": "string",
    "revoked_at": "instant",
    "revoked_reason": "string",
    "expires_at": "instant",
    "created_at": "instant",
    "updated_at": "instant",
}
AUDIT_LOG_FIELDS = {
    "email": "string",
    "event_type": "string",
    "status": "string",
    "ip_address": "string",
    "device_id": "string",
    "country": "string",
    "city": "string",
    "failure_reason": "string",
    "request_id": "string",
    "session_id": "string",
    "created_at": "instant",
}
_INTEGER = re.compile(r"-?[0-9]{1,19}")


@dataclasses.dataclass
class Refused:
    """A document that belongs into quarantine: acceptable reasons and positions, its text, its CSV columns if any."""

    document_sha256: str
    reasons: set
    positions: set
    text: str
    columns: dict | None = None


@dataclasses.dataclass
class Decoded:
    """Rows and refused documents by table, in reading order."""

    rows: dict
    refused: dict


def decode(export):
    """Reads every collection and table that the reference knows; raises when the folder holds none."""
    if not pathlib.Path(export).is_dir():
        raise FileNotFoundError(f"there is no export folder {export}")
    if not _holds_anything(export):
        raise FileNotFoundError(f"the export folder {export} holds none of the collections and tables")
    decoded = Decoded(rows={}, refused={})
    for collection, decoder in DOCUMENT_DECODERS.items():
        rows, refused = _decode_collection(export, collection, decoder)
        decoded.rows[collection], decoded.refused[collection] = rows, refused
    for table, row_of in (("auth_users", _auth_user), ("auth_sessions", _session), ("audit_logs", _audit_log)):
        decoded.rows[table], decoded.refused[table] = _decode_table(export, TABLE_NAMES[table], row_of)
    # Objects are listed, so none is refused.
    decoded.rows["media"] = media.objects(export)
    return decoded


def _holds_anything(export):
    collections = [files_of(export, "mongodb", name, (".json", ".json.gz")) for name in DOCUMENT_DECODERS]
    names = [name for names in TABLE_NAMES.values() for name in names]
    return any(collections + [files_of(export, "mysql", name, TABLE_ENDINGS) for name in names])


def _refused(line, faults, columns=None):
    return Refused(
        document_sha256=hashlib.sha256(line.raw).hexdigest(),
        reasons=faults.reasons,
        positions=line.positions,
        text=line.raw.decode("utf-8", errors="replace"),
        columns=columns,
    )


def _decode_collection(export, collection, decoder):
    rows, refused = [], []
    for line in collection_lines(export, collection):
        faults = Faults()
        document = parse_document(line.raw, faults)
        row = None if document is None else decoder(document, faults)
        if faults.reasons:
            refused.append(_refused(line, faults))
        else:
            rows.append(row | {"source_system": "mongodb"})
    return rows, refused


def _decode_table(export, names, row_of):
    name = next((name for name in names if files_of(export, "mysql", name, TABLE_ENDINGS)), names[0])
    rows, refused = [], []
    for header, line in table_records(export, name):
        faults = Faults()
        fields = _fields(line, faults)
        columns = dict(zip(header, fields))
        if len(fields) != len(header):
            faults.add("wrong_type")
        row = row_of(columns, faults)
        if faults.reasons:
            kept = {name: text for name, text in columns.items() if not _is_withheld(name)}
            if len(fields) != len(header) and any(map(_is_withheld, header)):
                # Names and values may be shifted against each other, so any field but the first may be a secret.
                kept = {name: kept[name] for name in header[:1] if name in kept}
            refused.append(_refused(line, faults, kept))
        else:
            rows.append(row | {"source_system": "mysql"})
    return rows, refused


def _is_withheld(name):
    return is_secret(name) or name == "user_agent"


def _fields(line, faults):
    try:
        return split_record(line.raw.decode("utf-8"))
    except UnicodeDecodeError:
        faults.add("invalid_utf8")
        return split_record(line.raw.decode("utf-8", errors="replace"))


def _auth_user(columns, faults):
    row = {"auth_user_id": _csv_required(columns, "id", "string", faults)}
    row |= _csv_values(columns, AUTH_USER_FIELDS, faults)
    if row["updated_at"] is None:
        row["updated_at"] = row["created_at"]
    return row


def _session(columns, faults):
    row = {
        "session_id": _csv_required(columns, "id", "string", faults),
        "auth_user_id": _csv_value(columns, "user_id", "string", faults),
        **_csv_values(columns, SESSION_FIELDS, faults),
    }
    # Of two names the one that has a value counts, and only it is looked at.
    has_value = columns.get("is_revoked", "") not in ("", "\\N")
    row["is_revoked"] = bool(_csv_value(columns, "is_revoked" if has_value else "revoked", "boolean", faults))
    row["created_at"] = _csv_required(columns, "created_at", "instant", faults)
    if row["updated_at"] is None:
        row["updated_at"] = max(row["created_at"] or 0, row["revoked_at"] or 0)
    return row


def _audit_log(columns, faults):
    row = {
        "audit_id": _csv_required(columns, "id", "string", faults),
        "auth_user_id": _csv_value(columns, "user_id", "string", faults),
        **_csv_values(columns, AUDIT_LOG_FIELDS, faults),
    }
    row["created_at"] = _csv_required(columns, "created_at", "instant", faults)
    row["created_date"] = None if row["created_at"] is None else date_of(row["created_at"])
    return row


def _csv_values(columns, kinds, faults):
    return {name: _csv_value(columns, name, kind, faults) for name, kind in kinds.items()}


def _csv_required(columns, name, kind, faults):
    value = _csv_value(columns, name, kind, faults)
    if value is None and (columns.get(name) in (None, "", "\\N") or columns[name].startswith("0000-00-00")):
        faults.add("missing_key")
    return value


def _csv_value(columns, name, kind, faults):
    """The value of a CSV field; None when it is empty or the header does not name it."""
    text = columns.get(name)
    if text is None or text in ("", "\\N"):
        return None
    if kind == "string":
        return text
    if kind == "boolean":
        value = {"1": True, "true": True, "0": False, "false": False}.get(text.lower())
        return faults.add("wrong_type") if value is None else value
    if kind == "integer":
        if not _INTEGER.fullmatch(text) or not LONG_RANGE[0] <= int(text) <= LONG_RANGE[1]:
            return faults.add("wrong_type")
        return int(text)
    if text.startswith("0000-00-00"):
        return None
    instant = parse_iso(text)
    return faults.add("bad_date") if instant is None else instant
