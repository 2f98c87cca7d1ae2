"""Once a second: who does not take their frames, and whose credential does not hold any more."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import psycopg
import structlog

from notify.access import Gatekeeper
from notify.errors import Forbidden, NotifyError, Unauthenticated
from notify.gateway import admission, closing
from notify.gateway.admission import Pass
from notify.gateway.connection import Connection
from notify.supervise import describe

log = structlog.stdlib.get_logger(__name__)

# With the gatekeeper's memory of two seconds, a revoked key's sockets close well within five.
_SECONDS = 1.0


class Watch:
    """Looks after the connections in `passes`."""

    def __init__(self, passes: Mapping[Connection, Pass], gatekeeper: Gatekeeper) -> None:
        self._passes = passes
        self._gatekeeper = gatekeeper
        self.slow_closed = 0
        self.credentials_closed = 0

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            self._close_slow()
            await self._close_refused()

    def _close_slow(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self._passes):
            if not connection.is_closing and connection.is_slow(now):
                self.slow_closed += 1
                connection.close(closing.SLOW)

    async def _close_refused(self) -> None:
        # A key is looked up once, however many sockets it holds.
        holders: defaultdict[str, list[Connection]] = defaultdict(list)
        for connection, admitted in list(self._passes.items()):
            if admitted.credential is not None:
                holders[admitted.credential].append(connection)
            elif admitted.has_expired():
                self._close(connection, Unauthenticated("the token has expired; get a new one"))
        for connections in holders.values():
            await self._check(connections)

    async def _check(self, connections: list[Connection]) -> None:
        admitted = self._passes.get(connections[0])
        if admitted is None:
            return
        try:
            await admission.still_holds(self._gatekeeper, admitted)
        except (Unauthenticated, Forbidden) as error:
            for connection in connections:
                if self._passes.get(connection) == admitted:
                    self._close(connection, error)
        except (psycopg.Error, NotifyError) as error:
            # Whether the key still holds is not known: the sockets stay until the database says.
            log.warning("key not checked", key=admitted.principal.name, error=describe(error))

    def _close(self, connection: Connection, error: NotifyError) -> None:
        if not connection.is_closing:
            self.credentials_closed += 1
            connection.close(closing.because(error))
