"""For tests of one session: a database shared by the module, each test in a transaction that is undone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql
from pytest_postgresql.executors import NoopExecutor

from helpers.rows import Db, add_recipients
from notify.postgres.connection import connect_sync
from notify.postgres.embedded import Embedded


@pytest.fixture(scope="module")
def shared_dsn(server: Embedded, template: NoopExecutor) -> Iterator[str]:
    """A migrated database for the whole module."""
    name = sql.Identifier("shared")
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template {}").format(name, sql.Identifier(template.template_dbname)))
        yield server.dsn("shared")
        admin.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture(scope="module")
def shared(shared_dsn: str) -> Iterator[Db]:
    """The module's connection; recipients ada and bob are registered."""
    with connect_sync(shared_dsn, name="shared") as connection:
        add_recipients(connection, "ada", "bob")
        yield connection


@pytest.fixture
def tx(shared: Db) -> Iterator[Db]:
    """The module's connection in a transaction that is rolled back after the test."""
    with shared.transaction(force_rollback=True):
        yield shared


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Threads for what waits for a lock; `lock_timeout` bounds how long they may."""
    with ThreadPoolExecutor(4) as pool:
        yield pool
