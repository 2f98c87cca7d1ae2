"""Once a second: who does not take their frames, and whose credential does not hold any more.

The keys are asked for by a loop of their own, as the database may keep it waiting.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import psycopg
import structlog

from notify.errors import Forbidden, NotifyError, Unauthenticated
from notify.gatekeeper import Gatekeeper
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
        """Close the slow, and those whose time is over, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            self._close_slow()
            self._close_expired()

    async def run_keys(self) -> None:
        """Close those whose API key does not hold any more, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await self._close_revoked()

    def _close_slow(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self._passes):
            if not connection.is_closing and connection.is_slow(now):
                self.slow_closed += 1
                connection.close(closing.SLOW)

    def _close_expired(self) -> None:
        for connection, admitted in list(self._passes.items()):
            if admitted.has_expired():
                self._close(connection, Unauthenticated("the credential has expired; get a new one"))

    async def _close_revoked(self) -> None:
        # A key is looked up once, however many sockets it holds.
        holders: defaultdict[str, list[Connection]] = defaultdict(list)
        for connection, admitted in list(self._passes.items()):
            if admitted.credential is not None:
                holders[admitted.credential].append(connection)
        for credential, connections in holders.items():
            await self._check(credential, connections)

    async def _check(self, credential: str, connections: list[Connection]) -> None:
        try:
            await admission.admit(self._gatekeeper, credential)
        except (Unauthenticated, Forbidden) as error:
            for connection in connections:
                admitted = self._passes.get(connection)
                if admitted is not None and admitted.credential == credential:  # not renewed meanwhile
                    self._close(connection, error)
        except (psycopg.Error, NotifyError) as error:
            # Whether the key still holds is not known: the sockets stay until the database says.
            log.warning("key not checked", error=describe(error))

    def _close(self, connection: Connection, error: NotifyError) -> None:
        if not connection.is_closing:
            self.credentials_closed += 1
            connection.close(closing.because(error))
