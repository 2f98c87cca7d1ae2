"""Outside channels from Python: retry policies, spreading, addresses that are looked at, the history of deliveries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from client.either import Either
from helpers.outside import CHANNEL, add_channel, add_reachable, lease, record
from helpers.rows import Db, column, drain, one, value
from notify import InvalidValue


@pytest.fixture(autouse=True)
def reachable(shared: Db) -> None:
    add_channel(shared)
    add_reachable(shared, "ada", "bob")


async def test_retry_and_spread_over(client: Either, shared: Db) -> None:
    retry = {"delays": (1, 60), "max_age": 3600}
    at = datetime.now(UTC) + timedelta(hours=1)
    ids = await client.schedule_notification(["ada", "bob"], "Coffee", "Ready", at, retry=retry, spread_over=10)
    due = column(shared, "select due_at from notify.notification where id = any (%s) order by id", ids)
    assert due == [at, at + timedelta(minutes=5)]
    option = one(
        shared,
        "select retry, spread_over from notify.batch_option"
        " where batch_id = (select batch_id from notify.notification where id = %s)",
        ids[0],
    )
    assert option == {"retry": {"delays": [1, 60], "max_age": 3600}, "spread_over": timedelta(minutes=10)}


async def test_without_them_nothing_is_stored_of_them(client: Either, shared: Db) -> None:
    before = value(shared, "select count(*) from notify.batch_option")
    await client.schedule_notification(["ada"], "Coffee", "Ready", retry=None, spread_over=None)
    assert value(shared, "select count(*) from notify.batch_option") == before


async def test_the_status_has_every_attempt(client: Either, shared: Db) -> None:
    (id,) = await client.schedule_notification(["ada"], "Coffee", "Ready", channels=[CHANNEL])
    drain(shared)
    record(shared, lease(shared), "retry", code="http-503", detail="busy", delay=0)
    record(shared, lease(shared))
    (delivery,) = (await client.get_schedule_status(id)).deliveries
    assert (delivery.channel, delivery.status, delivery.attempts) == (CHANNEL, "sent", 2)
    assert [(one.number, one.outcome, one.code, one.detail) for one in delivery.history] == [
        (1, "retry", "http-503", "busy"),
        (2, "sent", None, None),
    ]
    assert all(one.started_at < one.finished_at for one in delivery.history)


WRONG: list[tuple[str, Any, str]] = [
    ("retry", [], "retry"),
    ("retry", "x", "retry"),
    ("retry", {"pause": 1}, "retry"),
    ("retry", {"delays": [-1]}, "retry.delays"),
    ("retry", {"delays": 5}, "retry.delays"),
    ("retry", {"jitter": 2}, "retry.jitter"),
    ("retry", {"max_age": "1"}, "retry.max_age"),
    ("retry", {"final": ["HTTP 404"]}, "retry.final"),
    ("retry", {"delays": [float("nan")]}, "retry"),
    ("spread_over", 0, "spread_over"),
    ("spread_over", 10_081, "spread_over"),
    ("spread_over", 2**70, "spread_over"),
    ("spread_over", 1.0, "spread_over"),
    ("spread_over", True, "spread_over"),
    ("spread_over", "5", "spread_over"),
]


async def test_what_is_wrong_is_named(client: Either) -> None:
    for name, wrong, field in WRONG:
        with pytest.raises(InvalidValue) as caught:
            await client.schedule_notification(["ada"], "Coffee", "Ready", **{name: wrong})
        assert caught.value.field == field, (name, wrong)


ADDRESSES: list[tuple[str, Any]] = [
    ("email", "nobody"),
    ("email", 5),
    ("email", {"mail": "ada@example.org"}),
    ("webhook", "ftp://example.org"),
    ("webhook", {"url": "https://example.org", "secret": "short"}),
    ("apprise", "slack"),
]


async def test_addresses_are_looked_at(client: Either, shared: Db) -> None:
    for channel, wrong in ADDRESSES:
        with pytest.raises(InvalidValue) as caught:
            await client.upsert_recipient("ada", addresses={channel: wrong})
        assert caught.value.field == f"addresses.{channel}"
    with pytest.raises(InvalidValue) as caught:
        await client.upsert_recipient("ada", preferences={"quiet_hours": {"from": "25:00", "to": "7:00"}})
    assert caught.value.field == "preferences.quiet_hours"
    await client.upsert_recipient("ada", addresses={"webhook": {"url": "https://example.org/hook"}, "sms": "+49"})
    assert value(shared, "select addresses ->> 'sms' from notify.recipient where id = 'ada'") == "+49"
