"""What is measured: a Postgres as `notify up` makes it, fresh databases in it, and notify's own processes."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from notify.postgres import embedded
from notify.postgres.migrate import migrate

KEY = "ntf_bench_only_on_loopback"
_TEMPLATE = "bench_template"
_START_SECONDS = 60.0


class Cluster:
    """The server of a run, and a migrated template from which each measurement gets a database of its own."""

    def __init__(self, server: embedded.Embedded) -> None:
        self.pid = server.pid
        self._dsn = server.dsn("postgres")
        self._made = 0
        with self.admin() as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(_TEMPLATE)))
        migrate(self.url(_TEMPLATE))

    def url(self, name: str) -> str:
        """The libpq keywords of a database."""
        return make_conninfo(self._dsn, dbname=name)

    @contextmanager
    def admin(self) -> Iterator[psycopg.Connection]:
        """A session of the superuser, beside all measured databases."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            yield connection

    @contextmanager
    def database(self, *, migrated: bool = True, copy_of: str | None = None) -> Iterator[str]:
        """A fresh database while the block lasts, with notify's schema or bare; its libpq keywords.

        Or a copy of another one, given by its keywords, which nobody may be using then.
        """
        self._made += 1
        name = sql.Identifier(f"bench_{self._made}")
        original = None if copy_of is None else str(conninfo_to_dict(copy_of)["dbname"])
        template = sql.Identifier(original or (_TEMPLATE if migrated else "template0"))
        with self.admin() as connection:
            connection.execute(sql.SQL("create database {} template {}").format(name, template))
            # What the measurement before left to be written is not this one's cost.
            connection.execute("checkpoint")
        try:
            yield self.url(f"bench_{self._made}")
        finally:
            with self.admin() as connection:
                connection.execute(sql.SQL("drop database {} with (force)").format(name))


@contextmanager
def cluster() -> Iterator[Cluster]:
    """An embedded server in a directory of its own, set up as `notify up` sets up its own."""
    with tempfile.TemporaryDirectory(prefix="notify-bench-") as folder:
        os.chmod(folder, 0o755)  # as root, the server runs as another user
        server = embedded.start(Path(folder, "data"))
        try:
            yield Cluster(server)
        finally:
            server.stop()


class Process:
    """A running program of a measurement, with what it costs."""

    def __init__(self, popen: subprocess.Popen[str], url: str = "") -> None:
        self.popen = popen
        self.url = url
        self._process = psutil.Process(popen.pid)

    def family(self) -> list[psutil.Process]:
        """It and its children."""
        return [self._process, *self._process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time of it and its children so far."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self.family()))

    def resident_bytes(self) -> int:
        """Resident memory of it and its children: pages that they share count once for each."""
        return sum(one.memory_info().rss for one in self.family())


@contextmanager
def notify(command: str, *arguments: str, **settings: str) -> Iterator[Process]:
    """`notify COMMAND …` with these settings (given without NOTIFY_), once it is ready; stopped at the end.

    `api` and `up` listen on a free port. `database_url` is as good a setting as any.
    """
    environment = {"NOTIFY_API_KEY": KEY, "NOTIFY_LOG_LEVEL": "warning"}
    environment |= {f"NOTIFY_{name.upper()}": value for name, value in settings.items()}
    serves = command in {"api", "up"}
    port = ("--port", "0") if serves else ()
    program = (sys.executable, "-m", "notify.cli", command, *port, *arguments)
    with run(program, environment, r"notify ready at (\S+)" if serves else None) as process:
        if command == "worker":
            _wait_for_ticker(settings["database_url"])
        yield process


@contextmanager
def run(program: Sequence[str], environment: Mapping[str, str], ready: str | None) -> Iterator[Process]:
    """A program, once a line of its stdout matches `ready` (whose first group is its URL); stopped at the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NOTIFY_")}
    popen = subprocess.Popen(program, env=inherited | dict(environment), stdout=subprocess.PIPE, text=True)
    try:
        yield Process(popen, "" if ready is None else _wait_for_line(popen, ready))
    finally:
        popen.send_signal(signal.SIGTERM)
        try:
            popen.wait(timeout=20)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_for(
    database_url: str,
    question: LiteralString,
    parameters: Sequence[object],
    answer: object,
    *,
    pause: float = 0.02,
    seconds: float = _START_SECONDS,
) -> None:
    """Ask the database until the first column of the first row is this. Raises RuntimeError after so many seconds."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        ends = time.monotonic() + seconds
        while (connection.execute(question, parameters).fetchone() or (None,))[0] != answer:
            if time.monotonic() > ends:
                raise RuntimeError(f"after {seconds:.0f} s still not {answer!r}: {question}")
            time.sleep(pause)


def _wait_for_line(popen: subprocess.Popen[str], pattern: str) -> str:
    assert popen.stdout is not None
    said = ""
    with selectors.DefaultSelector() as selector:
        selector.register(popen.stdout, selectors.EVENT_READ)
        ends = time.monotonic() + _START_SECONDS
        # Read past the file object: lines that it has already in its buffer would wake no selector.
        while selector.select(max(0.0, ends - time.monotonic())):
            came = os.read(popen.stdout.fileno(), 65_536)
            if not came:
                break
            said += came.decode(errors="replace")
            if (found := re.search(pattern, said[: said.rfind("\n") + 1])) is not None:
                return found[1] if found.re.groups else ""
    raise RuntimeError(f"{popen.args!r} did not become ready")


def _wait_for_ticker(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        ends = time.monotonic() + _START_SECONDS
        question = "select from pg_stat_activity where datname = current_database() and application_name = %s"
        while connection.execute(question, ("notify-ticker",)).fetchone() is None:
            if time.monotonic() > ends:
                raise RuntimeError("the worker did not start")
            time.sleep(0.02)
