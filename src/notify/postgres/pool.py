"""The pool of a long-lived process, and the single connections from `connection`, in one place to import.

Only the server parts need `psycopg_pool`; the client imports `notify.postgres.connection` alone.
"""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from notify.config import Settings
from notify.postgres.connection import configure, connect, connect_sync, conninfo

__all__ = ["Pool", "configure", "connect", "connect_sync", "conninfo", "open_pool"]

Pool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]

# Beyond so many callers in line for each connection, waiting is hopeless: they get TooManyRequests at once.
_WAITING_PER_CONNECTION = 100


async def open_pool(settings: Settings, *, name: str, wait: bool = True) -> Pool:
    """Open a pool of configured autocommit connections, `pool_min` to `pool_max`; the caller closes it.

    `wait` makes sure that the database answers: otherwise raises psycopg_pool.PoolTimeout after
    `connect_timeout`. Each connection is checked when handed out, so that a restarted server costs nobody
    an error; a caller waits for one at most `connect_timeout` (PoolTimeout).
    """

    async def prepare(connection: AsyncConnection[tuple[Any, ...]]) -> None:
        await configure(connection, settings)

    pool: Pool = AsyncConnectionPool(
        conninfo(settings, name=name),
        kwargs={"autocommit": True},
        min_size=settings.pool_min,
        max_size=settings.pool_max,
        max_waiting=_WAITING_PER_CONNECTION * settings.pool_max,
        timeout=settings.connect_timeout,
        configure=prepare,
        check=AsyncConnectionPool.check_connection,
        name=name,
        open=False,
    )
    await pool.open(wait=wait, timeout=settings.connect_timeout)
    return pool
