"""One embedded server for the session; for each test a fresh, migrated database cloned from a template.

The server does without fsync, as its data does not outlive the session; everything else is as users have it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvloop
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor

from helpers import folders, other_server
from notify.postgres import embedded
from notify.postgres.connection import connect_sync
from notify.postgres.embedded import Embedded
from notify.postgres.migrate import migrate

Db = psycopg.Connection[tuple[Any, ...]]
Connect = Callable[..., Db]

# It measures seconds, and fails where the machine has other things to do as well.
settings.register_profile("patient", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    # A plain kill ends the session as Ctrl-C does: fixtures are torn down and the server is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if other := os.environ.get("TEST_SERVER_BIN"):
        other_server.use(Path(other))


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the processes run in, as it differs from asyncio's own where nobody looks."""
    if item.get_closest_marker("plain_loop"):
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def server() -> Iterator[Embedded]:
    """The session's server; it also listens on 127.0.0.1 at `server.port`, for tests through a proxy."""
    # Not in pytest's own temporary directory, whose mode pytest tightens again under a running server.
    with tempfile.TemporaryDirectory(prefix="notify-tests-", dir=folders.folder()) as folder:
        running = embedded.start(Path(folder), settings={"fsync": "off"}, port=_free_port())
        try:
            yield running
        finally:
            running.stop()


class _Endpoint(NoopExecutor):
    """Where pytest-postgresql finds the server; its template is cloned from the cluster's pristine one."""

    @property
    def template_dbname(self) -> str:
        return "template0"


@pytest.fixture(scope="session")
def endpoint(server: Embedded) -> NoopExecutor:
    return _Endpoint(str(server.socket_dir), server.port, "postgres", "", "postgres")


def _migrate(*, host: str, port: int, user: str, dbname: str, **_: object) -> None:
    migrate(make_conninfo(host=host, port=port, user=user, dbname=dbname))


template = factories.postgresql_noproc(depends_on="endpoint", dbname="test", load=[_migrate])
database = factories.postgresql("template")
bare_template = factories.postgresql_noproc(depends_on="endpoint", dbname="bare", load=[])
bare_database = factories.postgresql("bare_template")


@pytest.fixture
def dsn(server: Embedded, database: Db) -> str:
    """A fresh migrated database, through the unix socket; dropped with its sessions after the test."""
    return server.dsn(database.info.dbname)


@pytest.fixture
def bare_dsn(server: Embedded, bare_database: Db) -> str:
    """A fresh database without anything in it."""
    return server.dsn(bare_database.info.dbname)


@pytest.fixture(scope="module")
def shared_dsn(server: Embedded, template: NoopExecutor) -> Iterator[str]:
    """A migrated database for the whole module."""
    name = sql.Identifier("shared")
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template {}").format(name, sql.Identifier(template.template_dbname)))
        yield server.dsn("shared")
        admin.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture
def connect(dsn: str) -> Iterator[Connect]:
    """Opens configured connections to the test's database, `connect(autocommit=True)`; closed afterwards."""
    opened: list[Db] = []

    def open_one(*, autocommit: bool = True, name: str = "test") -> Db:
        opened.append(connect_sync(dsn, name=name, autocommit=autocommit))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def db(connect: Connect) -> Db:
    """A configured autocommit connection to the test's database."""
    return connect()


@pytest.fixture
def holder(connect: Connect) -> Db:
    """A session that does or locks something and does not commit yet."""
    return connect(autocommit=False, name="holder")


@pytest.fixture
def second(connect: Connect) -> Db:
    """One more session."""
    return connect(name="second")


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Threads for what waits for a lock; `lock_timeout` bounds how long they may."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A short-named empty directory that a server's system user may be let into."""
    folder = Path(tempfile.mkdtemp(prefix="notify-tests-", dir=folders.folder()))
    yield folder
    shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
