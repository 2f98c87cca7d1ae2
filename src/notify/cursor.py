"""Opaque cursors: where a page ended, as a text that callers hand back unread."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

import msgspec

from notify.errors import InvalidValue

T = TypeVar("T")


def encode(position: Any) -> str:
    """The cursor of a position: any value that JSON can say."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode(cursor: str, kind: type[T]) -> T:
    """The position of a cursor. Raises InvalidValue for what `encode` did not make of a `kind`."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError) as error:
        raise InvalidValue("the cursor is not one that a page returned", field="cursor") from error
