"""A courier that stops, or is started again: nothing that was sent is forgotten, and nothing that was taken is kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from delivery.conftest import Serve
from helpers.outside import Pigeons, add_channel, add_reachable, attempts, lease, send
from helpers.rows import Db, call_one, rows, statuses, value
from helpers.wait import until_true
from notify import courier, supervise
from notify import outside as outside_module
from notify.channels.protocol import Message, Outcome, retry, sent
from notify.delivery import NextDelivery, lease_deliveries, record_attempts

_STATUSES = "select status::text, count(*) from notify.delivery group by 1 order by 1"


async def test_what_is_under_way_is_recorded_however_often_it_is_told_to_stop(
    db: Db, serve: Serve, pigeons: Pigeons, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "_CANCEL_AGAIN_SECONDS", 0.01)
    pigeons.gate = asyncio.Event()
    names = [f"r{n}" for n in range(8)]
    add_reachable(db, *names)
    async with serve(pigeons) as outside:
        send(db, *names)
        outside.wake()
        await until_true(lambda: pigeons.in_the_air == 4)
        asyncio.get_running_loop().call_later(0.2, pigeons.gate.set)
    assert rows(db, _STATUSES) == [{"status": "pending", "count": 4}, {"status": "sent", "count": 4}]
    assert value(db, "select count(*) from notify.attempt") == 4


async def test_stopped_while_it_records_it_records_that_all_the_same(
    db: Db, serve: Serve, pigeons: Pigeons, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = asyncio.Event()

    async def record(*given: Any, **options: Any) -> Any:
        if not recording.is_set():
            recording.set()
            await asyncio.Event().wait()
        return await record_attempts(*given, **options)

    monkeypatch.setattr(courier, "record_attempts", record)
    async with serve(pigeons) as outside:
        ids = send(db, "ada")
        outside.wake()
        await recording.wait()
    assert statuses(db, ids) == ["sent"]
    assert len(pigeons.flown) == 1


async def test_stopped_while_it_takes_some_it_gives_them_back(
    db: Db, serve: Serve, pigeons: Pigeons, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, answered = asyncio.Event(), asyncio.Event()

    async def take(*given: Any, **options: Any) -> Any:
        leased = await lease_deliveries(*given, **options)
        if leased:
            taken.set()
            await answered.wait()
        return leased

    monkeypatch.setattr(courier, "lease_deliveries", take)
    async with serve(pigeons) as outside:
        send(db, "ada", "bob")
        outside.wake()
        await taken.wait()
        asyncio.get_running_loop().call_later(0.05, answered.set)
    assert rows(db, _STATUSES) == [{"status": "pending", "count": 2}]
    assert pigeons.flown == []


async def test_looks_that_lose_a_cancellation_to_an_outage_are_cancelled_again(
    serve: Serve, pigeons: Pigeons, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "_CANCEL_AGAIN_SECONDS", 0.01)
    looking = asyncio.Event()
    lost = 0

    async def look(_: object) -> list[NextDelivery]:
        nonlocal lost
        try:
            looking.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if lost:
                raise
            lost += 1
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(outside_module, "next_deliveries", look)
    async with serve(pigeons) as outside:
        outside.wake()
        await looking.wait()
    assert lost == 1


async def test_a_call_that_loses_its_cancellation_ends_with_the_courier(
    db: Db, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "_LAST_SECONDS", 0.1)
    calling = asyncio.Event()

    class Stubborn(Pigeons):
        async def send(self, message: Message) -> Outcome:
            calling.set()
            for _ in range(2):
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            return sent()

    async with serve(Stubborn()) as outside:
        send(db, "ada")
        outside.wake()
        await calling.wait()
    assert rows(db, _STATUSES) == [{"status": "leased", "count": 1}]


async def test_one_that_ends_over_an_outage_goes_on_when_it_is_started_again(
    db: Db, serve: Serve, pigeons: Pigeons, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()

    async def record(*given: Any, **options: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise TypeError("something is wrong with them")
        return await record_attempts(*given, **options)

    monkeypatch.setattr(courier, "record_attempts", record)
    pigeons.answer = lambda _: retry("down", outage=True)
    async with serve(pigeons, breaker_failures=1) as outside:
        send(db, "ada")
        outside.wake()
        await failed.wait()
        pigeons.answer = lambda _: sent()
        ids = send(db, "bob")
        outside.wake()
        await until_true(lambda: statuses(db, ids) == ["sent"])


async def test_an_outcome_that_is_none_by_its_fields_spoils_no_other(db: Db, serve: Serve, pigeons: Pigeons) -> None:
    odd: Any = b"no text"

    def answer(message: Message) -> Outcome:
        match message.recipient:
            case "ada":
                return Outcome(kind="retry", code="x", detail=odd)
            case "bob":
                return Outcome(kind="retry", code="x", outage=odd)
        return Outcome(kind="sent", detail="x" * 5_000)

    pigeons.answer = answer
    add_reachable(db, "cleo")
    async with serve(pigeons) as outside:
        ids = send(db, "ada", "bob", "cleo", options='{"retry": {"delays": []}}')
        outside.wake()
        await until_true(lambda: statuses(db, ids) == ["failed", "failed", "sent"])
    assert [attempts(db, id) for id in ids] == [[(1, "failed", "error")], [(1, "failed", "error")], [(1, "sent", None)]]
    assert value(db, "select max(length(detail)) from notify.attempt") == 1_000


@pytest.mark.parametrize(("lost", "flown"), [(1, 1), (2, 1), (3, 0)])
async def test_what_was_lost_is_sent_at_least_once_unless_it_is_lost_again_and_again(
    db: Db, serve: Serve, pigeons: Pigeons, lost: int, flown: int
) -> None:
    add_channel(db)
    (id,) = send(db, "ada", options='{"retry": {"delays": []}}')
    for _ in range(lost):
        lease(db, seconds=-1)
        assert call_one(db, "rescue_deliveries", p_max=10) == {"rescue_deliveries": 1}
    async with serve(pigeons) as outside:
        outside.wake()
        await until_true(lambda: statuses(db, [id]) == ["sent" if flown else "failed"])
    assert len(pigeons.flown) == flown
    assert attempts(db, id)[-1] == (lost + 1, *(("sent", None) if flown else ("failed", "lease-lost")))
