"""The processes of the reference (yardsticks/reference), as far as they are installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench import stack
from bench.context import Bench

_PACKAGE = "bench.yardsticks.reference"
_SESSIONS = "select count(*) from pg_stat_activity where datname = current_database() and application_name = %s"
PROCESSES = 2
THREADS = 4


def is_installed(bench: Bench, what: str, *modules: str, programs: tuple[str, ...] = ()) -> bool:
    """Whether all of it is here; what is not is said in the run's list, with how to get it."""
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    absent = [name for name in programs if shutil.which(name) is None]
    if lacking:
        bench.missing.append(f"{what}: needs {', '.join(lacking)}; `uv sync --group bench` installs it")
    if absent:
        bench.missing.append(f"{what}: needs the program {', '.join(absent)}; `apt-get install {' '.join(absent)}`")
    return not lacking and not absent


def create_tables(database_url: str) -> None:
    """Django makes its own."""
    command = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"]
    subprocess.run(command, env=os.environ | _environment(database_url), check=True)


@contextmanager
def django_api(database_url: str) -> Iterator[str]:
    """The Django view under gunicorn, once all its processes are connected; its URL."""
    port = stack.free_port()
    program = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    # Not the sync workers, which close the connection after each answer.
    workers = [
        "--workers",
        str(PROCESSES),
        "--worker-class",
        "gthread",
        "--threads",
        str(THREADS),
        "--keep-alive",
        "75",
    ]
    with stack.run([*program, *workers, f"{_PACKAGE}.wsgi:application"], _environment(database_url), None):
        stack.wait_for(database_url, _SESSIONS, ["reference"], PROCESSES)
        yield f"http://127.0.0.1:{port}"


class Celery:
    """Redis and a Celery worker with two processes."""

    def __init__(self, environment: Mapping[str, str], socket: Path) -> None:
        self._environment = environment
        self._socket = socket

    def poll(self) -> None:
        """Enqueue the poll for what is due, as Beat does."""
        subprocess.run([sys.executable, "-m", f"{_PACKAGE}.tasks"], env=os.environ | self._environment, check=True)

    def polled_at(self) -> str:
        """When the last poll began, in ISO 8601."""
        import redis  # noqa: PLC0415 - of the group bench

        return str(redis.Redis(unix_socket_path=str(self._socket), decode_responses=True).get("polled_at"))


@contextmanager
def celery(database_url: str) -> Iterator[Celery]:
    """Both, in a directory of their own and without a TCP port."""
    with tempfile.TemporaryDirectory(prefix="notify-bench-redis-") as folder:
        socket = Path(folder, "redis.sock")
        environment = _environment(database_url) | {"REFERENCE_REDIS": str(socket)}
        server = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", folder, "--save", ""]
        worker = [sys.executable, "-m", "celery", "-A", f"{_PACKAGE}.tasks", "worker"]
        options = ["--concurrency", str(PROCESSES), "--loglevel", "warning", "--without-mingle", "--without-gossip"]
        with (
            stack.run(server, {}, "[Rr]eady to accept connections"),
            # Celery warns root, which a container often is.
            stack.run([*worker, *options], environment | {"C_FORCE_ROOT": "1", "PYTHONWARNINGS": "ignore"}, None),
        ):
            yield Celery(environment, socket)


def _environment(database_url: str) -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": f"{_PACKAGE}.settings", "REFERENCE_DATABASE": database_url}
