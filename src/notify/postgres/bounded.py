"""Connections on which no exchange lasts for ever.

A link may be frozen while both of its ends stand: behind a proxy, a load balancer or a stopped server nothing is lost,
so neither keepalives nor `tcp_user_timeout` notice anything, and a statement would wait for its answer without end. The
server answers each statement within `statement_timeout`, if only with an error; whoever hears nothing for longer than
that gives the connection up.
"""

from __future__ import annotations

import select
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection, Notify
from psycopg.abc import PQGen

Result = TypeVar("Result")
Values = tuple[Any, ...]

_INTERVAL = 0.1
# Tasks are cancelled at once; psycopg's own 0.1 s would only wake an idle process, ten times a second a connection.
_ASYNC_INTERVAL = 10.0
# Until the connection is configured, and so has a statement_timeout.
_FIRST_SECONDS = 10.0
_FOR_EVER = 1e9
# So soon after an answer a link that froze meanwhile is not worth a question of its own.
_FRESH_SECONDS = 1.0


class _Limit:
    """How long an exchange may take, in seconds; None: without end."""

    def __init__(self) -> None:
        self.seconds: float | None = _FIRST_SECONDS

    @contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        """Another limit inside the block."""
        before, self.seconds = self.seconds, seconds
        try:
            yield
        finally:
            self.seconds = before


class BoundedConnection(Connection[Values]):
    """Raises OperationalError, and is closed, when the server has not answered within `limit`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.limit = _Limit()

    def wait(self, gen: PQGen[Result], interval: float = _INTERVAL, timeout: float | None = None) -> Result:
        """As psycopg's, for no longer than the limit where no timeout is given."""
        if timeout is not None or self.limit.seconds is None:
            return super().wait(gen, interval, timeout)
        ends = time.monotonic() + self.limit.seconds
        try:
            return super().wait(gen, interval, self.limit.seconds)
        except psycopg.OperationalError as error:
            _give_up(self, ends, error)
            raise


class AsyncBoundedConnection(AsyncConnection[Values]):
    """As BoundedConnection, for asyncio."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.limit = _Limit()
        self._answered_at = 0.0

    @property
    def just_answered(self) -> bool:
        """Whether the server has answered a moment ago, and has not hung up since, as far as this end knows."""
        if time.monotonic() - self._answered_at > _FRESH_SECONDS:
            return False
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return not poll.poll(0)  # an end of the stream can be read too

    async def wait(self, gen: PQGen[Result], interval: float = _ASYNC_INTERVAL, timeout: float | None = None) -> Result:
        """As BoundedConnection.wait."""
        if timeout is not None or self.limit.seconds is None:
            return await super().wait(gen, interval, timeout)
        ends = time.monotonic() + self.limit.seconds
        try:
            result = await super().wait(gen, interval, self.limit.seconds)
        except psycopg.OperationalError as error:
            _give_up(self, ends, error)
            raise
        self._answered_at = time.monotonic()
        return result

    def notifies(self, *, timeout: float | None = None, stop_after: int | None = None) -> AsyncGenerator[Notify]:
        """As psycopg's: what is waited for here is no answer, so nothing bounds it."""
        return super().notifies(timeout=_FOR_EVER if timeout is None else timeout, stop_after=stop_after)


def _give_up(connection: Connection[Any] | AsyncConnection[Any], ends: float, error: Exception) -> None:
    """Close a connection whose time is over: what it was asked may still come, as the answer to the next question."""
    if time.monotonic() >= ends:
        connection.pgconn.finish()
        raise psycopg.OperationalError("the server does not answer: connection closed") from error
