"""The ticker: it wakes for what is nearer, sleeps to the instant, keeps its mark behind what is locked, survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from helpers.rows import Db, column, one, schedule_ids, soon, statuses, value
from helpers.wait import until_async
from notify import dispatch
from notify.config import Settings
from notify.dispatch import Ticker
from notify.drain import Pass
from notify.supervise import supervise

LONG = 60.0
SLEEPS = """
select pid from pg_stat_activity
where application_name = 'notify-ticker' and datname = current_database() and state = 'idle'
  and query like '%notify.drain(%'
"""


@asynccontextmanager
async def running(ticker: Ticker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(ticker.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, psycopg.OperationalError):
            await task


@pytest.fixture
def sleepy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Ticker:
    """A ticker that sleeps for a minute unless something is due earlier, or it is woken."""
    monkeypatch.setattr(dispatch, "_FIRST_PAUSE", LONG)
    return Ticker(Settings(database_url=settings.database_url, tick_seconds=LONG))


def _sent(db: Db, *ids: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return set(statuses(db, ids)) == {"sent"}

    return look


async def _asleep(db: Db) -> int:
    """Wait until the ticker has looked; the process id of its session."""

    async def look() -> list[int]:
        return column(db, SLEEPS)

    return int((await until_async(look, what="ticker asleep"))[0])


async def test_what_is_due_at_the_start_is_sent(db: Db, sleepy: Ticker) -> None:
    ids = schedule_ids(db, "ada", "bob")
    alive = [sleepy.alive]
    async with running(sleepy):
        await until_async(_sent(db, *ids))
        alive.append(sleepy.alive)
    assert [*alive, sleepy.alive] == [False, True, False]


async def test_it_sleeps_to_the_instant(db: Db, sleepy: Ticker) -> None:
    ids = schedule_ids(db, "ada", scheduled_at=soon(db, "300 milliseconds"))
    async with running(sleepy):
        await until_async(_sent(db, *ids))
    row = one(db, "select sent_at - due_at as late from notify.notification")
    assert timedelta() <= row["late"] < timedelta(seconds=1)


async def test_it_looks_again_when_woken(db: Db, sleepy: Ticker) -> None:
    async with running(sleepy):
        await _asleep(db)
        ids = schedule_ids(db, "ada")
        assert statuses(db, ids) == ["pending"]
        sleepy.wake()
        await until_async(_sent(db, *ids))


async def test_woken_for_something_nearer_it_sleeps_to_that(db: Db, sleepy: Ticker) -> None:
    (far,) = schedule_ids(db, "ada", scheduled_at=soon(db, "1 hour"))
    async with running(sleepy):
        await _asleep(db)
        (near,) = schedule_ids(db, "ada", scheduled_at=soon(db, "300 milliseconds"))
        sleepy.wake()
        await until_async(_sent(db, near))
    assert statuses(db, [far]) == ["pending"]


async def test_without_being_woken_it_looks_every_tick(db: Db, settings: Settings) -> None:
    ticker = Ticker(Settings(database_url=settings.database_url, tick_seconds=0.05))
    async with running(ticker):
        await _asleep(db)
        await until_async(_sent(db, *schedule_ids(db, "ada")), timeout=8)


async def test_a_wake_while_it_drains_is_not_lost(db: Db, sleepy: Ticker, monkeypatch: pytest.MonkeyPatch) -> None:
    drain_all = dispatch.drain_all
    ids: list[int] = []

    async def then_wake(*args: Any, **options: Any) -> Pass:
        done = await drain_all(*args, **options)
        if not ids:  # scheduled behind the look, and woken before the sleep
            ids.extend(schedule_ids(db, "ada"))
            sleepy.wake()
        return done

    monkeypatch.setattr(dispatch, "drain_all", then_wake)
    async with running(sleepy):
        await _asleep(db)

        async def sent() -> bool:
            return bool(ids) and await _sent(db, *ids)()

        await until_async(sent)


async def test_what_was_locked_is_sent_when_it_is_free(
    db: Db, holder: Db, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain_all = dispatch.drain_all
    passes: list[Pass] = []

    async def counted(*args: Any, **options: Any) -> Pass:
        passes.append(await drain_all(*args, **options))
        return passes[-1]

    async def twice() -> bool:
        return len(passes) >= 2

    monkeypatch.setattr(dispatch, "drain_all", counted)
    ids = schedule_ids(db, "ada", "bob")
    db.execute("update notify.notification set due_at = due_at - interval '10 seconds'")
    db.execute("delete from notify.wakeup")
    holder.execute("select from notify.notification where id = %s for update", (ids[0],))
    async with running(Ticker(settings)):
        await until_async(_sent(db, ids[1]))
        await until_async(twice)
        holder.commit()
        await until_async(_sent(db, *ids), timeout=8)


def test_the_mark_stays_behind_what_was_left() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    done, left = Pass(looked_at=now), Pass(looked_at=now, complete=False)
    assert dispatch._next_mark(None, done) == now - timedelta(seconds=2)
    assert dispatch._next_mark(None, left) is None
    near, far = now - timedelta(seconds=30), now - timedelta(hours=1)
    assert dispatch._next_mark(near, left) == near
    assert dispatch._next_mark(far, left) == now - timedelta(minutes=1)
    assert dispatch._next_mark(near, Pass()) == near


async def test_a_lost_connection_ends_it(db: Db, sleepy: Ticker) -> None:
    async with running(sleepy) as task:
        db.execute("select pg_terminate_backend(%s)", (await _asleep(db),))
        sleepy.wake()
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(task, 10)
    assert not sleepy.alive


async def test_supervised_it_comes_back(db: Db, settings: Settings) -> None:
    ticker = Ticker(settings)
    task = asyncio.create_task(supervise("ticker", ticker.run, base=0.01))
    try:
        for _ in range(2):
            db.execute("select pg_terminate_backend(%s)", (await _asleep(db),))
            await until_async(_sent(db, *schedule_ids(db, "ada")))
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_many_tickers_send_everything_once(db: Db, settings: Settings) -> None:
    db.execute(
        "select notify.upsert_recipients(jsonb_agg(jsonb_build_object('id', n)), false) from generate_series(1, 300) n"
    )
    tickers = [Ticker(Settings(database_url=settings.database_url, drain_chunk=50)) for _ in range(4)]
    ids: list[int] = []
    async with running(tickers[0]), running(tickers[1]), running(tickers[2]), running(tickers[3]):
        for _ in range(5):
            ids += schedule_ids(db, *map(str, range(1, 301)))
        await until_async(_sent(db, *ids), timeout=20)
    wrong = "select count(*) from notify.mailbox where recipient not in ('ada', 'bob') and (last_seq, unread) <> (5, 5)"
    assert value(db, wrong) == 0
