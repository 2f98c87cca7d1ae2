"""The world that faults befall: a server, and the real processes, each over a link of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg

from faults.chaos import outside
from faults.chaos.pace import pause
from helpers.programs import Program
from helpers.proxy import Proxy
from helpers.receiver import Receiver
from notify.postgres import embedded
from notify.postgres.embedded import Embedded
from notify.postgres.migrate import migrate

KEY = "a-key-for-the-chaos-run"
# Asynchronous commit is this server's default on purpose: what is promised must not rely on the default.
# Without fsync, as a server that is killed loses nothing that the operating system has.
_SETTINGS = {"synchronous_commit": "off", "fsync": "off", "wal_writer_delay": "10s"}
# Of the service: ticks and looks at the keys often enough to be seen within a run.
_ENVIRONMENT = {
    "api_key": KEY,
    "ws_ping_seconds": "5",
    "log_level": "warning",
    "log_format": "json",
} | outside.SETTINGS
_APIS = 2
_WORKERS = 2
_START_AGAIN_SECONDS = 0.3
# Below the ports that outgoing connections get, so that a restarted process finds its own free.
_PORTS = range(18_000, 32_000)


class Slot:
    """The place of one process, which is started again whenever it has ended."""

    def __init__(self, world: World, name: str, *command: str) -> None:
        self.name = name
        self.link = world.link()
        self._folder, self._command = world.folder, command
        self._program: Program | None = None
        self.exits: Counter[int] = Counter()
        self.said: list[str] = []
        self.start()

    @property
    def pid(self) -> int:
        assert self._program is not None
        return self._program.pid

    @property
    def ended(self) -> bool:
        return self._program is None or self._program.process.poll() is not None

    def start(self) -> None:
        url = f"host=127.0.0.1 port={self.link.port} user=postgres dbname=notify"
        self._program = Program(self._folder, *self._command, database_url=url, **_ENVIRONMENT)

    def bury(self) -> None:
        """Note how it ended and what it said last."""
        assert self._program is not None
        self.exits[self._program.process.wait()] += 1
        self.said.append(self._program.err)
        self._program.__exit__(None, None, None)
        self._program = None

    def signal(self, number: signal.Signals) -> int:
        """Send a signal; to which process."""
        pid = self.pid
        if not self.ended:
            os.kill(pid, number)
        return pid

    def end(self) -> None:
        if self._program is not None:
            self.signal(signal.SIGKILL)
            self.bury()


class Api(Slot):
    """A `notify api` on a port that stays."""

    def __init__(self, world: World, name: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(world, name, "api", "--port", str(self.port))


class World:
    """Everything that runs. `links` has also the one of the SQL callers, at the end. No link leads to the receiver of
    webhooks, which is this process' own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.data = folder / "data"
        self.server = self._start()
        self.restarting = asyncio.Lock()
        self.dsn = self.server.dsn()
        migrate(self.dsn)
        self._open = contextlib.ExitStack()
        self.links: list[Proxy] = []
        self.receiver = self._open.enter_context(Receiver())
        self.apis = [Api(self, f"api {number}") for number in range(_APIS)]
        self.workers = [Slot(self, f"worker {number}", "worker") for number in range(_WORKERS)]
        self.sql_link = self.link()

    @property
    def slots(self) -> list[Slot]:
        return [*self.apis, *self.workers]

    def link(self) -> Proxy:
        self.links.append(self._open.enter_context(Proxy("127.0.0.1", self.port)))
        return self.links[-1]

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """The harness's own way to the database, past all links and without limits of the service."""
        return psycopg.connect(self.dsn, autocommit=True, application_name="chaos", connect_timeout=5, **options)

    def restart_server(self) -> None:
        """As after a crash: all sessions end at once, nothing is tidied up; the next start recovers."""
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(self.server.pid).send_signal(signal.SIGQUIT)
        self.server.stop(20)
        self.server = self._start()

    async def keep(self) -> None:
        """Start again whatever has ended, as systemd would."""
        while True:
            await pause(0.05)
            ended = [slot for slot in self.slots if slot.ended]
            for slot in ended:
                slot.bury()
            if ended:
                await pause(_START_AGAIN_SECONDS)
            for slot in ended:
                slot.start()

    def heal(self) -> None:
        for link in self.links:
            link.heal()

    def end(self) -> None:
        for slot in self.slots:
            slot.end()
        self._open.close()
        self.server.stop()

    def _start(self) -> Embedded:
        return embedded.start(self.data, settings=_SETTINGS, port=self.port)


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A world in a directory that is removed with it."""
    with tempfile.TemporaryDirectory(prefix="notify-chaos-", ignore_cleanup_errors=True) as folder:
        made = World(Path(folder))
        try:
            yield made
        finally:
            made.end()


def free_port() -> int:
    """Not by the run's seed: two runs beside each other need different ones."""
    for port in random.SystemRandom().sample(_PORTS, 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
