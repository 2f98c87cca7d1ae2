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
    if isinstance(given, Connection):
        return _in_transaction(given)
    if inspect.isclass(given) or _of_async(given):
        raise _refusal(given, "a psycopg connection")
    if hasattr(given, "ensure_connection"):  # Django's, which connects when it is first used
        given.ensure_connection()
        given.validate_no_broken_transaction()
        found = given.connection
    else:
        given = _of_session(given)
        found = getattr(getattr(given, "connection", None), "driver_connection", None)
    if not isinstance(found, Connection):
        raise _refusal(given, "a psycopg connection")
    _in_transaction(found)
    # SQLAlchemy commits only what it has begun, and what we do it does not see.
    if hasattr(given, "in_transaction") and not given.in_transaction():
        given.begin()
    return found


async def unwrap_async(given: Any) -> AsyncConnection[Any]:
    """As `unwrap`, for an async psycopg connection, or SQLAlchemy's AsyncConnection or AsyncSession."""
    if isinstance(given, AsyncConnection):
        return _in_transaction(given)
    found = None
    if not inspect.isclass(given):
        if _of_async(given) and not hasattr(given, "get_raw_connection"):  # AsyncSession
            given = await given.connection()
        if inspect.iscoroutinefunction(getattr(given, "get_raw_connection", None)):
            found = getattr(await given.get_raw_connection(), "driver_connection", None)
    if not isinstance(found, AsyncConnection):
        raise _refusal(given, "an async psycopg connection")
    _in_transaction(found)
    if not given.in_transaction():
        await given.begin()
    return found


def _of_session(given: Any) -> Any:
    """The Connection of a SQLAlchemy Session, else what was given."""
    method = getattr(given, "connection", None)
    return method() if method is not None and inspect.ismethod(method) and hasattr(given, "flush") else given


def _of_async(given: Any) -> bool:
    """Whether it is SQLAlchemy's AsyncConnection or AsyncSession; of the first, `connection` cannot even be read."""
    return any(
        inspect.iscoroutinefunction(getattr(type(given), name, None)) for name in ("get_raw_connection", "connection")
    )


C = TypeVar("C", bound=Connection[Any] | AsyncConnection[Any])


def _in_transaction(connection: C) -> C:
    if connection.closed and not connection.broken:
        raise InvalidValue("the connection is closed", field="connection")
    if connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
        raise InvalidValue(
            "the connection is in autocommit mode: begin a transaction first, or leave connection= away",
            field="connection",
        )
    return connection


def _refusal(given: Any, wanted: str) -> InvalidValue:
    kind = given if inspect.isclass(given) else type(given)
    return InvalidValue(
        f"connection must be or wrap {wanted}, not {kind.__module__}.{kind.__qualname__}", field="connection"
    )
