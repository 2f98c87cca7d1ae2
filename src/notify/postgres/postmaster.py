"""Reading postmaster.pid, and telling a living server from what a killed one left behind.

The file names a process, but after `kill -9`, a power cut or a restarted container its number may belong to
any other program; a server is ours if it is a postgres whose working directory is the data directory.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

# Directories for sockets made outside the data directory begin so; nothing else is ever removed.
SOCKET_PREFIX = "notify-pg-"


class Postmaster(msgspec.Struct, frozen=True):
    """A living server of a data directory; `ready` once it accepts connections."""

    pid: int
    port: int
    socket_dir: Path
    ready: bool


def read(pgdata: Path) -> Postmaster | None:
    """The living server of this data directory, or None. One that has just begun to start counts as none."""
    lines = _lines(pgdata)
    if len(lines) < 5 or not lines[0].isdigit() or not _is_postmaster(int(lines[0]), pgdata):
        return None
    ready = len(lines) >= 8 and lines[7].strip() == "ready"
    return Postmaster(pid=int(lines[0]), port=int(lines[3]), socket_dir=Path(lines[4]), ready=ready)


def clear_remains(pgdata: Path) -> None:
    """Remove what would keep a new server from starting, when no process works on the data any more.

    The file of a dead process is left to Postgres: it names the shared memory by which Postgres makes sure
    that no orphan of the old server is still writing.
    """
    lines = _lines(pgdata)
    if len(lines) >= 5 and Path(lines[4]).name.startswith(SOCKET_PREFIX):
        shutil.rmtree(lines[4], ignore_errors=True)
    reused = bool(lines) and lines[0].isdigit() and psutil.pid_exists(int(lines[0]))
    if (reused or not lines) and not _anybody_in(pgdata):
        (pgdata / "postmaster.pid").unlink(missing_ok=True)


def _lines(pgdata: Path) -> list[str]:
    try:
        return (pgdata / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_postmaster(pid: int, pgdata: Path) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            _reap(process)
            return False
        return _works_in(process, pgdata)
    except psutil.NoSuchProcess:
        return False


def _works_in(process: psutil.Process, pgdata: Path) -> bool:
    try:
        return process.name().startswith("postgres") and Path(process.cwd()) == pgdata.resolve()
    except psutil.AccessDenied:
        return True  # a postgres of somebody else: better to refuse than to disturb it
    except psutil.ZombieProcess:
        return False


def _anybody_in(pgdata: Path) -> bool:
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and Path(process.cwd()) == pgdata.resolve():
                return True
        except psutil.Error:
            continue
    return False


def _reap(process: psutil.Process) -> None:
    """A killed server that is our own child counts as alive, for Postgres too, until it is waited for."""
    if process.name().startswith("postgres"):
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
