"""The two alarm clocks: either alone sends everything, in a bounded time, and the sweep finds what both missed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from helpers.rows import Db, call_one, column, one, schedule_ids, soon, statuses, value
from helpers.wait import until_async
from helpers.work import working
from notify import worker
from notify.config import Settings
from notify.dispatch import Ticker
from notify.jobs import Runtime
from notify.outside import Outside
from notify.postgres.pool import open_pool

JOBS = "select count(*) from notify_jobs.procrastinate_jobs where task_name = 'notify.dispatch'"


async def _sent(db: Db, *ids: int, timeout: float = 10.0) -> None:
    async def look() -> bool:
        return set(statuses(db, ids)) == {"sent"}

    await until_async(look, timeout=timeout, what="sent")


async def _none_left(db: Db) -> None:
    async def look() -> bool:
        return bool(value(db, JOBS) == 0)

    await until_async(look, what="jobs done and deleted")


@pytest.fixture
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the periodic job may send before the dispatch job does."""

    async def sweep(self: Runtime) -> None:
        return

    monkeypatch.setattr(Runtime, "sweep", sweep)


@pytest.mark.usefixtures("no_sweep")
async def test_jobs_alone_send_what_is_due_now(db: Db, settings: Settings) -> None:
    before = schedule_ids(db, "ada")
    async with working(settings, ticker_enabled=False) as worker:
        assert worker.healthy
        await _sent(db, *before)
        await _none_left(db)
        await _sent(db, *schedule_ids(db, "ada", "bob"), timeout=8)
        await _none_left(db)


@pytest.mark.usefixtures("no_sweep")
async def test_jobs_alone_send_what_is_due_soon(db: Db, settings: Settings) -> None:
    async with working(settings, ticker_enabled=False):
        ids = schedule_ids(db, "ada", scheduled_at=soon(db, "1500 milliseconds"))
        assert column(db, "select scheduled_at is not null from notify_jobs.procrastinate_jobs")[:1] == [True]
        await _sent(db, *ids)
    late = value(db, "select sent_at - due_at from notify.notification")
    assert timedelta() <= late < timedelta(seconds=3)


@pytest.mark.usefixtures("no_sweep")
async def test_jobs_alone_send_what_is_due_later_in_the_second_of_a_job(db: Db, settings: Settings) -> None:
    async with working(settings, ticker_enabled=False):
        now = schedule_ids(db, "ada")
        later = schedule_ids(db, "bob", scheduled_at=soon(db, "600 milliseconds"))
        assert value(db, "select count(*) from notify.wakeup where at > now()") == 0  # the job of now is its alarm, too
        await _sent(db, *now, *later)
    late = value(db, "select max(sent_at - due_at) from notify.notification")
    assert late < timedelta(seconds=3)


async def test_the_ticker_alone_sends_with_every_job_deleted(db: Db, settings: Settings) -> None:
    db.execute("create function notify.lost() returns trigger language plpgsql as $$ begin return null; end $$")
    db.execute(
        "create trigger lost before insert on notify_jobs.procrastinate_jobs"
        " for each row execute function notify.lost()"
    )
    ids = schedule_ids(db, "ada")
    async with working(settings, jobs_enabled=False) as worker:
        await _sent(db, *ids)
        assert worker.healthy
        ids = schedule_ids(db, "bob") + schedule_ids(db, "ada", scheduled_at=soon(db, "200 milliseconds"))
        await _sent(db, *ids, timeout=8)
    assert value(db, JOBS) == 0


@pytest.mark.usefixtures("no_sweep")
@pytest.mark.parametrize("ticker", [True, False])
async def test_a_worker_goes_on_when_an_operator_deletes_all_jobs(db: Db, settings: Settings, ticker: bool) -> None:
    async with working(settings, ticker_enabled=ticker):
        await _sent(db, *schedule_ids(db, "ada"))
        soon_ids = schedule_ids(db, "ada", scheduled_at=soon(db, "2500 milliseconds"))
        with psycopg.connect(str(settings.database_url)) as operator:
            assert operator.execute("delete from notify_jobs.procrastinate_jobs").rowcount > 0
        await _sent(db, *schedule_ids(db, "bob"), *(soon_ids if ticker else ()))


@pytest.mark.usefixtures("no_sweep")
async def test_a_worker_shows_that_it_lives_though_others_run_the_tasks(
    db: Db, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_PRESENT_SECONDS", 0.01)
    seen: set[Any] = set()

    async def seen_often() -> bool:
        query = (
            "select max(state_change) from pg_stat_activity"
            " where starts_with(application_name, 'notify-worker ') and datname = current_database()"
        )
        seen.add(value(db, query))
        return len(seen) > 5

    async with working(settings, ticker_enabled=False):
        await until_async(seen_often)


async def test_both_together_send_once(db: Db, settings: Settings) -> None:
    async with working(settings), working(settings):
        ids = [schedule_ids(db, "ada")[0] for _ in range(50)]
        await _sent(db, *ids)
        await _none_left(db)
    assert column(db, "select seq from notify.notification order by id") == list(range(1, 51))


@asynccontextmanager
async def _runtime(settings: Settings) -> AsyncIterator[Runtime]:
    pool = await open_pool(settings, name="test")
    try:
        yield Runtime(settings, pool, Ticker(settings), Outside(settings, lambda _: []))
    finally:
        await pool.close()


async def test_the_sweep_sends_what_both_clocks_missed(db: Db, settings: Settings) -> None:
    (id,) = schedule_ids(db, "ada")
    db.execute("update notify.notification set due_at = due_at - interval '1 day'")
    db.execute("delete from notify.wakeup")
    async with _runtime(settings) as runtime:
        await runtime.sweep()
        assert statuses(db, [id]) == ["sent"]


async def test_two_sweeps_of_a_process_at_once_are_one(db: Db, settings: Settings) -> None:
    async with _runtime(settings) as runtime:
        await runtime.sweep()
        (id,) = schedule_ids(db, "ada")
        await runtime.sweep()
        assert statuses(db, [id]) == ["pending"]
        runtime.swept_at -= settings.sweep_seconds
        await runtime.sweep()
        assert statuses(db, [id]) == ["sent"]


async def test_the_sweep_plans_jobs_for_the_coming_minute(db: Db, settings: Settings) -> None:
    async with _runtime(settings) as runtime:
        schedule_ids(db, "ada", scheduled_at=soon(db, "90 seconds"))
        assert (await runtime.run("sweep"))["planned"] == 0
        db.execute("update notify.batch set scheduled_at = scheduled_at - interval '1 minute'")
        db.execute("set session_replication_role to replica")  # as if time had passed, without a ring
        db.execute("update notify.notification set due_at = due_at - interval '1 minute'")
        done = await runtime.run("sweep")
        assert (done["planned"], done["sent"]) == (1, 0)
        job = one(db, "select * from notify_jobs.procrastinate_jobs")
        assert job["task_name"] == "notify.dispatch"


@pytest.mark.usefixtures("no_sweep")
@pytest.mark.parametrize("alive", [True, False])
async def test_a_dispatch_job_wakes_the_ticker_or_drains(
    db: Db, settings: Settings, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    woken: list[bool] = []
    monkeypatch.setattr(Ticker, "alive", property(lambda self: alive))
    monkeypatch.setattr(Ticker, "wake", lambda self: woken.append(True))
    async with working(settings, ticker_enabled=False):
        ids = schedule_ids(db, "ada")
        await _none_left(db)
    assert statuses(db, ids) == (["pending"] if alive else ["sent"])
    assert bool(woken) is alive
    assert call_one(db, "send", id=ids[0])["sent"] is alive
