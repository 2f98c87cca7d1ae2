"""The one connection that LISTENs. A session lasts as long as the connection; whoever runs it starts it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from psycopg import AsyncConnection

from notify.config import Settings
from notify.postgres.connection import connect
from notify.postgres.queries import one

log = structlog.stdlib.get_logger(__name__)

# A link that is dead without saying so is noticed within the sum of both.
_PROBE_AFTER_SECONDS = 3.0
_PROBE_SECONDS = 5.0


async def listen(connection: AsyncConnection[Any]) -> str:
    """Hear signals on this connection from now on; the cluster's part of every epoch.

    The server looks the LISTEN name up itself: it is a secret, which no statement of ours may show.
    """
    return await one(connection, "listen", str)


class Listener:
    """Hands payloads on as they come.

    `resync` is awaited once LISTEN stands, before the first payload is handed on, with whether the cluster is
    another one than before (a failover or a restore). Only after it is the listener ready.
    """

    def __init__(
        self, settings: Settings, received: Callable[[str], None], resync: Callable[[bool], Awaitable[None]]
    ) -> None:
        self._settings = settings
        self._received = received
        self._resync = resync
        self._cluster: str | None = None
        self.ready = False
        self.sessions = 0

    async def run(self) -> None:
        """One session. Returns never; raises psycopg.Error when the connection is lost."""
        connection = await connect(self._settings, name="listener")
        try:
            await self._begin(connection)
            while True:
                async for notify in connection.notifies(timeout=_PROBE_AFTER_SECONDS):
                    self._received(notify.payload)
                with connection.limit.of(_PROBE_SECONDS):
                    await connection.execute("")
        finally:
            self.ready = False
            await connection.close()

    async def _begin(self, connection: AsyncConnection[Any]) -> None:
        cluster = await listen(connection)
        moved = self._cluster not in (None, cluster)
        await self._resync(moved)
        self._cluster = cluster
        self.sessions += 1
        self.ready = True
        # The first time is part of every start; any other ends an outage.
        level = log.info if self.sessions > 1 else log.debug
        level("listening", sessions=self.sessions, moved=moved)
