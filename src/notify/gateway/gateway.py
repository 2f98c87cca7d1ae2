"""The gateway of one process: its parts, and the work they do in the background."""

from __future__ import annotations

import asyncio

import msgspec
import psycopg
import structlog

from notify.config import Settings
from notify.errors import NotifyError
from notify.gatekeeper import Gatekeeper
from notify.gateway import closing
from notify.gateway.acks import Acks
from notify.gateway.admission import Pass
from notify.gateway.connection import Connection
from notify.gateway.contents import Contents
from notify.gateway.hub import Hub
from notify.gateway.listener import Listener
from notify.gateway.lookout import Lookout
from notify.gateway.signals import Signals
from notify.gateway.stream import Stream
from notify.gateway.watch import Watch
from notify.postgres.pool import Pool
from notify.supervise import describe, supervise

log = structlog.stdlib.get_logger(__name__)

_FLUSH_SECONDS = 1.0
_CLOSE_SECONDS = 2.0


class Stats(msgspec.Struct, frozen=True):
    """Counters since the start, but for `connections` and `ready`, which are of now."""

    ready: bool
    connections: int
    connections_opened: int
    frames_sent: int
    signals_received: int
    signals_dropped: int
    listen_sessions: int
    resyncs: int
    """Connections that were found to have missed something, and were given it from rows."""
    content_reads: int
    acks_written: int
    slow_closed: int
    credentials_closed: int


class Gateway:
    """Pushes streams to the sockets of this process. `run` must be running for frames to be on time."""

    def __init__(self, settings: Settings, pool: Pool, gatekeeper: Gatekeeper) -> None:
        self.settings = settings
        self.gatekeeper = gatekeeper
        self.acks = Acks(pool)
        self._passes: dict[Connection, Pass] = {}
        self._hub = Hub(settings)
        self._contents = Contents(pool)
        self.stream = Stream(pool, self._contents)
        self._lookout = Lookout(self._hub, pool, settings.gateway_poll_seconds)
        self._signals = Signals(self._hub, self._contents, self._lookout)
        self._listener = Listener(settings, self._signals.put, self._resync)
        self._watch = Watch(self._passes, gatekeeper)
        self._closing = False
        self._left = asyncio.Event()
        self._opened = 0
        self._sent = 0

    @property
    def ready(self) -> bool:
        """Whether signals come in, and nothing was missed before they did."""
        return self._listener.ready

    @property
    def closing(self) -> bool:
        """Whether no new connections are taken."""
        return self._closing

    async def run(self) -> None:
        """All background work, each part restarted when it fails, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervise("gateway listener", self._listener.run))
            tasks.create_task(supervise("gateway signals", self._signals.run))
            tasks.create_task(supervise("gateway poll", self._lookout.run))
            tasks.create_task(supervise("gateway acks", self.acks.run))
            tasks.create_task(supervise("gateway watch", self._watch.run))
            tasks.create_task(supervise("gateway keys", self._watch.run_keys))

    async def close(self) -> None:
        """Close all sockets with 1012 and write the last acks; takes a few seconds at most."""
        self._closing = True
        self._hub.close_all(closing.RESTART)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self._passes:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            log.warning("connections left open", connections=len(self._passes))
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self.acks.flush()
        except (psycopg.Error, NotifyError, TimeoutError) as error:
            log.warning("acks not written", error=describe(error))

    def stats(self) -> Stats:
        """Figures for /metrics."""
        return Stats(
            ready=self.ready,
            connections=len(self._passes),
            connections_opened=self._opened,
            frames_sent=self._sent + sum(connection.sent for connection in self._passes),
            signals_received=self._signals.received,
            signals_dropped=self._signals.dropped,
            listen_sessions=self._listener.sessions,
            resyncs=self._lookout.rescued,
            content_reads=self._contents.reads,
            acks_written=self.acks.written,
            slow_closed=self._watch.slow_closed,
            credentials_closed=self._watch.credentials_closed,
        )

    # what the endpoint calls

    def enter(self, connection: Connection, admitted: Pass) -> None:
        """Register a connection, before its rows are read, so that no signal is missed. Raises TooManyRequests."""
        self._hub.add(connection, admitted.key)
        self._passes[connection] = admitted
        self._opened += 1

    def renew(self, connection: Connection, admitted: Pass) -> None:
        """Put a new credential in the place of the old one; the connection still counts for the old key."""
        if connection in self._passes:
            self._passes[connection] = admitted

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._hub.remove(connection)
        if self._passes.pop(connection, None) is not None:
            self._sent += connection.sent
            self.acks.hasten()
        self._left.set()

    async def _resync(self, moved: bool) -> None:
        """After LISTEN: who was left behind? In another cluster, everybody."""
        if moved:
            self._hub.ring_all()
        await self._lookout.look(grace=0)
