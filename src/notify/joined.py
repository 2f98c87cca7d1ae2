"""A call inside the caller's own transaction, on the caller's own connection, neither disturbing the other.

Postgres aborts a whole transaction at its first error, and turns the COMMIT of an aborted one into a rollback without
a word: a caller that catches our ValueError and goes on would lose everything. So each call is in a savepoint: refused,
it is undone alone, and the caller's transaction stands as before.

What the caller's connection was taught (row factories, cursors, how types are read and written) is for the caller's
statements: Django reads jsonb as text, for one. Ours are read and written as psycopg does by default, times in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.postgres import register_default_adapters, types
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from psycopg.types.array import register_all_arrays
from psycopg.types.datetime import TimestamptzLoader

from notify.calls import Call
from notify.errors import Unavailable, from_postgres
from notify.postgres.queries import rows_as, text

Row = TypeVar("Row")
Result = TypeVar("Result")

_SAVE: LiteralString = "savepoint notify_call"
_KEEP: LiteralString = "release savepoint notify_call"
_UNDO: LiteralString = "rollback to savepoint notify_call"
_IN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


def perform_joined_sync(connection: Connection[Any], call: Call[Row, Result]) -> Result:
    """Run a call in the transaction that `connection` has, or now begins. Refused, it leaves no trace in it.

    Raises the NotifyError that a named SQLSTATE stands for, and Unavailable where the connection is lost.
    """
    with _translated(), _SyncCursor(connection, row_factory=tuple_row) as cursor:
        cursor.execute(_SAVE)
        try:
            rows = cursor.execute(text(call.statement), call.parameters).fetchall()
            result = call.shape(rows_as(call.row, cursor, rows))
            cursor.execute(_KEEP)
        except BaseException:
            _undo_sync(connection, cursor)
            raise
        return result


async def perform_joined(connection: AsyncConnection[Any], call: Call[Row, Result]) -> Result:
    """As `perform_joined_sync`; a cancelled task undoes its call too."""
    with _translated():
        async with _AsyncCursor(connection, row_factory=tuple_row) as cursor:
            await cursor.execute(_SAVE)
            try:
                await cursor.execute(text(call.statement), call.parameters)
                result = call.shape(rows_as(call.row, cursor, await cursor.fetchall()))
                await cursor.execute(_KEEP)
            except BaseException:
                await _undo(connection, cursor)
                raise
            return result


def _undo_sync(connection: Connection[Any], cursor: Cursor[Any]) -> None:
    if connection.pgconn.pipeline_status:  # the caller's, in which the server skips all that follows until a sync
        with connection.pipeline() as pipeline:
            pipeline.sync()
    if connection.info.transaction_status in _IN_TRANSACTION:
        cursor.execute(_UNDO)
        cursor.execute(_KEEP)


async def _undo(connection: AsyncConnection[Any], cursor: AsyncCursor[Any]) -> None:
    if connection.pgconn.pipeline_status:
        async with connection.pipeline() as pipeline:
            await pipeline.sync()
    if connection.info.transaction_status in _IN_TRANSACTION:
        await cursor.execute(_UNDO)
        await cursor.execute(_KEEP)


class _UtcLoader(TimestamptzLoader):
    def load(self, data: Buffer) -> datetime:
        return super().load(data).astimezone(UTC)


_ADAPTERS = AdaptersMap(types=types)
register_default_adapters(_ADAPTERS)
register_all_arrays(_ADAPTERS)
_ADAPTERS.register_loader("timestamptz", _UtcLoader)


class _SyncCursor(Cursor[Row]):
    @property
    def adapters(self) -> AdaptersMap:
        return _ADAPTERS


class _AsyncCursor(AsyncCursor[Row]):
    @property
    def adapters(self) -> AdaptersMap:
        return _ADAPTERS


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if (ours := from_postgres(error)) is not None:
            raise ours from error
        if isinstance(error, psycopg.OperationalError):
            raise Unavailable("the database is out of reach") from error
        raise
