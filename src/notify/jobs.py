"""The Procrastinate app: dispatch jobs and the periodic tasks, each a few lines around what does the work.

Jobs are alarm clocks and carry no truth: one that is lost, doubled, late or stuck changes nothing that the ticker
and the sweep do not also see to. Procrastinate's tables live in the schema notify_jobs.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog
from procrastinate import App, JobContext, PsycopgConnector
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from notify import upkeep
from notify.config import Settings
from notify.dispatch import Ticker
from notify.errors import InvalidValue
from notify.faults import Quarantine
from notify.outside import Outside
from notify.postgres.bounded import AsyncBoundedConnection
from notify.postgres.pool import Pool, checker, configure, connect, conninfo, resilience
from notify.upkeep import Statistics

log = structlog.get_logger("notify.jobs")

DISPATCH_QUEUE = "notify_dispatch"
TASKS_QUEUE = "notify_tasks"
_STATEMENT_SECONDS = 10.0
_SEARCH_PATH = "select set_config('search_path', 'notify_jobs', false)"


class Task(msgspec.Struct, frozen=True):
    """What does the work of a task, and what it may be told."""

    run: Callable[..., Awaitable[Statistics]]
    options: Mapping[str, str | None] = {}
    """Its arguments, each with the setting that it is taken from when it is not given."""
    drains: bool = False
    """Whether it is handed the settings and the quarantine of the process."""


# By the names that `notify run` takes.
TASKS: Mapping[str, Task] = {
    "dispatch": Task(upkeep.dispatch, drains=True),
    "sweep": Task(upkeep.sweep, drains=True),
    "retry_failed_notifications": Task(upkeep.retry_failed_notifications, {"limit": None}),
    "cleanup_cancelled_notifications": Task(
        upkeep.cleanup_cancelled_notifications, {"days_old": "cancelled_retention_days"}
    ),
    "delete_old_notifications": Task(upkeep.delete_old_notifications, {"days_old": "retention_days"}),
}


class Runtime:
    """What tasks need of the process they run in."""

    def __init__(self, settings: Settings, pool: Pool, ticker: Ticker, outside: Outside) -> None:
        self.settings = settings
        self.pool = pool
        self.ticker = ticker
        self.outside = outside
        self.swept_at = -math.inf
        self._sweeping = asyncio.Lock()

    async def sweep(self) -> None:
        """Sweep, unless this process has just done so: the ticker and the periodic job both ask for it."""
        async with self._sweeping:
            started = time.monotonic()
            if started - self.swept_at < self.settings.sweep_seconds / 2:
                return
            await self.run("sweep", often=True)
            self.swept_at = started

    async def run(self, task: str, *, often: bool = False) -> Statistics:
        """Run one of TASKS on a connection of the pool, and log what it did; nothing is no event if it runs often."""
        async with self.pool.connection() as connection:
            done = await _run(connection, self.settings, task, {}, self.ticker.quarantine, often=often)
        if TASKS[task].drains:
            self.outside.wake()
        return done


async def run_task(settings: Settings, task: str, /, **arguments: Any) -> Statistics:
    """Run one of TASKS by hand, on a connection of its own. Raises InvalidValue for an unknown task or argument, or
    a value that cannot be."""
    if task not in TASKS:
        raise InvalidValue(f"unknown task {task!r}; there are {', '.join(sorted(TASKS))}", field="task")
    options = TASKS[task].options
    for name in arguments.keys() - options.keys():
        raise InvalidValue(f"{task} takes {', '.join(options) or 'no arguments'}, not {name}", field=name)
    async with await connect(settings, name="task") as connection:
        return await _run(connection, settings, task, arguments)


async def _run(
    connection: AsyncConnection[Any],
    settings: Settings,
    task: str,
    arguments: Mapping[str, Any],
    quarantine: Quarantine | None = None,
    *,
    often: bool = False,
) -> Statistics:
    started = time.monotonic()
    chosen = TASKS[task]
    told = {name: getattr(settings, source) for name, source in chosen.options.items() if source} | dict(arguments)
    if chosen.drains:
        told |= {"settings": settings, "quarantine": quarantine}
    done = await chosen.run(connection, **told)
    # A sweep that only set alarm clocks is no event.
    quiet = often and not any(count for what, count in done.items() if what != "planned")
    level = log.debug if quiet else log.info
    level("task done", task=task, seconds=round(time.monotonic() - started, 3), **done)
    return done


def make_app(settings: Settings) -> App:
    """The app with all tasks; its connections see notify_jobs and nothing else."""

    # Each of its statements is short; one that takes long waits for a link that is frozen.
    timeout = min(settings.statement_timeout or _STATEMENT_SECONDS, _STATEMENT_SECONDS)
    settings = msgspec.structs.replace(settings, statement_timeout=timeout)

    async def prepare(connection: AsyncBoundedConnection) -> None:
        await connection.set_autocommit(True)
        await configure(connection, settings)
        await connection.execute(_SEARCH_PATH)

    def make_pool(**options: Any) -> AsyncConnectionPool[Any]:
        # Its own check is a question to the server at each look for jobs, twice a second and mostly for nothing.
        return AsyncConnectionPool(**{**options, "check": checker(settings)})

    connector = PsycopgConnector(
        pool_factory=make_pool,
        conninfo=conninfo(settings, name="jobs"),
        min_size=1,
        max_size=4,
        timeout=settings.connect_timeout,
        configure=prepare,
        **resilience(settings),
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
        await runtime.run("dispatch", often=True)

    @app.task(name="notify.deliver", queue=DISPATCH_QUEUE, pass_context=True)
    async def deliver(context: JobContext, second: str) -> None:
        """A delivery on an outside channel is due at `second`. Holds no slot: wakes the couriers."""
        _runtime(context).outside.wake()


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
        await _runtime(context).run("cleanup_cancelled_notifications")

    @app.periodic(cron="30 3 * * *")
    @app.task(name="notify.delete_old_notifications", queue=TASKS_QUEUE, pass_context=True)
    async def delete_old_notifications(context: JobContext, timestamp: int) -> None:
        await _runtime(context).run("delete_old_notifications")
