"""The poll behind the signals: where do the mailboxes of the connected stand, and what have they been sent?

Ticks ride on it, so neither costs a query a connection.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec
import structlog
from psycopg import AsyncConnection

from notify.gateway.connection import Connection
from notify.gateway.position import Position
from notify.postgres.pool import Pool
from notify.postgres.queries import many
from notify.supervise import rest

log = structlog.stdlib.get_logger(__name__)

_SLICE = 1000
# A row may be seen before its signal has come through. Only who is still behind after so long is looked after.
_GRACE_SECONDS = 0.2


class Mailbox(msgspec.Struct, frozen=True, gc=False):
    """Where one recipient's stream stands."""

    recipient: str
    generation: int
    last_seq: int
    unread: int


class Crowd(Protocol):
    """Who is connected."""

    def recipients(self) -> list[str]:
        """Those who are connected."""

    def of(self, recipient: str) -> tuple[Connection, ...]:
        """The connections of one."""


async def read_mailboxes(connection: AsyncConnection[Any], recipients: list[str]) -> list[Mailbox]:
    """The mailboxes of those recipients that there are."""
    return await many(connection, "read_mailboxes", Mailbox, recipients=recipients)


class Lookout:
    """Compares, and rings those connections that something was missed by."""

    def __init__(self, crowd: Crowd, pool: Pool, pause: float) -> None:
        self._crowd = crowd
        self._pool = pool
        self._pause = pause
        self._soon = asyncio.Event()
        self.rescued = 0

    def hasten(self) -> None:
        """Look soon: a signal is known to be lost."""
        self._soon.set()

    async def run(self) -> None:
        """Look every `pause` seconds, until cancelled; at nothing while nobody is connected."""
        while True:
            await rest(self._soon, self._pause)
            await self.look(_GRACE_SECONDS)

    async def look(self, grace: float) -> None:
        """Compare once. Raises what the database raises."""
        recipients = self._crowd.recipients()
        for start in range(0, len(recipients), _SLICE):
            some = recipients[start : start + _SLICE]
            # Where they stood before the snapshot: less than that in the rows means that history was lost.
            before = {c: c.position.last for recipient in some for c in self._crowd.of(recipient)}
            boxes = await self._read(some)
            suspects = self._compare(before, boxes)
            if suspects and grace:
                await asyncio.sleep(grace)
            for connection in suspects:
                if _missed(connection.position, before[connection], boxes.get(connection.recipient)):
                    self.rescued += 1
                    connection.ring()

    def _compare(self, before: dict[Connection, int], boxes: dict[str, Mailbox]) -> list[Connection]:
        """Those that seem to have missed something; the others tick when it is time."""
        now = asyncio.get_running_loop().time()
        suspects = []
        for connection, last in before.items():
            box = boxes.get(connection.recipient)
            if _missed(connection.position, last, box):
                suspects.append(connection)
            elif box is not None:
                connection.tick_if_due(box.generation, box.last_seq, box.unread, now)
        return suspects

    async def _read(self, recipients: list[str]) -> dict[str, Mailbox]:
        async with self._pool.connection() as connection:
            found = await read_mailboxes(connection, recipients)
        return {box.recipient: box for box in found}


def _missed(position: Position, before: int, box: Mailbox | None) -> bool:
    """Whether the rows know something else than what was sent. Who is behind reads them anyway."""
    if position.behind:
        return False
    return box is None or box.generation != position.generation or not before <= box.last_seq <= position.last
