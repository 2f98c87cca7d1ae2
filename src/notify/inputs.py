"""Checks of what Python can be handed and Postgres cannot say well: types, characters, naive times.

Everything else (lengths, times in the past, unknown channels) is checked once, by the SQL functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from notify.errors import InvalidValue, LimitExceeded

MOST_RECIPIENTS = 100_000
MOST_DATA_BYTES = 16_384
MOST_PER_PAGE = 1_000

# An escaped NUL, and not an escaped backslash with u0000 after it.
_JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def as_text(field: str, value: Any) -> str:
    """The value, if it is a text that Postgres can store: no NUL, no lone surrogates."""
    if not isinstance(value, str):
        raise InvalidValue(f"{field} must be a text, not {type(value).__name__}", field=field)
    if "\x00" in value:
        raise InvalidValue(f"{field} must not contain NUL characters", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(f"{field} must not contain lone surrogates", field=field) from error
    return value


def as_recipient(value: Any, field: str = "recipients") -> str:
    """A recipient id as a text: `1` and `"1"` are one."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidValue(f"{field} must be integers or texts, not {type(value).__name__}", field=field)
    text = as_text(field, str(value))
    if not 1 <= len(text.encode()) <= 128 or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        raise InvalidValue(f"{field} must have 1 to 128 bytes and no control characters", field=field)
    return text


def as_recipients(values: Any) -> list[str]:
    """Recipient ids as texts. Raises InvalidValue for none at all."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InvalidValue("recipients must be a list of ids", field="recipients")
    ids = [as_recipient(value) for value in values]
    if not ids:
        raise InvalidValue("recipients must not be empty", field="recipients")
    if len(ids) > MOST_RECIPIENTS:
        raise LimitExceeded(f"recipients has more than {MOST_RECIPIENTS} entries", field="recipients")
    return ids


def as_time(field: str, value: Any) -> datetime | None:
    """An aware time, or None."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidValue(f"{field} must be a datetime, not {type(value).__name__}", field=field)
    if value.utcoffset() is None:
        raise InvalidValue(f"{field} must carry a time zone", field=field)
    return value


def as_data(value: Mapping[str, Any] | None) -> str:
    """The JSON text of a data object of at most 16 KiB."""
    if value is None:
        return "{}"
    if not isinstance(value, Mapping):
        raise InvalidValue("data must be an object with text keys", field="data")
    try:
        encoded = msgspec.json.encode(value)
        text = encoded.decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"data cannot be written as JSON: {error}", field="data") from error
    if len(encoded) > MOST_DATA_BYTES:
        raise LimitExceeded(f"data has more than {MOST_DATA_BYTES} bytes", field="data")
    if _JSON_NUL.search(text):
        raise InvalidValue("data must not contain NUL characters", field="data")
    return text


def as_limit(value: Any) -> int:
    """How many a page may have."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_PER_PAGE:
        raise InvalidValue(f"limit must be between 1 and {MOST_PER_PAGE}", field="limit")
    return value
