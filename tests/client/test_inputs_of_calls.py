"""Whatever is wrong with the input of the calls other than scheduling: a ValueError naming it, and nothing changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from client.either import Either, refusal_of
from helpers.http import nested
from helpers.rows import Db, stored, value
from notify import InvalidValue, PastTime, cursor
from notify.errors import LimitExceeded


def _in(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


_NAIVE = _in(hours=1).replace(tzinfo=None)

CALLS: list[tuple[str, dict[str, Any], type[InvalidValue], str]] = [
    *(
        (call, {"id": wrong}, InvalidValue, "id")
        for call in (
            "cancel_scheduled",
            "get_schedule_status",
            "send_scheduled_notification",
            "retry_failed_notification",
        )
        for wrong in (2**63, 10**30, 0, -1, True, None, "1", 1.0, b"1", {"id": 1}, [1])
    ),
    ("reschedule", {"id": -1, "scheduled_at": _in(hours=1)}, InvalidValue, "id"),
    ("reschedule", {"id": 1, "scheduled_at": None}, InvalidValue, "scheduled_at"),
    ("reschedule", {"id": 1, "scheduled_at": _NAIVE}, InvalidValue, "scheduled_at"),
    ("reschedule", {"id": 1, "scheduled_at": "tomorrow"}, InvalidValue, "scheduled_at"),
    ("reschedule", {"id": 1, "scheduled_at": _in(seconds=-1)}, PastTime, "scheduled_at"),
    ("reschedule", {"id": 1, "scheduled_at": _in(days=5 * 366)}, LimitExceeded, "scheduled_at"),
    *(
        ("retry_failed_notification", {"id": 1, "retry_delay_minutes": wrong}, InvalidValue, "delay_minutes")
        for wrong in (-1, -0.001, float("nan"), float("inf"), 1e300, 10**400, 2_592_001, "10", None, True)
    ),
    *(
        ("cancel_reference", {"reference": wrong}, InvalidValue, "reference")
        for wrong in ("", None, 42, "\x00", "\ud800")
    ),
    *(
        ("get_pending_notifications", {"limit": wrong}, InvalidValue, "limit")
        for wrong in (0, -1, 1_001, 2**63, True, None, "10", 1.5)
    ),
    *(
        ("get_pending_notifications", {"cursor": wrong}, InvalidValue, "cursor")
        for wrong in (
            "",
            "no cursor",
            "é",
            "\x00",
            "\ud800",
            "e30",
            "AAAAA",
            5,
            b"e30",
            ["e30"],
            "W1tb" * 4_000,
            cursor.encode(("2030-01-01T00:00:00", 1)),
            cursor.encode(("2030-01-01T00:00:00Z", 2**63)),
            cursor.encode(("2030-01-01T00:00:00Z", -1)),
            cursor.encode(("2030-01-01T00:00:00Z", 1.5)),
            cursor.encode(("9999-12-31T23:59:59-23:59", 1)),
            cursor.encode(("2030-01-01T00:00:00Z", 1, 2)),
        )
    ),
    *(
        ("upsert_recipient", {"id": wrong}, InvalidValue, "id")
        for wrong in ("", "\n", 2**63, None, True, b"x", "x" * 129)
    ),
    *(
        ("upsert_recipient", {"id": "ada", "time_zone": wrong}, InvalidValue, "time_zone")
        for wrong in ("Europe/Atlantis", "", 5, "\x00", "\ud800")
    ),
    *(
        ("upsert_recipient", {"id": "ada", "locale": wrong}, InvalidValue, "locale")
        for wrong in ("not a locale", "", 5, "d\x00")
    ),
    *(
        ("upsert_recipient", {"id": "ada", field: wrong}, kind, field)
        for field in ("addresses", "preferences")
        for wrong, kind in (
            (["a"], InvalidValue),
            ("a", InvalidValue),
            ({"a": "\x00"}, InvalidValue),
            ({"a": float("nan")}, InvalidValue),
            (nested(65), LimitExceeded),
            ({"a": "x" * 16_384}, LimitExceeded),
        )
    ),
]


async def test_the_other_calls_refuse(client: Either, shared: Db) -> None:
    before = _recipients(shared)
    for call, arguments, kind, field in CALLS:
        shown = f"{call}: {field}, {[type(value).__name__ for value in arguments.values()]}"
        refusal = await refusal_of(getattr(client, call)(**arguments), shown)
        assert (type(refusal), refusal.field) == (kind, field), (shown, refusal)
    assert stored(shared) == (0, 0, 0)
    assert _recipients(shared) == before


def _recipients(db: Db) -> Any:
    return value(db, "select jsonb_agg(r order by r.id) from notify.recipient r")


async def test_unknown_arguments_are_refused(client: Either) -> None:
    with pytest.raises(TypeError, match="shceduled_at"):
        await client.schedule_notification(["ada"], "Coffee", "Ready", shceduled_at=_in(hours=1))
    with pytest.raises(TypeError, match="timezone"):
        await client.upsert_recipient("ada", timezone="Europe/Berlin")
