"""Times, spans and strangers' texts, read and written for people at a terminal. Times are UTC."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta

from notify.errors import InvalidValue

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhdw])+")
_SPAN_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")
# Characters that move the cursor, change colours or turn the reading direction; of the unseen ones only the
# two that hold letters and emoji together do no harm.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")
_DAY_SECONDS = 86_400


def span(text: str, *, field: str) -> timedelta:
    """A length of time as `90d`, `5s` or `1h30m`. Raises InvalidValue."""
    if not _SPAN.fullmatch(text):
        raise InvalidValue(f"{text!r} is no span of time: write 5s, 10m, 1h30m or 90d", field=field)
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _SPAN_PART.findall(text)))
    except OverflowError as error:
        raise InvalidValue(f"{text!r} is too long a time", field=field) from error


def moment(text: str, now: datetime) -> datetime:
    """A time as `+5s` from `now`, or in ISO 8601 with an offset. Raises InvalidValue."""
    if text.startswith("+"):
        try:
            return now + span(text[1:], field="at")
        except OverflowError as error:
            raise InvalidValue(f"{text!r} is too far ahead", field="at") from error
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidValue(f"{text!r} is no time: write +5s or 2030-12-28T10:00:00Z", field="at") from error
    if given.tzinfo is None:
        raise InvalidValue(f"{text!r} has no offset: end it with Z or +01:00", field="at")
    return given


def instant(at: datetime) -> str:
    """`2026-01-01T12:00:05Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock(at: datetime, now: datetime) -> str:
    """`12:00:05Z`, with its date in front unless it is within a day of now."""
    return instant(at).partition("T")[2] if _near(at, now) else instant(at)


def stamp(at: datetime, now: datetime) -> str:
    """`12:00:05.006`: to the millisecond, with its date in front unless it is within a day of now."""
    form = "%H:%M:%S" if _near(at, now) else "%Y-%m-%dT%H:%M:%S"
    return at.astimezone(UTC).strftime(form) + f".{at.microsecond // 1000:03}"


def _near(at: datetime, now: datetime) -> bool:
    return abs((at - now).total_seconds()) < _DAY_SECONDS


def length(seconds: float) -> str:
    """`6 ms`, `2.3 s`, `5 min`, `3 h`, `12 d`: as precise as one wants to read it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.1f} s" if unit == "s" else f"{seconds / size:.0f} {unit}"
    return f"{seconds / _DAY_SECONDS:.0f} d"


def lateness(received: datetime, due: datetime) -> str:
    """`6 ms after due`; `before due` can only mean that this machine's clock is behind the database's."""
    seconds = (received - due).total_seconds()
    return f"{length(abs(seconds))} {'after' if seconds >= 0 else 'before'} due"


def printable(text: str) -> str:
    """Strangers' text on one line: whatever a terminal would obey rather than show is written as an escape."""
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode()
