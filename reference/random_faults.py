"""Documents that must go to quarantine: a good one, spoiled in one of the ways that the contract names."""

import json

from random_text import nested

_BAD_DATES = (
    '"2024-02-30"', '"2024-13-01T00:00:00Z"', '"2024-01-01T24:00:00Z"', '"2024-01-01T23:59:60Z"', '"1715000000000"',
    "-1", "1.5", "253402300800000", '"1969-12-31T23:59:59.999999Z"', '"1970-01-01T00:30:00+01:00"', '"yesterday"',
    '"10000-01-01"', '"9999-12-31T23:59:59-01:00"', "true", "[]", '{"$date":"soon"}', '{"$date":null}', '""',
    '"2024-1-1"', '"2024-01-01T00"', '"2024-01-01T00:00:00.Z"', '"2024-01-01T00:00:00.1234567890Z"',
    '" 2024-01-01"', '{"$date":{"$numberLong":"-5"}}', '"2024-01-01T00:00:00+0"',
)
_BAD_IDS = ("5", "true", '{"$oid":"xyz"}', '{"$oid":"0123456789abcdef0123456"}', '{"$uuid":"0"}', "[]", '{"$oid":5}')
_BAD_STRINGS = ("5", "true", "[]", "{}", '{"$oid":"0123456789abcdef01234567"}')
_BAD_BOOLEANS = ('"true"', "1", "0", "[]", '"yes"')
_BAD_LISTS = ('"a"', "5", "{}", "true")
_BAD_PEOPLE = ("[null]", "[5]", "[[]]", "[{}]", '[{"userId":null}]', '[{"userId":5}]', '["a",null]', '[{"userId":""}]')

# For every collection: fields, and the texts that each refuses. None means that the key is left out.
_SPOILED = {
    "messages": {
        "_id": (None, "null", '""', *_BAD_IDS),
        "conversationId": (None, "null", '""', *_BAD_IDS),
        "senderId": (None, "null", '""', *_BAD_IDS),
        "replyTo": _BAD_IDS,
        "type": _BAD_STRINGS,
        "content": _BAD_STRINGS,
        "createdAt": (None, "null", *_BAD_DATES),
        "updatedAt": _BAD_DATES,
        "deletedAt": _BAD_DATES,
        "isEdited": _BAD_BOOLEANS,
        "readBy": _BAD_LISTS,
        "readReceipts": (*_BAD_LISTS, *_BAD_PEOPLE, '[{"userId":"a","readAt":"x"}]'),
        "attachments": (
            *_BAD_LISTS, "[null]", "[5]", '["url"]', '[{"width":2147483648}]', '[{"height":-2147483649}]',
            '[{"size":1.5}]', '[{"size":9223372036854775808}]', '[{"size":1e30}]', '[{"size":"5"}]', '[{"type":5}]',
            '[{"duration":{"$numberDouble":"NaN"}}]', '[{"duration":{"$numberDouble":"Infinity"}}]',
            '[{"duration":"1"}]', '[{"url":{}}]', '[{"filename":1,"fileName":"a"}]', '[{"width":true}]',
        ),
        "reactions": (
            *_BAD_LISTS, "[null]", '["a"]', "[{}]", '[{"userId":"a"}]', '[{"emoji":"x"}]', '[{"userId":"","emoji":"x"}]',
            '[{"userId":"a","emoji":5}]', '[{"userId":"a","emoji":"x","createdAt":"x"}]',
        ),
    },
    "users": {
        "_id": (None, "null", '""', *_BAD_IDS),
        "createdAt": (None, "null", *_BAD_DATES),
        "lastSeen": _BAD_DATES,
        "phoneNumber": _BAD_STRINGS,
        "displayName": _BAD_STRINGS,
        "status": _BAD_STRINGS,
        "role": _BAD_STRINGS,
        "isOnline": _BAD_BOOLEANS,
        "isBanned": _BAD_BOOLEANS,
        "linkedDevices": _BAD_LISTS,
    },
    "conversations": {
        "_id": (None, "null", '""', *_BAD_IDS),
        "createdAt": (None, "null", *_BAD_DATES),
        "lastMessageAt": _BAD_DATES,
        "participants": (*_BAD_LISTS, *_BAD_PEOPLE, '[{"userId":"a","joinedAt":"x"}]'),
        "admins": (*_BAD_LISTS, "[null]", "[5]"),
        "type": _BAD_STRINGS,
        "isArchived": _BAD_BOOLEANS,
        "createdBy": _BAD_IDS,
    },
    "calls": {
        "_id": (None, "null", '""', *_BAD_IDS),
        "initiatorId": (None, "null", '""', *_BAD_IDS),
        "conversationId": _BAD_IDS,
        "createdAt": (None, "null", *_BAD_DATES),
        "startTime": _BAD_DATES,
        "endTime": _BAD_DATES,
        "participants": (*_BAD_LISTS, *_BAD_PEOPLE, '[{"userId":"a","leftAt":"x"}]'),
        "participantIds": _BAD_LISTS,
        "duration": ('"60"', "true", "[]", '{"$numberDouble":"NaN"}', '{"$numberDecimal":"1"}'),
        "status": _BAD_STRINGS,
    },
    "notifications": {
        "_id": (None, "null", '""', *_BAD_IDS),
        "userId": (None, "null", '""', *_BAD_IDS),
        "createdAt": (None, "null", *_BAD_DATES),
        "readAt": _BAD_DATES,
        "updatedAt": _BAD_DATES,
        "isRead": _BAD_BOOLEANS,
        "type": _BAD_STRINGS,
        "title": _BAD_STRINGS,
    },
}

_SECRET = '"password":"hunter2"'


def spoiled(collection, pairs, writer):
    """The bytes of a line that no decoder may accept, made of a good document's (key, text) pairs."""
    kind = writer.rng.random()
    if kind < 0.55:
        field = writer.rng.choice(list(_SPOILED[collection]))
        text = writer.rng.choice(_SPOILED[collection][field])
        pairs = [pair for pair in pairs if pair[0] != field] + [(field, text)]
        if writer.chance(0.3):
            pairs += [("password", '"hunter2"'), ("nested", '[{"refresh_token":"abc","kept":1}]')]
        # Without `Writer.object`: a second key or an unknown one could hide or add a fault.
        return _object(pairs, writer).encode()
    text = _object(pairs, writer)
    if writer.chance(0.3):
        text = "{" + _SECRET + "," + text[1:]
    if kind < 0.7:
        return _not_utf8(text, writer)
    if kind < 0.8:
        deep = writer.rng.choice((nested(100), nested(150), '{"a":' * 100 + "1" + "}" * 100))
        return f'{text[:-1]},"deep":{deep}}}'.encode()
    if kind < 0.87:
        return writer.rng.choice((b"[]", b"5", b'"text"', b"null", b"true", b"[{}]", b"1.5"))
    return _not_json(text, writer)


def _object(pairs, writer):
    pairs = [pair for pair in pairs if pair[1] is not None]
    writer.rng.shuffle(pairs)
    return "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in pairs) + "}"


def _not_utf8(text, writer):
    """Bad bytes or half a surrogate pair, in a field that every collection decodes."""
    if writer.chance(0.3):
        half = writer.rng.choice(("\\ud800", "\\udc00", "\\ud83d", "\\udc00\\ud800", "\\ud800\\u0041"))
        return f'{text[:-1]},"type":"{half}","status":"{half}"}}'.encode()
    bad = writer.rng.choice((b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"\x80"))
    field = writer.rng.choice((b"type", b"status", b"unknown"))
    return text[:-1].encode() + b',"' + field + b'":"a' + bad + b'b"}'


def _not_json(text, writer):
    unfinished = text[: writer.rng.randint(1, len(text) - 1)]
    return writer.rng.choice((
        unfinished, unfinished, unfinished, text + text, text + ",", text + " x", text[:-1] + ",}", text + "]",
        f'{text[:-1]},"n":NaN}}', f'{text[:-1]},"n":-Infinity}}', f'{text[:-1]},"n":01}}', f'{text[:-1]},"n":.5}}',
        f'{text[:-1]},"s":"a\tb"}}', f"{text[:-1]},'s':1}}", f'{text[:-1]},"s":"\\x"}}', f'{text[:-1]},"n":+1}}',
        f'{text[:-1]},"n":1.}}', f'{text[:-1]},"n":tru}}', f'{text[:-1]}/*c*/}}', "{", "}", "hello", text[1:],
    )).encode()
