"""Looks at the database that are bounded in time and shared: probes may come as often as they like."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection

from notify.errors import NotifyError
from notify.postgres.pool import Pool
from notify.postgres.queries import one

T = TypeVar("T")

log = structlog.get_logger("notify.http")

_PATIENCE = 1.0
_READY_SECONDS = 1.0
_BACKLOG_SECONDS = 5.0


class Backlog(msgspec.Struct, frozen=True):
    """What is pending though due: how many (10,000 at most are counted), and how late the oldest is, in seconds."""

    count: int
    oldest_seconds: float


class Cached(Generic[T]):
    """One look at a time, its result kept for a while. Who asks waits a second at most; then the look goes on
    alone, since cancelling a statement on a frozen link takes as long as the statement."""

    def __init__(self, look: Callable[[], Awaitable[T]], keep: float) -> None:
        self._look = look
        self._keep = keep
        self._until = 0.0
        self._value: T | None = None
        self._task: asyncio.Task[None] | None = None

    async def get(self) -> T | None:
        """The newest result; None if the look failed or takes too long."""
        if time.monotonic() < self._until:
            return self._value
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        task = self._task
        await asyncio.wait({task}, timeout=_PATIENCE)
        return self._value if task.done() else None

    async def _run(self) -> None:
        self._value = None
        try:
            self._value = await self._look()
        except (psycopg.Error, NotifyError) as error:
            log.warning("database_look_failed", error=type(error).__name__)
        finally:
            self._until = time.monotonic() + self._keep
            self._task = None

    async def close(self) -> None:
        """End a look that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})


class Readiness:
    """Whether the database answers, and what is overdue in it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.database = Cached(self._touch, _READY_SECONDS)
        self.backlog = Cached(self._measure, _BACKLOG_SECONDS)

    async def close(self) -> None:
        """End what is under way, before the pool closes."""
        await self.database.close()
        await self.backlog.close()

    async def _touch(self) -> bool:
        async with self._pool.connection():  # the pool tries each connection that it hands out
            return True

    async def _measure(self) -> Backlog:
        async with self._pool.connection() as connection:
            return await measure_backlog(connection)


async def measure_backlog(connection: AsyncConnection[Any]) -> Backlog:
    """What is overdue now."""
    return await one(connection, "measure_backlog", Backlog)
