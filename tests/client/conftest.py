"""A database shared by the module, with ada and bob registered, and either client on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pytest_postgresql.executors import NoopExecutor

from client.either import KINDS, Either
from helpers.rows import Db, add_recipients
from notify.postgres.connection import connect_sync
from notify.postgres.embedded import Embedded


@pytest.fixture(scope="module")
def shared_dsn(server: Embedded, template: NoopExecutor) -> Iterator[str]:
    """A migrated database for the whole module."""
    name = sql.Identifier("client")
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template {}").format(name, sql.Identifier(template.template_dbname)))
        yield server.dsn("client")
        admin.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture(scope="module")
def shared(shared_dsn: str) -> Iterator[Db]:
    """An autocommit connection of the module, to look at what was stored."""
    with connect_sync(shared_dsn, name="shared") as connection:
        add_recipients(connection, "ada", "bob")
        yield connection


@pytest.fixture(params=KINDS)
async def client(request: Any, shared_dsn: str, shared: Db) -> AsyncIterator[Either]:
    """Each client in turn, on a connection of its own to the module's database."""
    either = Either(request.param, shared_dsn)
    yield either
    await either.close()
