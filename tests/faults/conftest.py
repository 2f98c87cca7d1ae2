"""A link to the test's database that can be frozen and cut, a server that can be killed, the processes over them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from helpers.http import ADMIN_KEY
from helpers.programs import Program
from helpers.proxy import Proxy
from helpers.rows import Db
from notify.config import Settings
from notify.postgres import embedded
from notify.postgres.embedded import Embedded
from notify.postgres.migrate import migrate


@pytest.fixture
def link(server: Embedded) -> Iterator[Proxy]:
    """Healed and cut at the end."""
    with Proxy("127.0.0.1", server.port) as proxy:
        yield proxy


@pytest.fixture
def linked_dsn(link: Proxy, database: Db) -> str:
    """The test's database, through the link."""
    return make_conninfo(host="127.0.0.1", port=link.port, user="postgres", dbname=database.info.dbname)


@pytest.fixture
def linked(linked_dsn: str) -> Settings:
    """Settings of a process whose database lies behind the link."""
    return Settings(database_url=linked_dsn, api_key=ADMIN_KEY)


# The walwriter writes what is not waited for; so seldom that nothing is written before the server is killed.
_LAZY = {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "fsync": "on"}


class Fragile:
    """A server of one's own that can be killed at once, whose default is asynchronous commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = embedded.start(folder, settings=_LAZY)

    @property
    def dsn(self) -> str:
        return self.server.dsn()

    def crash(self) -> None:
        """Kill the postmaster, and start another on what it wrote."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """The postmaster, and with it all of its sessions."""
        os.kill(self.server.pid, signal.SIGKILL)
        assert self.server._child is not None
        self.server._child.wait()

    def start(self) -> None:
        """Another on what the killed one wrote, at the same address."""
        self.server = embedded.start(self.folder, settings=_LAZY)


@pytest.fixture
def fragile(scratch: Path) -> Iterator[Fragile]:
    made = Fragile(scratch)
    try:
        migrate(made.dsn)
        yield made
    finally:
        made.server.stop()


Run = Callable[..., Program]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts `notify …` with settings; killed at the end."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **settings: str) -> Program:
            given = {"api_key": ADMIN_KEY, "port": "0"} | settings
            return stack.enter_context(Program(tmp_path, *arguments, **given))

        yield start


def is_ready(url: str) -> bool:
    """Whether the API says that it is ready."""
    try:
        return httpx.get(f"{url}/health/ready", timeout=5).is_success
    except httpx.TransportError:
        return False


def backends(db: Db, name: str) -> list[int]:
    """Sessions of this application name on the test's database."""
    found = db.execute(
        "select pid from pg_stat_activity where datname = current_database() and application_name = %s order by pid",
        (name,),
    ).fetchall()
    return [pid for (pid,) in found]


def server_is_there(dsn: str) -> bool:
    """Whether it takes connections."""
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
