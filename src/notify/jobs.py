"""The Procrastinate app: dispatch jobs and the periodic tasks, each a few lines around what does the work.

Jobs are alarm clocks and carry no truth: one that is lost, doubled, late or stuck changes nothing that the ticker
and the sweep do not also see to. Procrastinate's tables live in the schema notify_jobs.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from procrastinate import App, JobContext, PsycopgConnector
from psycopg import AsyncConnection

from notify import upkeep
from notify.config import Settings
from notify.dispatch import Ticker, drain_all
from notify.drain import Pass
from notify.errors import InvalidValue
from notify.postgres.pool import Pool, configure, connect, conninfo
from notify.upkeep import Statistics

log = structlog.get_logger("notify.jobs")

DISPATCH_QUEUE = "notify_dispatch"
TASKS_QUEUE = "notify_tasks"
# Seconds between the tries of a dispatch job that others crowd out; then it is the sweep's.
_TURNS = (0.05, 0.1, 0.2, 0.4, 0.8)
_SEARCH_PATH = "select set_config('search_path', 'notify_jobs', false)"

Task = Callable[..., Awaitable[Statistics]]

# By the names that `notify run` takes.
TASKS: dict[str, Task] = {
    "sweep": upkeep.sweep,
    "retry_failed_notifications": upkeep.retry_failed_notifications,
    "cleanup_cancelled_notifications": upkeep.cleanup_cancelled_notifications,
    "delete_old_notifications": upkeep.delete_old_notifications,
}


class Runtime:
    """What tasks need of the process they run in."""

    def __init__(self, settings: Settings, pool: Pool, ticker: Ticker) -> None:
        self.settings = settings
        self.pool = pool
        self.ticker = ticker
        self.swept_at = -math.inf
        self._sweeping = asyncio.Lock()

    async def sweep(self) -> None:
        """Sweep, unless this process has just done so: the ticker and the periodic job both ask for it."""
        async with self._sweeping:
            started = time.monotonic()
            if started - self.swept_at < self.settings.sweep_seconds / 2:
                return
            await self.run("sweep", settings=self.settings, quarantine=self.ticker.quarantine)
            self.swept_at = started

    async def run(self, task: str, **arguments: Any) -> Statistics:
        """Run one of TASKS on a connection of the pool, and log what it did."""
        async with self.pool.connection() as connection:
            return await _run(connection, task, arguments)


async def run_task(settings: Settings, task: str, **arguments: Any) -> Statistics:
    """Run one of TASKS by hand, on a connection of its own. Raises InvalidValue for an unknown task or argument."""
    if task not in TASKS:
        raise InvalidValue(f"unknown task {task!r}; there are {', '.join(sorted(TASKS))}", field="task")
    if task == "sweep":
        arguments["settings"] = settings
    elif task == "cleanup_cancelled_notifications":
        arguments.setdefault("days_old", settings.cancelled_retention_days)
    elif task == "delete_old_notifications":
        arguments.setdefault("days_old", settings.retention_days)
    async with await connect(settings, name="task") as connection:
        return await _run(connection, task, arguments)


async def _run(connection: AsyncConnection[Any], task: str, arguments: dict[str, Any]) -> Statistics:
    started = time.monotonic()
    try:
        done = await TASKS[task](connection, **arguments)
    except TypeError as error:
        raise InvalidValue(f"{task}: {error}", field="arguments") from error
    # A sweep that only set alarm clocks is no event.
    level = log.info if any(count for what, count in done.items() if what != "planned") else log.debug
    level("task done", task=task, seconds=round(time.monotonic() - started, 3), **done)
    return done


def make_app(settings: Settings) -> App:
    """The app with all tasks; its connections see notify_jobs and nothing else."""

    async def prepare(connection: AsyncConnection[Any]) -> None:
        await connection.set_autocommit(True)
        await configure(connection, settings)
        await connection.execute(_SEARCH_PATH)

    connector = PsycopgConnector(
        conninfo=conninfo(settings, name="jobs"),
        min_size=1,
        max_size=4,
        timeout=settings.connect_timeout,
        configure=prepare,
    )
    app = App(connector=connector)
    _add_dispatch(app)
    _add_periodic(app, settings)
    return app


def _runtime(context: JobContext) -> Runtime:
    runtime: Runtime = context.additional_context["runtime"]
    return runtime


def _add_dispatch(app: App) -> None:
    @app.task(name="notify.dispatch", queue=DISPATCH_QUEUE, pass_context=True)
    async def dispatch(context: JobContext, second: str) -> None:
        """Something is due at `second`. Holds no slot: wakes the ticker, or drains where that is dead."""
        runtime = _runtime(context)
        if runtime.ticker.alive:
            runtime.ticker.wake()
            return
        async with runtime.pool.connection() as connection:
            done = await _drain_in_turn(connection, runtime)
            # What is due within this second but not yet has no alarm clock of its own.
            await upkeep.plan(connection)
        log.info("drained by job", second=second, sent=done.sent, sending=done.sending, expired=done.expired)


async def _drain_in_turn(connection: AsyncConnection[Any], runtime: Runtime) -> Pass:
    """Drain; while others do, they may not see what this job was made for, so it tries again for a while."""
    pauses = iter(_TURNS)
    while True:
        done = await drain_all(connection, runtime.ticker.quarantine, max_rows=runtime.settings.drain_chunk)
        pause = next(pauses, None)
        if pause is None or not done.crowded:
            return done
        await asyncio.sleep(pause)


def _add_periodic(app: App, settings: Settings) -> None:
    every = f"* * * * * */{round(settings.sweep_seconds)}"

    @app.periodic(cron=every)
    @app.task(name="notify.sweep", queue=TASKS_QUEUE, queueing_lock="notify.sweep", pass_context=True)
    async def sweep(context: JobContext, timestamp: int) -> None:
        await _runtime(context).sweep()

    @app.periodic(cron="*/5 * * * *")
    @app.task(name="notify.retry_failed_notifications", queue=TASKS_QUEUE, pass_context=True)
    async def retry_failed_notifications(context: JobContext, timestamp: int) -> None:
        await _runtime(context).run("retry_failed_notifications")

    @app.periodic(cron="0 3 * * *")
    @app.task(name="notify.cleanup_cancelled_notifications", queue=TASKS_QUEUE, pass_context=True)
    async def cleanup_cancelled_notifications(context: JobContext, timestamp: int) -> None:
        days = settings.cancelled_retention_days
        await _runtime(context).run("cleanup_cancelled_notifications", days_old=days)

    @app.periodic(cron="30 3 * * *")
    @app.task(name="notify.delete_old_notifications", queue=TASKS_QUEUE, pass_context=True)
    async def delete_old_notifications(context: JobContext, timestamp: int) -> None:
        await _runtime(context).run("delete_old_notifications", days_old=settings.retention_days)
