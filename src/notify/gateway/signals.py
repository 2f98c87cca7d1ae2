"""What a signal says, and the loop that hands signals on to the hub.

A signal has the line `sent TAB sent_at`, then a line a notification: recipient, generation, seq, id, batch, lateness,
with TABs between; times in microseconds. (sql/functions/drain.sql, send_signals.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Container
from typing import NamedTuple, Protocol

import psycopg
import structlog

from notify.errors import NotifyError
from notify.gateway.contents import Contents
from notify.gateway.frames import Content
from notify.supervise import describe

log = structlog.stdlib.get_logger(__name__)

# At most 16 MB of payloads wait. Beyond, all are dropped and the rows are compared instead.
_WAITING_MAX = 2000
# So many are looked at together, so that their contents are read by one statement.
_TOGETHER = 16


class Line(NamedTuple):
    """One notification of a signal; times in microseconds since 1970."""

    recipient: str
    generation: int
    seq: int
    id: int
    batch_id: int
    scheduled_at: int
    sent_at: int


class Audience(Container[str], Protocol):
    """Who is connected here, and how they are told."""

    def dispatch(self, lines: list[Line], contents: dict[int, Content]) -> None:
        """Hand lines to the connections of their recipients. A line whose content is missing is read from rows."""


class Rescue(Protocol):
    """What makes good a lost signal."""

    def hasten(self) -> None:
        """Compare the rows soon."""


def parse(payload: str, wanted: Container[str]) -> list[Line]:
    """The lines of `wanted` recipients, in order. Raises ValueError for a payload of another form."""
    head, *lines = payload.split("\n")
    kind, sent = head.split("\t")
    if kind != "sent":
        raise ValueError(f"a signal of unknown kind {kind!r}")
    sent_at = int(sent)
    return [_line(line, sent_at) for line in lines if line.partition("\t")[0] in wanted]


def _line(line: str, sent_at: int) -> Line:
    recipient, generation, seq, id, batch_id, late = line.split("\t")
    return Line(recipient, int(generation), int(seq), int(id), int(batch_id), sent_at - int(late), sent_at)


class Signals:
    """A bounded line of payloads, and the loop that dispatches them in the order of their arrival."""

    def __init__(self, audience: Audience, contents: Contents, rescue: Rescue) -> None:
        self._audience = audience
        self._contents = contents
        self._rescue = rescue
        self._waiting: deque[str] = deque()
        self._arrived = asyncio.Event()
        self.received = 0
        self.dropped = 0

    def put(self, payload: str) -> None:
        """Take a payload. When too many wait, they are dropped and the rows are compared."""
        self.received += 1
        if len(self._waiting) >= _WAITING_MAX:
            self.dropped += len(self._waiting)
            self._waiting.clear()
            self._rescue.hasten()
            log.warning("signals dropped", dropped=self.dropped)
        self._waiting.append(payload)
        self._arrived.set()

    async def run(self) -> None:
        """Dispatch what arrives, until cancelled."""
        while True:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            taken = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
            lines = [line for payload in taken for line in self._parse(payload)]
            if lines:
                self._audience.dispatch(lines, await self._read({line.batch_id for line in lines}))
            await asyncio.sleep(0)  # connections write between two rounds

    def _parse(self, payload: str) -> list[Line]:
        try:
            return parse(payload, self._audience)
        except ValueError as error:
            log.warning("signal not understood", error=describe(error), payload=payload[:100])
            self._rescue.hasten()
            return []

    async def _read(self, batches: set[int]) -> dict[int, Content]:
        try:
            return await self._contents.get(batches)
        except (psycopg.Error, NotifyError) as error:
            log.warning("contents not read", error=describe(error), batches=len(batches))
            return {}
