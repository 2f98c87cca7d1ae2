"""Connections to the mail server that are kept and used again, as making one takes many times as long as a mail."""

from __future__ import annotations

import asyncio

from notify.channels.mailserver import MailServer
from notify.channels.mime import Letter
from notify.channels.protocol import Outcome
from notify.channels.smtp import Connection, Down, Progress, connect

# Servers close them after some minutes; what lies between may forget them earlier, without a word.
IDLE_SECONDS = 30.0


class Pool:
    """At most `most` connections, opened when needed. The last used is used first, and idle ones are closed."""

    def __init__(self, server: MailServer, most: int) -> None:
        self._server = server
        self._context = server.tls_context()
        self._slots = asyncio.Semaphore(most)
        # The longest idle first.
        self._idle: list[Connection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, letter: Letter, seconds: float) -> Outcome:
        """Hand over one mail within so many seconds, connecting included."""
        progress = Progress()
        try:
            async with asyncio.timeout(seconds), self._slots:
                return await self._send(letter, progress)
        except Down as down:
            return down.outcome()
        except TimeoutError:
            return progress.late()

    async def _send(self, letter: Letter, progress: Progress) -> Outcome:
        if (kept := self._take()) is not None:
            try:
                return await self._use(kept, letter, progress)
            except Down:
                # It was closed meanwhile, as servers do: that says nothing of the server, which is asked anew.
                progress.step = Progress.step
        return await self._use(await connect(self._server, self._context), letter, progress)

    async def _use(self, connection: Connection, letter: Letter, progress: Progress) -> Outcome:
        keep = False
        try:
            outcome = await connection.carry(letter, progress)
            keep = connection.sound and connection.open and not self._closed
            return outcome
        finally:
            # One that something went wrong with, be it that this was cancelled, could answer the next mail with what it
            # owes to this.
            if keep:
                self._keep(connection)
            else:
                connection.abort()

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
            connection.abort()
        return None

    def _keep(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(IDLE_SECONDS, self._dismiss)

    def _dismiss(self) -> None:
        """Close those that were idle for too long, and look again when the next may be."""
        loop = asyncio.get_running_loop()
        since = loop.time() - IDLE_SECONDS
        while self._idle and self._idle[0].idle_since <= since:
            self._idle.pop(0).leave()
        self._timer = None
        if self._idle:
            self._timer = loop.call_at(self._idle[0].idle_since + IDLE_SECONDS, self._dismiss)

    async def close(self) -> None:
        """Close them all, those in use when their mail is done."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))
        # Their sockets are closed in the loop's next round.
        await asyncio.sleep(0)
