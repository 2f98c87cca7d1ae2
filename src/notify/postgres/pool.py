"""The pool of a long-lived process, and the single connections from `connection`, in one place to import.

Only the server parts need `psycopg_pool`; the client imports `notify.postgres.connection` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from psycopg_pool import AsyncConnectionPool

from notify.config import Settings
from notify.postgres.bounded import AsyncBoundedConnection
from notify.postgres.connection import configure, connect, connect_sync, conninfo

__all__ = ["Pool", "checker", "configure", "connect", "connect_sync", "conninfo", "open_pool", "resilience"]

Pool = AsyncConnectionPool[AsyncBoundedConnection]

# Beyond so many callers in line for each connection, waiting is hopeless: they get TooManyRequests at once.
_WAITING_PER_CONNECTION = 100


async def open_pool(settings: Settings, *, name: str, wait: bool = True) -> Pool:
    """Open a pool of configured autocommit connections, `pool_min` to `pool_max`; the caller closes it.

    `wait` makes sure that the database answers: otherwise raises psycopg_pool.PoolTimeout after
    `connect_timeout`. Each connection is checked when handed out, so that a restarted server costs nobody
    an error (`checker`). A caller waits for one
    at most `connect_timeout` (PoolTimeout).
    """

    async def prepare(connection: AsyncBoundedConnection) -> None:
        await configure(connection, settings)

    pool: Pool = AsyncConnectionPool(
        conninfo(settings, name=name),
        kwargs={"autocommit": True},
        min_size=settings.pool_min,
        max_size=settings.pool_max,
        max_waiting=_WAITING_PER_CONNECTION * settings.pool_max,
        timeout=settings.connect_timeout,
        configure=prepare,
        check=checker(settings),
        name=name,
        open=False,
        **resilience(settings),
    )
    await pool.open(wait=wait, timeout=settings.connect_timeout)
    return pool


def checker(settings: Settings) -> Callable[[AsyncBoundedConnection], Awaitable[None]]:
    """What a pool asks of a connection before it hands it out: an exchange, or right after one a look at the socket."""

    async def check(connection: AsyncBoundedConnection) -> None:
        if connection.just_answered:
            return
        with connection.limit.of(settings.connect_timeout):
            await connection.execute("")

    return check


def resilience(settings: Settings) -> dict[str, Any]:
    """What every pool of ours is told, so that it comes through outages of any length.

    A pool's pauses between tries to connect double for as long as `reconnect_timeout`, by default to minutes: after a
    long outage it would miss the server's return for as long. Whoever asks for a connection begins anew.
    """
    return {"connection_class": AsyncBoundedConnection, "reconnect_timeout": settings.connect_timeout}
