"""The psycopg connection inside what an application hands over: its own, Django's or SQLAlchemy's."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus

from notify.errors import InvalidValue


def unwrap(given: Any) -> Connection[Any]:
    """The open psycopg connection of a Django connection, a SQLAlchemy Connection or Session, or itself.

    Raises InvalidValue for anything else, and for autocommit outside a transaction: there a call would commit at
    once, while its caller believes that it can still roll back.
    """
    found = _follow(given)
    if not isinstance(found, Connection):
        raise InvalidValue(f"connection must be or wrap a psycopg connection, not {_name(given)}", field="connection")
    return _in_transaction(found)


async def unwrap_async(given: Any) -> AsyncConnection[Any]:
    """As `unwrap`, for an async psycopg connection, or SQLAlchemy's AsyncConnection or AsyncSession."""
    found = given
    if not isinstance(found, AsyncConnection):
        for step in ("connection", "get_raw_connection"):
            method = getattr(found, step, None)
            if inspect.iscoroutinefunction(method):
                found = await method()
        found = getattr(found, "driver_connection", found)
    if not isinstance(found, AsyncConnection):
        raise InvalidValue(
            f"connection must be or wrap an async psycopg connection, not {_name(given)}", field="connection"
        )
    return _in_transaction(found)


def _follow(given: Any) -> Any:
    if isinstance(given, Connection):
        return given
    if hasattr(given, "ensure_connection"):  # Django's, which connects when it is first used
        given.ensure_connection()
        return given.connection
    if callable(getattr(given, "connection", None)):  # SQLAlchemy's Session
        given = given.connection()
    return getattr(getattr(given, "connection", given), "driver_connection", given)


C = TypeVar("C", bound=Connection[Any] | AsyncConnection[Any])


def _in_transaction(connection: C) -> C:
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    if connection.autocommit and idle:
        raise InvalidValue(
            "the connection is in autocommit mode: begin a transaction first, or leave connection= away",
            field="connection",
        )
    return connection


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
