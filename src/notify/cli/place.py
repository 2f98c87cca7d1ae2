"""The data directory of `notify up`: one process at a time serves it, and others find that process there.

`up.lock` is held for as long as the process lives, however it ends. `notify.json` says where it serves.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec

from notify.cli.common import environment
from notify.config import Settings
from notify.environment import describe
from notify.errors import NotifyError
from notify.postgres.system_user import open_private


class InUse(NotifyError):
    """Another process serves this data directory."""


class Unusable(NotifyError):
    """The data directory cannot be made, or not be written to."""


class Serving(msgspec.Struct, frozen=True):
    """Who serves a data directory, and where."""

    url: str
    pid: int


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Make the directory and keep others from serving it. Raises InUse if somebody does, or Unusable."""
    with _opened(data_dir) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            found = serving(data_dir)
            where = f" at {found.url} (process {found.pid})" if found else ""
            raise InUse(f"notify up already serves {data_dir}{where}") from error
        yield


def _opened(data_dir: Path) -> IO[Any]:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open_private(data_dir / "up.lock", "w")
    except OSError as error:
        file_there = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "not a directory" if file_there else (error.strerror or str(error)).lower()
        raise Unusable(f"cannot use the data directory {data_dir}: {reason}") from error


@contextmanager
def announced(data_dir: Path, url: str) -> Iterator[None]:
    """Say in the directory where this process serves, and take it back at the end."""
    file, new = _file(data_dir), data_dir / "notify.json.new"
    new.write_bytes(msgspec.json.encode(Serving(url, os.getpid())))
    new.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def serving(data_dir: Path) -> Serving | None:
    """Who serves the directory; None if nobody does, or if who did was killed and left the file behind."""
    try:
        found = msgspec.json.decode(_file(data_dir).read_bytes(), type=Serving)
        os.kill(found.pid, 0)
    except PermissionError:
        return msgspec.json.decode(_file(data_dir).read_bytes(), type=Serving)
    except (OSError, msgspec.DecodeError):
        return None
    return found


def server_url(settings: Settings, last: str | None = None) -> str:
    """Where commands find the server: NOTIFY_URL; else where `notify up` serves, but for what NOTIFY_HOST and
    NOTIFY_PORT say where they are set.

    `last` is where it was found before: while it is away, whoever listens on the default port may be a stranger.
    """
    if settings.url is not None:
        return settings.url.rstrip("/")
    given = {told.name for told in describe(settings, environment()) if told.source != "default"}
    found = serving(Path(settings.data_dir))
    base = urlsplit(found.url if found else last or url_of(reachable(settings.host), settings.port))
    host = reachable(settings.host) if "host" in given else base.hostname
    port = settings.port if "port" in given and settings.port else base.port
    return url_of(str(host), port or 0)


def url_of(host: str, port: int) -> str:
    """`http://127.0.0.1:8000`, with brackets around an IPv6 address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reachable(host: str) -> str:
    """An address at which a server that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing listens here


def _file(data_dir: Path) -> Path:
    return data_dir / "notify.json"
