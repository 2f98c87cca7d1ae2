"""Transactions as applications have them: psycopg's, Django's and SQLAlchemy's, sync and async, behind one face."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import patch

import django  # type: ignore[import-untyped]
import psycopg
from django.conf import settings as django_settings  # type: ignore[import-untyped]
from django.db import connections, transaction  # type: ignore[import-untyped]
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from client.either import Kind


class Undone(Exception):
    """Raised by a test inside a caller's transaction, to have it rolled back."""


Caller = Callable[[str], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def psycopg_sync(dsn: str) -> AsyncIterator[Any]:
    with psycopg.connect(dsn) as connection:
        yield connection


@asynccontextmanager
async def psycopg_autocommit(dsn: str) -> AsyncIterator[Any]:
    with psycopg.connect(dsn, autocommit=True) as connection, connection.transaction():
        yield connection


@asynccontextmanager
async def psycopg_begun(dsn: str) -> AsyncIterator[Any]:
    """A transaction that the caller opens and ends in SQL."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("begin")
        yield connection
        connection.execute("commit")


@asynccontextmanager
async def psycopg_async(dsn: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        yield connection


@asynccontextmanager
async def psycopg_async_autocommit(dsn: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection, connection.transaction():
        yield connection


@asynccontextmanager
async def django_atomic(dsn: str) -> AsyncIterator[Any]:
    with django_connection(dsn) as connection, transaction.atomic(using="default"):
        yield connection


@asynccontextmanager
async def sqlalchemy_begin(dsn: str) -> AsyncIterator[Any]:
    with create_engine(sqlalchemy_url(dsn), poolclass=NullPool).begin() as connection:
        yield connection


@asynccontextmanager
async def sqlalchemy_connect(dsn: str) -> AsyncIterator[Any]:
    """As SQLAlchemy's own documentation does it: begun by the first use, committed by the caller."""
    with create_engine(sqlalchemy_url(dsn), poolclass=NullPool).connect() as connection:
        yield connection
        connection.commit()


@asynccontextmanager
async def sqlalchemy_session(dsn: str) -> AsyncIterator[Any]:
    with Session(create_engine(sqlalchemy_url(dsn), poolclass=NullPool)) as session:
        yield session
        session.commit()


@asynccontextmanager
async def sqlalchemy_async_begin(dsn: str) -> AsyncIterator[Any]:
    async with create_async_engine(sqlalchemy_url(dsn), poolclass=NullPool).begin() as connection:
        yield connection


@asynccontextmanager
async def sqlalchemy_async_connect(dsn: str) -> AsyncIterator[Any]:
    async with create_async_engine(sqlalchemy_url(dsn), poolclass=NullPool).connect() as connection:
        yield connection
        await connection.commit()


@asynccontextmanager
async def sqlalchemy_async_session(dsn: str) -> AsyncIterator[Any]:
    async with AsyncSession(create_async_engine(sqlalchemy_url(dsn), poolclass=NullPool)) as session:
        yield session
        await session.commit()


CALLERS: list[tuple[Kind, Caller]] = [
    ("sync", psycopg_sync),
    ("sync", psycopg_autocommit),
    ("sync", psycopg_begun),
    ("sync", django_atomic),
    ("sync", sqlalchemy_begin),
    ("sync", sqlalchemy_connect),
    ("sync", sqlalchemy_session),
    ("async", psycopg_async),
    ("async", psycopg_async_autocommit),
    ("async", sqlalchemy_async_begin),
    ("async", sqlalchemy_async_connect),
    ("async", sqlalchemy_async_session),
]


def sqlalchemy_url(dsn: str) -> URL:
    """The same database as SQLAlchemy names it."""
    given = conninfo_to_dict(dsn)
    return URL.create(
        "postgresql+psycopg",
        username=str(given["user"]),
        database=str(given["dbname"]),
        query={"host": str(given["host"]), "port": str(given["port"])},
    )


@contextmanager
def django_connection(dsn: str) -> Iterator[Any]:
    """`django.db.connection` of a process without a project, to this database."""
    given = conninfo_to_dict(dsn)
    if not django_settings.configured:
        django_settings.configure(DATABASES={"default": {}}, USE_TZ=True, TIME_ZONE="Asia/Kolkata")
        django.setup()
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": given["dbname"],
        "USER": given["user"],
        "HOST": given["host"],
        "PORT": str(given["port"]),
    }
    connections.settings["default"] = connections.configure_settings({"default": database})["default"]
    if hasattr(connections._connections, "default"):
        del connections["default"]
    # Django refuses to work in a thread with an event loop, where the tests of both clients run.
    with patch.dict(os.environ, DJANGO_ALLOW_ASYNC_UNSAFE="true"):
        connection = connections["default"]
        try:
            yield connection
        finally:
            connection.close()
