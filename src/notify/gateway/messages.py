"""What a client may say, and how much nonsense it may talk."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from msgspec import Meta

from notify.errors import InvalidValue

MAX_BYTES = 65_536
# So many faults at once are borne, and one more each second.
_FAULTS = 20.0


class Auth(msgspec.Struct, frozen=True, tag_field="type", tag="auth", forbid_unknown_fields=True):
    """A credential: the first one, or one that takes the place of the one before."""

    token: Annotated[str, Meta(min_length=1, max_length=8192)]


class Ack(msgspec.Struct, frozen=True, tag_field="type", tag="ack", forbid_unknown_fields=True):
    """All up to `seq` was received."""

    seq: Annotated[int, Meta(ge=0, le=2**63 - 1)]


_decoder: msgspec.json.Decoder[Auth | Ack] = msgspec.json.Decoder(Auth | Ack)


def decode(message: str | bytes) -> Auth | Ack:
    """Read a message. Raises InvalidValue saying what is wrong with it."""
    try:
        return _decoder.decode(message)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"the message was not understood: {error}"[:300]) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidValue("the message is not JSON") from error


class Patience:
    """A bucket of faults that fills with time."""

    __slots__ = ("_left", "_since")

    def __init__(self) -> None:
        self._left = _FAULTS
        self._since = time.monotonic()

    def lose(self) -> bool:
        """Count a fault; False when that was one too many."""
        now = time.monotonic()
        self._left = min(_FAULTS, self._left + now - self._since) - 1
        self._since = now
        return self._left >= 0
