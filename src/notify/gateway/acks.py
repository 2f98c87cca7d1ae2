"""Acknowledgements, gathered and written together, in recipient order."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from psycopg import AsyncConnection

from notify.postgres.pool import Pool
from notify.postgres.queries import many

log = structlog.stdlib.get_logger(__name__)

FLUSH_SECONDS = 0.5
_SLICE = 1000
# A mailbox that stays locked or is gone: after a minute of tries its ack is given up, which costs a repetition.
_TRIES = 120
_PENDING_MAX = 100_000


async def acknowledge(connection: AsyncConnection[Any], recipients: list[str], seqs: list[int]) -> list[str]:
    """Move acked_seq forward, at most to last_seq; the recipients whose mailbox was not locked."""
    return await many(connection, "acknowledge", str, recipients=recipients, seqs=seqs)


class Acks:
    """The highest seq that each recipient acknowledged and that is not written yet."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pending: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        self.written = 0

    def put(self, recipient: str, seq: int) -> None:
        """Note one. When the database is away for long and very many wait, others are given up."""
        if len(self._pending) >= _PENDING_MAX and recipient not in self._pending:
            self._forget(next(iter(self._pending)))
        self._pending[recipient] = max(seq, self._pending.get(recipient, 0))

    async def run(self) -> None:
        """Flush twice a second, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits, once. What was not handled, or raced with an error, waits for the next time."""
        names = sorted(self._pending)
        for start in range(0, len(names), _SLICE):
            some = names[start : start + _SLICE]
            await self._write({name: self._pending[name] for name in some if name in self._pending})

    async def _write(self, wanted: dict[str, int]) -> None:
        async with self._pool.connection() as connection:
            handled = set(await acknowledge(connection, list(wanted), list(wanted.values())))
        self.written += len(handled)
        for recipient, seq in wanted.items():
            if recipient in handled:
                self._settle(recipient, seq)
            else:
                self._count(recipient)

    def _settle(self, recipient: str, seq: int) -> None:
        if self._pending.get(recipient, 0) <= seq:  # a higher one may have come meanwhile
            self._forget(recipient)

    def _count(self, recipient: str) -> None:
        self._tries[recipient] = self._tries.get(recipient, 0) + 1
        if self._tries[recipient] > _TRIES:
            log.warning("ack given up", recipient=recipient)
            self._forget(recipient)

    def _forget(self, recipient: str) -> None:
        self._pending.pop(recipient, None)
        self._tries.pop(recipient, None)
