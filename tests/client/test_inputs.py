"""Whatever is wrong with the input: a ValueError whose `field` names it, from both clients, and nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from itertools import count
from types import MappingProxyType
from typing import Any

import pytest

from client.either import Either, refusal_of
from helpers.http import nested
from helpers.rows import Db, one, stored
from notify import InvalidValue, PastTime, UnknownRecipients
from notify.errors import LimitExceeded


def _now() -> datetime:
    return datetime.now(UTC)


def _in(**delta: float) -> datetime:
    return _now() + timedelta(**delta)


def _circle() -> dict[str, Any]:
    data: dict[str, Any] = {}
    data["again"] = data
    return data


class _Named(str, Enum):  # noqa: UP042 — Django's choices are such: their str() is not their value
    HIGH = "high"


_NAIVE = _in(hours=1).replace(tzinfo=None)
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_AHEAD, _BEHIND = timezone(timedelta(hours=23, minutes=59)), timezone(-timedelta(hours=23, minutes=59))

SCHEDULE: list[tuple[str, Any, type[InvalidValue], str]] = [
    # times
    ("scheduled_at", _NAIVE, InvalidValue, "time zone"),
    ("scheduled_at", _FIRST, PastTime, "future"),
    ("scheduled_at", _FIRST.replace(tzinfo=_AHEAD), InvalidValue, "range"),
    ("scheduled_at", _LAST.replace(tzinfo=_BEHIND), InvalidValue, "range"),
    ("scheduled_at", _in(seconds=-1), PastTime, "future"),
    ("scheduled_at", _in(days=5 * 366), LimitExceeded, "5 years"),
    ("scheduled_at", date(2030, 1, 1), InvalidValue, "date"),
    ("scheduled_at", "2030-01-01T00:00:00Z", InvalidValue, "str"),
    ("scheduled_at", 1893456000, InvalidValue, "int"),
    ("scheduled_at", True, InvalidValue, "bool"),
    ("expires_at", _NAIVE, InvalidValue, "time zone"),
    ("expires_at", _in(seconds=-1), InvalidValue, "after scheduled_at"),
    ("expires_at", _LAST.replace(tzinfo=_BEHIND), InvalidValue, "range"),
    # recipients
    ("recipients", [], InvalidValue, "empty"),
    ("recipients", (), InvalidValue, "empty"),
    ("recipients", ["a"] * 100_001, LimitExceeded, "100000"),
    ("recipients", "ada", InvalidValue, "list"),
    ("recipients", b"ada", InvalidValue, "list"),
    ("recipients", None, InvalidValue, "list"),
    ("recipients", 7, InvalidValue, "list"),
    ("recipients", {"ada": "ada"}, InvalidValue, "list"),
    ("recipients", ["ada", True], InvalidValue, "bool"),
    ("recipients", ["ada", None], InvalidValue, "NoneType"),
    ("recipients", ["ada", 1.5], InvalidValue, "float"),
    ("recipients", ["ada", b"bob"], InvalidValue, "bytes"),
    ("recipients", ["ada", {"id": "bob"}], InvalidValue, "dict"),
    ("recipients", ["ada", ["bob"]], InvalidValue, "list"),
    ("recipients", ["ada", ""], InvalidValue, "1 to 128 bytes"),
    ("recipients", ["ada", "é" * 65], InvalidValue, "1 to 128 bytes"),
    ("recipients", ["ada", "b\nb"], InvalidValue, "control characters"),
    ("recipients", ["ada", "b\x7f"], InvalidValue, "control characters"),
    ("recipients", ["ada", "b\x00"], InvalidValue, "NUL"),
    ("recipients", ["ada", "\ud800"], InvalidValue, "surrogates"),
    ("recipients", ["ada", 2**63], InvalidValue, "9223372036854775807"),
    ("recipients", ["ada", -(2**63) - 1], InvalidValue, "9223372036854775808"),
    ("recipients", ["ada", 10**5_000], InvalidValue, "9223372036854775807"),
    # content
    ("title", "", InvalidValue, "empty"),
    ("title", "x" * 201, LimitExceeded, "200"),
    ("title", "x" * 20_000, LimitExceeded, "16384"),
    ("title", "a\x00b", InvalidValue, "NUL"),
    ("title", "\ud800", InvalidValue, "surrogates"),
    ("title", None, InvalidValue, "NoneType"),
    ("title", 7, InvalidValue, "int"),
    ("title", b"Coffee", InvalidValue, "bytes"),
    ("message", "", InvalidValue, "empty"),
    ("message", "x" * 16_385, LimitExceeded, "16384"),
    ("message", "é" * 8_193, LimitExceeded, "16384"),
    ("message", "a\x00b", InvalidValue, "NUL"),
    ("message", "\udc00x", InvalidValue, "surrogates"),
    ("message", {"text": "x"}, InvalidValue, "dict"),
    ("type", "", InvalidValue, "1 to 100"),
    ("type", "x" * 101, InvalidValue, "1 to 100"),
    ("type", None, InvalidValue, "NoneType"),
    ("priority", "asap", InvalidValue, "low, normal, high, urgent"),
    ("priority", 1, InvalidValue, "int"),
    ("priority", None, InvalidValue, "NoneType"),
    ("channels", [], InvalidValue, "1 to 16"),
    ("channels", ["inbox", "pigeon"], InvalidValue, "pigeon"),
    ("channels", ["inbox"] * 17, InvalidValue, "16"),
    ("channels", "inbox", InvalidValue, "list"),
    ("channels", b"inbox", InvalidValue, "list"),
    ("channels", {"inbox": True}, InvalidValue, "list"),
    ("channels", None, InvalidValue, "list"),
    ("channels", ["inbox", None], InvalidValue, "NoneType"),
    ("reference", "", InvalidValue, "1 to 200"),
    ("reference", "x" * 201, InvalidValue, "1 to 200"),
    ("reference", "a\x00", InvalidValue, "NUL"),
    ("reference", 42, InvalidValue, "int"),
    ("idempotency_key", "", InvalidValue, "1 to 255"),
    ("idempotency_key", "x" * 256, InvalidValue, "1 to 255"),
    ("idempotency_key", "\udfff", InvalidValue, "surrogates"),
    ("idempotency_key", 42, InvalidValue, "int"),
    ("unknown_recipients", "maybe", InvalidValue, "skip, create, reject"),
    ("unknown_recipients", "", InvalidValue, "skip, create, reject"),
    ("unknown_recipients", False, InvalidValue, "bool"),
    # data
    ("data", [], InvalidValue, "object"),
    ("data", "x", InvalidValue, "object"),
    ("data", "", InvalidValue, "object"),
    ("data", b"{}", InvalidValue, "object"),
    ("data", {"a": "x" * 16_384}, LimitExceeded, "16384"),
    ("data", nested(65), LimitExceeded, "64"),
    ("data", {"a": [nested(64)]}, LimitExceeded, "64"),
    ("data", nested(900), LimitExceeded, "64"),
    ("data", nested(100_000), LimitExceeded, "64"),
    ("data", _circle(), LimitExceeded, "64"),
    ("data", {"a": [1, float("nan")]}, InvalidValue, "finite"),
    ("data", {"a": {"b": float("inf")}}, InvalidValue, "finite"),
    ("data", {"a": -float("inf")}, InvalidValue, "finite"),
    ("data", {"a": "\x00"}, InvalidValue, "NUL"),
    ("data", {"a\x00": 1}, InvalidValue, "NUL"),
    ("data", {"a": ["\udfff"]}, InvalidValue, "surrogates"),
    ("data", {"\ud800": 1}, InvalidValue, "surrogates"),
    ("data", {1: "x"}, InvalidValue, "text keys"),
    ("data", {"a": {None: "x"}}, InvalidValue, "text keys"),
    ("data", {"a": b"x"}, InvalidValue, "bytes"),
    ("data", {"a": object()}, InvalidValue, "object"),
    ("data", {"a": 10**5_000}, InvalidValue, "JSON"),
]


def _arguments(**changes: Any) -> dict[str, Any]:
    good: dict[str, Any] = {"recipients": ["ada"], "title": "Coffee", "message": "It is ready"}
    if "type" in changes:
        changes["notif_type"] = changes.pop("type")
    return {**good, "scheduled_at": _in(hours=1), **changes}


async def test_schedule_refuses(client: Either, shared: Db) -> None:
    for field, wrong, kind, reason in SCHEDULE:
        shown = f"{field}, {type(wrong).__name__}, {reason}"
        refusal = await refusal_of(client.schedule_notification(**_arguments(**{field: wrong})), shown)
        assert (type(refusal), refusal.field) == (kind, field), (shown, refusal)
        assert reason in str(refusal), shown
        assert stored(shared) == (0, 0, 0), shown


async def test_unknown_recipients_are_refused_where_that_is_asked(client: Either, shared: Db) -> None:
    with pytest.raises(UnknownRecipients) as caught:
        await client.schedule_notification(**_arguments(recipients=["ada", "nobody"], unknown_recipients="reject"))
    assert caught.value.field == "recipients"
    assert stored(shared) == (0, 0, 0)


async def test_endless_recipients_are_refused(client: Either) -> None:
    with pytest.raises(LimitExceeded, match="100000"):
        await client.schedule_notification(**_arguments(recipients=count(1)))


@pytest.fixture
def unsaid(shared: Db) -> Iterator[None]:
    """What the test stored is deleted: the others expect to find nothing."""
    yield
    shared.execute("delete from notify.notification; delete from notify.batch")


@pytest.mark.usefixtures("unsaid")
async def test_what_is_unusual_but_right_is_accepted(client: Either, shared: Db) -> None:
    at = _in(hours=1)
    ids = await client.schedule_notification(
        ("ada" for _ in range(3)),
        "é" * 200,
        "é" * 8_192,
        at.astimezone(timezone(timedelta(hours=5, minutes=53, seconds=28))),
        priority=_Named.HIGH,
        data=MappingProxyType({"at": at, "deep": nested(62), "big": 2**70, "text": "\\u0000"}),
        channels=("inbox",),
    )
    row = one(
        shared,
        "select b.scheduled_at, b.priority::text, b.data->>'big' as big, b.data->>'text' as text, b.data->>'at' as at"
        " from notify.notification n join notify.batch b on b.id = n.batch_id where n.id = %s",
        *ids,
    )
    assert (row["scheduled_at"], row["priority"], row["big"], row["text"]) == (at, "high", str(2**70), "\\u0000")
    assert datetime.fromisoformat(row["at"]) == at


@pytest.mark.usefixtures("unsaid")
async def test_numbers_and_their_digits_are_one_recipient(client: Either, shared: Db) -> None:
    most = [2**63 - 1, str(2**63 - 1), -(2**63)]
    ids = await client.schedule_notification(most, "Coffee", "Ready", unknown_recipients="create")
    assert len(ids) == 2
    shared.execute("delete from notify.notification")
    shared.execute("select notify.delete_recipient(r.id) from notify.recipient r where r.id ~ '^-?[0-9]'")
