"""Checks of what Python can be handed and Postgres cannot say well: types, characters, naive times, numbers.

Everything else (lengths, times in the past, unknown channels) is checked once, by the SQL functions. `field` is the
name that the HTTP API and the SQL functions use too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from notify.errors import InvalidValue, LimitExceeded

MOST_RECIPIENTS = 100_000
MOST_DATA_BYTES = 16_384
MOST_PER_PAGE = 1_000
MOST_DEPTH = 64
MOST_ID = 2**63 - 1
MOST_MINUTES = 2_592_000
# No text may be longer than a message; each field's own limit is checked by the SQL functions.
MOST_TEXT = 16_384

_BYTES = (bytes, bytearray, memoryview)
# An escaped NUL, and not an escaped backslash with u0000 after it.
_JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def as_text(field: str, value: Any) -> str:
    """The value, if it is a text that Postgres can store: no NUL, no lone surrogates."""
    if not isinstance(value, str):
        raise InvalidValue(f"{field} must be a text, not {type(value).__name__}", field=field)
    if len(value) > MOST_TEXT:
        raise LimitExceeded(f"{field} has more than {MOST_TEXT} bytes", field=field)
    if "\x00" in value:
        raise InvalidValue(f"{field} must not contain NUL characters", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(f"{field} must not contain lone surrogates", field=field) from error
    return str.__str__(value)  # of an enumeration's member, its value


def as_texts(field: str, values: Any) -> list[str]:
    """A list of texts; a plain text is none."""
    return [as_text(field, value) for value in _listed(field, values)]


def as_id(value: Any) -> int:
    """The id of a notification."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_ID:
        raise InvalidValue(f"id must be an integer from 1 to {MOST_ID}", field="id")
    return value


def as_recipient(value: Any, field: str = "recipients") -> str:
    """A recipient id as a text: `1` and `"1"` are one."""
    if type(value) is str and 1 <= len(value) <= 128 and value.isascii() and value.isprintable():
        return value  # as nearly all are, and there may be 100,000
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidValue(f"{field} must be integers or texts, not {type(value).__name__}", field=field)
    if isinstance(value, int) and not -MOST_ID - 1 <= value <= MOST_ID:
        raise InvalidValue(f"{field}: integers must lie between {-MOST_ID - 1} and {MOST_ID}", field=field)
    text = str(int(value)) if isinstance(value, int) else as_text(field, value)
    if not 1 <= len(text.encode()) <= 128 or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        raise InvalidValue(f"{field} must have 1 to 128 bytes and no control characters", field=field)
    return text


def as_recipients(values: Any) -> list[str]:
    """Recipient ids as texts. Raises InvalidValue for none at all."""
    ids = [as_recipient(value) for value in islice(_listed("recipients", values), MOST_RECIPIENTS + 1)]
    if not ids:
        raise InvalidValue("recipients must not be empty", field="recipients")
    if len(ids) > MOST_RECIPIENTS:
        raise LimitExceeded(f"recipients has more than {MOST_RECIPIENTS} entries", field="recipients")
    return ids


def as_time(field: str, value: Any) -> datetime | None:
    """An aware time in UTC, or None."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidValue(f"{field} must be a datetime, not {type(value).__name__}", field=field)
    if value.utcoffset() is None:
        raise InvalidValue(f"{field} must carry a time zone", field=field)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:  # at the ends of the calendar it is in no year from 1 to 9999
        raise InvalidValue(f"{field} is out of range", field=field) from error


def as_minutes(field: str, value: Any) -> float:
    """A delay in minutes, up to 1,800 days."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_MINUTES:
        raise InvalidValue(f"{field} must be a number from 0 to {MOST_MINUTES}", field=field)
    return float(value)


def as_object(field: str, value: Any) -> str:
    """The JSON text of an object of at most 16 KiB, nested at most 64 deep; times, UUIDs and the like become texts.

    Refused is what would not come back as it was given: NaN and infinities, bytes, keys that are no texts.
    """
    if not isinstance(value, Mapping):
        raise InvalidValue(f"{field} must be an object with text keys, not {type(value).__name__}", field=field)
    try:
        encoded = msgspec.json.encode(dict(value), enc_hook=_plain)
        # Looked at only when it is known to be small.
        small = len(encoded) <= MOST_DATA_BYTES
        plain = msgspec.to_builtins(dict(value), enc_hook=_plain, builtin_types=_BYTES) if small else None
    except RecursionError as error:
        raise LimitExceeded(f"{field} is nested deeper than {MOST_DEPTH} levels", field=field) from error
    except UnicodeEncodeError as error:
        raise InvalidValue(f"{field} must not contain lone surrogates", field=field) from error
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"{field} must be an object with text keys and JSON values: {error}", field=field) from error
    if plain is None:
        raise LimitExceeded(f"{field} has more than {MOST_DATA_BYTES} bytes", field=field)
    _check_tree(field, plain)
    text = encoded.decode()
    if _JSON_NUL.search(text):
        raise InvalidValue(f"{field} must not contain NUL characters", field=field)
    return text


def as_integer(field: str, value: Any) -> int:
    """A whole number; how large it may be the SQL functions say."""
    if isinstance(value, bool) or not isinstance(value, int) or not -MOST_ID <= value <= MOST_ID:
        raise InvalidValue(f"{field} must be a whole number", field=field)
    return value


def as_limit(value: Any) -> int:
    """How many a page may have."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_PER_PAGE:
        raise InvalidValue(f"limit must be between 1 and {MOST_PER_PAGE}", field="limit")
    return value


def _listed(field: str, values: Any) -> Iterator[Any]:
    if isinstance(values, str | bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        raise InvalidValue(f"{field} must be a list, not {type(values).__name__}", field=field)
    return iter(values)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _check_tree(field: str, tree: Any) -> None:
    pending = [(tree, 1)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, dict | list | tuple):
            if depth > MOST_DEPTH:
                raise LimitExceeded(f"{field} is nested deeper than {MOST_DEPTH} levels", field=field)
            if isinstance(item, dict) and not all(isinstance(key, str) for key in item):
                raise InvalidValue(f"{field} must be an object with text keys", field=field)
            pending += [(child, depth + 1) for child in (item.values() if isinstance(item, dict) else item)]
        elif isinstance(item, float) and not math.isfinite(item):
            raise InvalidValue(f"{field} must have finite numbers only", field=field)
        elif isinstance(item, _BYTES):
            raise InvalidValue(f"{field} must not contain bytes", field=field)
