"""Tasks by hand and by the clock: each does its work in batches and returns what it did as numbers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from procrastinate import App, JobContext
from procrastinate.jobs import Job
from psycopg import AsyncConnection
from structlog.testing import capture_logs

from helpers.rows import Db, call_one, drain, move_clock, schedule_ids, soon, statuses, stored, value
from notify import upkeep
from notify.config import Settings
from notify.dispatch import Ticker
from notify.errors import InvalidValue
from notify.jobs import TASKS, Runtime, make_app, run_task
from notify.outside import Outside
from notify.postgres.pool import open_pool

SWEEP = {
    "sent": 0,
    "sending": 0,
    "expired": 0,
    "parked": 0,
    "planned": 0,
    "rescued": 0,
    "released": 0,
    "answers_deleted": 0,
    "wakeups_deleted": 0,
    "jobs_deleted": 0,
}


def _age(db: Db, days: int) -> None:
    """Let everything have happened so many days earlier."""
    db.execute("set session_replication_role to replica")
    db.execute(
        "update notify.notification set due_at = due_at - make_interval(days => %(days)s),"
        " sent_at = sent_at - make_interval(days => %(days)s), failed_at = failed_at - make_interval(days => %(days)s),"
        " cancelled_at = cancelled_at - make_interval(days => %(days)s)",
        {"days": days},
    )
    db.execute("set session_replication_role to origin")


def test_there_are_these_tasks() -> None:
    assert sorted(TASKS) == [
        "cleanup_cancelled_notifications",
        "delete_old_notifications",
        "dispatch",
        "retry_failed_notifications",
        "sweep",
    ]


async def test_sweep_sends_plans_and_tidies(db: Db, settings: Settings) -> None:
    assert await run_task(settings, "sweep") == SWEEP
    ids = schedule_ids(db, "ada", "bob")
    schedule_ids(db, "ada", scheduled_at=soon(db, "30 seconds"))
    assert await run_task(settings, "sweep") == SWEEP | {"sent": 2, "planned": 1}
    assert statuses(db, ids) == ["sent", "sent"]


async def test_dispatch_sends_and_plans(db: Db, settings: Settings) -> None:
    ids = schedule_ids(db, "ada", "bob")
    later = schedule_ids(db, "ada", scheduled_at=soon(db, "30 seconds"))
    db.execute("delete from notify.wakeup")
    done = await run_task(settings, "dispatch")
    assert done == {"sent": 2, "sending": 0, "expired": 0, "parked": 0, "planned": 1}
    assert statuses(db, ids + later) == ["sent", "sent", "pending"]
    assert value(db, "select count(*) from notify.wakeup") == 1


async def test_sweep_deletes_jobs_and_wakeups_nobody_answered(db: Db, settings: Settings) -> None:
    move_clock(db, "-10 minutes")
    schedule_ids(db, "ada")
    move_clock(db, "0")
    assert await run_task(settings, "sweep") == SWEEP | {"sent": 1, "wakeups_deleted": 1, "jobs_deleted": 1}
    assert value(db, "select count(*) from notify_jobs.procrastinate_jobs") == 0


async def test_cleanup_of_cancelled_ones_by_age(db: Db, settings: Settings) -> None:
    ids = schedule_ids(db, "ada", "bob", scheduled_at=soon(db))
    call_one(db, "cancel", id=ids[0])
    _age(db, 31)
    call_one(db, "cancel", id=ids[1])
    assert await run_task(settings, "cleanup_cancelled_notifications") == {"deleted": 1, "batches_deleted": 0}
    done = await run_task(settings, "cleanup_cancelled_notifications", days_old=0)
    assert done == {"deleted": 1, "batches_deleted": 1}
    assert stored(db) == (0, 0, 0)


async def test_the_settings_say_how_long_things_are_kept(db: Db, settings: Settings) -> None:
    short = Settings(database_url=settings.database_url, cancelled_retention_days=1, retention_days=2)
    ids = schedule_ids(db, "ada", "bob")
    call_one(db, "cancel", id=ids[0])
    drain(db)
    _age(db, 1)
    assert (await run_task(short, "cleanup_cancelled_notifications"))["deleted"] == 1
    assert (await run_task(short, "delete_old_notifications"))["deleted"] == 0
    _age(db, 1)
    assert await run_task(short, "delete_old_notifications") == {"deleted": 1, "batches_deleted": 1}


async def test_batches_are_repeated_until_nothing_is_left(
    db: Db, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_BATCH", 2)
    for _ in range(5):
        schedule_ids(db, "ada")
    drain(db)
    for _ in range(3):
        call_one(db, "cancel", id=schedule_ids(db, "ada")[0])
    _age(db, 100)
    assert await run_task(settings, "delete_old_notifications") == {"deleted": 5, "batches_deleted": 5}
    done = await run_task(settings, "cleanup_cancelled_notifications")
    assert done == {"deleted": 3, "batches_deleted": 3}


async def test_retry_takes_back_leases_that_ran_out(db: Db, settings: Settings) -> None:
    db.execute("insert into notify.channel values ('carrier', 'for tests')")
    schedule_ids(db, "ada", "bob", channels=["carrier"])
    drain(db)
    db.execute(
        "update notify.delivery set status = 'leased', lease_token = gen_random_uuid(),"
        " leased_until = notify.now() - interval '1 second'"
    )
    assert await run_task(settings, "retry_failed_notifications", limit=1) == {"rescued": 1}
    assert await run_task(settings, "retry_failed_notifications") == {"rescued": 1}
    assert await run_task(settings, "retry_failed_notifications") == {"rescued": 0}


LIMIT = "limit must be a whole number from 1 to 100000, not"
DAYS = "days_old must be a whole number from 0 to 36500, not"
BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("odd", {}, "task", "unknown task 'odd'; there are cleanup_cancelled_notifications, delete_old"),
    ("sweep", {"odd": 1}, "odd", "sweep takes no arguments, not odd"),
    ("sweep", {"settings": 1}, "settings", "sweep takes no arguments, not settings"),
    ("dispatch", {"connection": 1}, "connection", "dispatch takes no arguments, not connection"),
    ("delete_old_notifications", {"task": 1}, "task", "delete_old_notifications takes days_old, not task"),
    ("retry_failed_notifications", {"limit": 0}, "limit", f"{LIMIT} 0"),
    ("retry_failed_notifications", {"limit": 100_001}, "limit", f"{LIMIT} 100001"),
    ("retry_failed_notifications", {"limit": True}, "limit", f"{LIMIT} True"),
    ("cleanup_cancelled_notifications", {"days_old": -1}, "days_old", f"{DAYS} -1"),
    ("cleanup_cancelled_notifications", {"days_old": "x"}, "days_old", f"{DAYS} 'x'"),
    ("cleanup_cancelled_notifications", {"days_old": None}, "days_old", f"{DAYS} None"),
    ("delete_old_notifications", {"days_old": 36_501}, "days_old", f"{DAYS} 36501"),
    ("delete_old_notifications", {"days_old": 1.5}, "days_old", f"{DAYS} 1.5"),
]


@pytest.mark.parametrize(("task", "arguments", "field", "said"), BAD)
async def test_bad_arguments_are_refused(
    settings: Settings, task: str, arguments: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        await run_task(settings, task, **arguments)
    assert caught.value.field == field
    assert str(caught.value).startswith(said)


async def test_a_fault_of_ours_is_not_the_callers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise TypeError("ours")

    monkeypatch.setattr(upkeep, "rescue_deliveries", broken)
    with pytest.raises(TypeError, match="ours"):
        await run_task(settings, "retry_failed_notifications")


@pytest.mark.parametrize("task", sorted(TASKS))
async def test_by_hand_each_says_what_it_did_also_nothing(settings: Settings, task: str) -> None:
    with capture_logs() as logged:
        done = await run_task(settings, task)
    (event,) = [event for event in logged if event["event"] == "task done"]
    assert (event["log_level"], event["task"]) == ("info", task)
    assert event.items() >= done.items()


@pytest.mark.parametrize("task", sorted(TASKS.keys() - {"dispatch", "sweep"}))
async def test_by_the_clock_each_says_what_it_did_also_nothing(db: Db, settings: Settings, task: str) -> None:
    async with _registered(settings) as (app, context):
        with capture_logs() as logged:
            await app.tasks[f"notify.{task}"](context, timestamp=0)
    assert [(event["log_level"], event["task"]) for event in logged] == [("info", task)]


async def test_a_sweep_that_did_nothing_says_nothing(db: Db, settings: Settings) -> None:
    async with _registered(settings) as (app, context):
        with capture_logs() as logged:
            await app.tasks["notify.sweep"](context, timestamp=0)
        assert [event["log_level"] for event in logged] == ["debug"]


@asynccontextmanager
async def _registered(settings: Settings) -> AsyncIterator[tuple[App, JobContext]]:
    """The app, and the context in which its worker calls tasks."""
    app = make_app(settings)
    pool = await open_pool(settings, name="test")
    job = Job(id=1, queue="notify_tasks", lock=None, queueing_lock=None, task_name="test")
    runtime = Runtime(settings, pool, Ticker(settings), Outside(settings, lambda _: []))
    try:
        yield (
            app,
            JobContext(
                app=app, job=job, start_timestamp=0, additional_context={"runtime": runtime}, abort_reason=lambda: None
            ),
        )
    finally:
        await pool.close()


async def test_sweep_on_a_connection_of_the_caller(conn: AsyncConnection[Any], settings: Settings) -> None:
    assert await upkeep.sweep(conn, settings) == SWEEP
