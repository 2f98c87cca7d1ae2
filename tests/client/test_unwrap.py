"""What `connection=` takes and what it refuses, by a ValueError that names `connection`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import transaction  # type: ignore[import-untyped]
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from client.callers import django_connection, sqlalchemy_url
from client.either import Either
from helpers.rows import Db, stored
from notify import InvalidValue


async def _refused(client: Either, connection: Any, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason) as caught:
        await client.schedule_notification(["ada"], "T", "M", connection=connection)
    assert caught.value.field == "connection"


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What a test opens is closed after it."""
    with ExitStack() as stack:
        yield stack


async def test_autocommit_is_refused(shared_dsn: str, shared: Db, opened: ExitStack) -> None:
    client = Either("sync")
    engine = create_engine(sqlalchemy_url(shared_dsn), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    session = opened.enter_context(Session(engine))
    for connection in (
        opened.enter_context(psycopg.connect(shared_dsn, autocommit=True)),
        opened.enter_context(django_connection(shared_dsn)),
        opened.enter_context(engine.connect()),
        session,
    ):
        await _refused(client, connection, "autocommit")
    assert stored(shared) == (0, 0, 0)


async def test_autocommit_is_refused_by_the_async_client(shared_dsn: str, shared: Db) -> None:
    client = Either("async")
    engine = create_async_engine(sqlalchemy_url(shared_dsn), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with (
        await psycopg.AsyncConnection.connect(shared_dsn, autocommit=True) as plain,
        engine.connect() as connection,
        AsyncSession(engine) as session,
    ):
        for given in (plain, connection, session):
            await _refused(client, given, "autocommit")
    assert stored(shared) == (0, 0, 0)


async def test_a_refused_connection_is_not_begun(shared_dsn: str, opened: ExitStack) -> None:
    engine = create_engine(sqlalchemy_url(shared_dsn), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    connection = opened.enter_context(engine.connect())
    await _refused(Either("sync"), connection, "autocommit")
    assert not connection.in_transaction()


async def test_wrong_objects_are_refused(shared_dsn: str, opened: ExitStack) -> None:
    engine = create_engine(sqlalchemy_url(shared_dsn), poolclass=NullPool)
    async_engine = create_async_engine(sqlalchemy_url(shared_dsn), poolclass=NullPool)
    async with (
        await psycopg.AsyncConnection.connect(shared_dsn) as other,
        async_engine.connect() as async_connection,
        AsyncSession(async_engine) as session,
    ):
        plain = opened.enter_context(psycopg.connect(shared_dsn))
        either = [shared_dsn, 7, object(), engine, async_engine, SimpleNamespace(connection=lambda: plain)]
        classes = [psycopg.Connection, Session, AsyncSession, scoped_session(sessionmaker(engine)).registry]
        of_async = [other, other.cursor(), async_connection, session]
        of_sync = [plain, plain.cursor(), opened.enter_context(engine.connect()), Session(engine)]
        for given in (*either, *classes, *of_async):
            await _refused(Either("sync"), given, "must be or wrap a psycopg connection, not ")
        for given in (*either, *classes, *of_sync):
            await _refused(Either("async"), given, "must be or wrap an async psycopg connection, not ")


async def test_a_closed_connection_is_refused(shared_dsn: str) -> None:
    connection = psycopg.connect(shared_dsn)
    connection.close()
    await _refused(Either("sync"), connection, "closed")
    other = await psycopg.AsyncConnection.connect(shared_dsn)
    await other.close()
    await _refused(Either("async"), other, "closed")


async def test_a_scoped_session_is_a_session(shared_dsn: str, shared: Db) -> None:
    sessions = scoped_session(sessionmaker(create_engine(sqlalchemy_url(shared_dsn), poolclass=NullPool)))
    client = Either("sync", connection=sessions)
    assert await client.schedule_notification(["ada"], "T", "M")
    sessions.rollback()
    sessions.remove()
    assert stored(shared) == (0, 0, 0)


async def test_django_says_that_its_transaction_is_broken(shared_dsn: str) -> None:
    client = Either("sync")
    with django_connection(shared_dsn) as connection, transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(transaction.TransactionManagementError):
            await client.schedule_notification(["ada"], "T", "M", connection=connection)


@pytest.mark.usefixtures("shared")
async def test_a_failed_transaction_is_the_callers_to_end(shared_dsn: str, opened: ExitStack) -> None:
    connection = opened.enter_context(psycopg.connect(shared_dsn))
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("select 1 / 0")
    client = Either("sync", connection=connection)
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        await client.schedule_notification(["ada"], "T", "M")
    connection.rollback()
    assert await client.schedule_notification(["ada"], "T", "M")
    connection.rollback()
