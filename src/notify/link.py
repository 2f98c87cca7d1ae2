"""The connection that a client keeps for itself: opened by the first call, opened again after it was lost.

Calls over one link run one after another. What is certain is repeated: a session found to have ended while it was
idle is replaced before anything is sent; a call that was under way when its session ended is repeated only where that
cannot be told from running it once: it only reads, or has an idempotency key.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from typing import Any, Final, TypeVar
from weakref import WeakSet

import psycopg
from psycopg import AsyncConnection, Connection

from notify.calls import Call, perform, perform_sync
from notify.config import Settings
from notify.errors import Unavailable
from notify.postgres.connection import connect, connect_sync

Row = TypeVar("Row")
Result = TypeVar("Result")

_READS: Final = frozenset({"schedule_status", "pending_notifications"})


class Link:
    """For several threads. A forked process gets a session of its own and leaves its parent's alone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: Connection[Any] | None = None
        _links.add(self)

    def perform(self, call: Call[Row, Result]) -> Result:
        """Run a call as a transaction of its own. Raises Unavailable where the database cannot be reached, or was
        lost before it answered."""
        with self._lock:
            for last in (not _repeatable(call), True):
                try:
                    return perform_sync(self._open(), call)
                except psycopg.OperationalError as error:
                    if last or not self._lost():
                        raise Unavailable("the database is out of reach") from error
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the session when the calls before have ended; a later call opens another."""
        with self._lock:
            self._drop()

    def forget(self) -> None:
        """In a forked child: the session is the parent's, which closing it would end."""
        _inherited.append(self._connection)
        self._lock = threading.Lock()
        self._connection = None

    def _open(self) -> Connection[Any]:
        if self._connection is not None and _ended(self._connection):
            self._drop()
        if self._connection is None:
            self._connection = connect_sync(self._settings, name="client")
        return self._connection

    def _lost(self) -> bool:
        return self._connection is not None and self._connection.closed

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Session:
    """What belongs to one event loop."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.connection: AsyncConnection[Any] | None = None

    def lost(self) -> bool:
        return self.connection is not None and self.connection.closed

    async def drop(self) -> None:
        if self.connection is not None:
            await self.connection.close()
            self.connection = None


class AsyncLink:
    """For several tasks, each event loop with a session of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}
        _links.add(self)

    async def perform(self, call: Call[Row, Result]) -> Result:
        """As `Link.perform`."""
        session = self._session()
        async with session.lock:
            for last in (not _repeatable(call), True):
                try:
                    return await perform(await self._open(session), call)
                except psycopg.OperationalError as error:
                    if last or not session.lost():
                        raise Unavailable("the database is out of reach") from error
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Close the session of this event loop when the calls before have ended, and those of loops that ended."""
        self._drop_ended()
        session = self._sessions.get(asyncio.get_running_loop())
        if session is not None:
            async with session.lock:
                await session.drop()

    def forget(self) -> None:
        """As `Link.forget`."""
        _inherited.extend(session.connection for session in self._sessions.values())
        self._sessions = {}

    def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            self._drop_ended()
            self._sessions[loop] = _Session()
        return self._sessions[loop]

    def _drop_ended(self) -> None:
        for loop in [loop for loop in list(self._sessions) if loop.is_closed()]:
            session = self._sessions.pop(loop, None)
            if session is not None and session.connection is not None:
                session.connection.pgconn.finish()  # there is no loop left to close it in

    async def _open(self, session: _Session) -> AsyncConnection[Any]:
        if session.connection is not None and _ended(session.connection):
            await session.drop()
        if session.connection is None:
            session.connection = await connect(self._settings, name="client")
        return session.connection


_links: WeakSet[Link | AsyncLink] = WeakSet()
# Kept alive, as psycopg warns of connections that are deleted while they are open.
_inherited: list[object] = []


def _forget() -> None:
    for link in _links:
        link.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _repeatable(call: Call[Any, Any]) -> bool:
    return call.statement in _READS or call.parameters.get("idempotency_key") is not None


def _ended(connection: Connection[Any] | AsyncConnection[Any]) -> bool:
    """Whether an idle session has ended. The server says nothing to an idle session but that it ends it; should it
    say something else one day, we only connect once too often."""
    if connection.closed:
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))
