"""JSON objects of the application's own in a request: `data`, and the variables of a template."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw

from notify.errors import InvalidValue, LimitExceeded
from notify.http.bodies import check_depth
from notify.inputs import MOST_DATA_BYTES

# An object as it is written may be so much larger than MOST_DATA_BYTES, as every character may be escaped.
_MOST_WRITTEN = 6 * MOST_DATA_BYTES
_TEXTS_AND_SPACES = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[ \t\r\n]++', re.DOTALL)


def json_object(field: str, raw: Raw) -> dict[str, Any]:
    """The object that a JSON text says. Raises InvalidValue or LimitExceeded.

    Its size is looked at before anything is made of it, as Python's objects need many times as much.
    """
    if _is_long(bytes(raw)):
        raise _too_large(field)
    try:
        value = msgspec.json.decode(raw)
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{field} must be UTF-8", field=field) from error
    except msgspec.ValidationError as error:
        raise InvalidValue(f"{field} has a number that is out of range", field=field) from error
    if not isinstance(value, dict):
        raise InvalidValue(f"{field} must be a JSON object", field=field)
    if len(msgspec.json.encode(value)) > MOST_DATA_BYTES:
        raise _too_large(field)
    check_depth(field, value)
    return value


def _is_long(text: bytes) -> bool:
    """Whether a JSON text has more than _MOST_WRITTEN bytes without the spaces between its parts."""
    spaces = 0
    for token in _TEXTS_AND_SPACES.finditer(text) if len(text) > _MOST_WRITTEN else ():
        if token.start() - spaces > _MOST_WRITTEN:
            return True
        if not token[0].startswith(b'"'):
            spaces += len(token[0])
    return len(text) - spaces > _MOST_WRITTEN


def _too_large(field: str) -> LimitExceeded:
    return LimitExceeded(f"{field} has more than {MOST_DATA_BYTES} bytes", field=field)
