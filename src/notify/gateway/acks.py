"""Acknowledgements, gathered and written together, in recipient order."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog
from psycopg import AsyncConnection

from notify.postgres.pool import Pool
from notify.postgres.queries import many
from notify.supervise import rest

log = structlog.stdlib.get_logger(__name__)

FLUSH_SECONDS = 0.5
_LEAST_SECONDS = 0.02
_SLICE = 1000
# A mailbox that stays locked or is gone: after so long its ack is given up, which costs a repetition.
_TRY_SECONDS = 60.0
_PENDING_MAX = 100_000


# A recipient, and the generation of the mailbox: one who was deleted and made anew has another stream.
Whose = tuple[str, int]


async def acknowledge(connection: AsyncConnection[Any], wanted: dict[Whose, int]) -> list[str]:
    """Move acked_seq forward, at most to last_seq; the recipients whose mailbox was not locked."""
    return await many(
        connection,
        "acknowledge",
        str,
        recipients=[recipient for recipient, _ in wanted],
        generations=[generation for _, generation in wanted],
        seqs=list(wanted.values()),
    )


class Acks:
    """The highest seq that each recipient acknowledged and that is not written yet."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pending: dict[Whose, int] = {}
        self._trying_since: dict[Whose, float] = {}
        self._soon = asyncio.Event()
        self.written = 0

    def put(self, recipient: str, generation: int, seq: int) -> None:
        """Note one. When the database is away for long and very many wait, others are given up."""
        whose = (recipient, generation)
        if len(self._pending) >= _PENDING_MAX and whose not in self._pending:
            self._forget(next(iter(self._pending)))
        self._pending[whose] = max(seq, self._pending.get(whose, 0))

    def hasten(self) -> None:
        """Write soon: somebody has left, and may come back in a moment, to go on after what was acknowledged."""
        self._soon.set()

    async def run(self) -> None:
        """Flush twice a second, until cancelled."""
        while True:
            await rest(self._soon, FLUSH_SECONDS)
            await self.flush()
            await asyncio.sleep(_LEAST_SECONDS)  # a crowd that leaves is written together

    async def flush(self) -> None:
        """Write what waits, once. What was not handled, or raced with an error, waits for the next time."""
        waiting = sorted(self._pending)
        for start in range(0, len(waiting), _SLICE):
            some = waiting[start : start + _SLICE]
            await self._write({whose: self._pending[whose] for whose in some if whose in self._pending})

    async def _write(self, wanted: dict[Whose, int]) -> None:
        async with self._pool.connection() as connection:
            handled = set(await acknowledge(connection, wanted))
        self.written += len(handled)
        for whose, seq in wanted.items():
            if whose[0] in handled:
                self._settle(whose, seq)
            else:
                self._bear(whose)

    def _settle(self, whose: Whose, seq: int) -> None:
        if self._pending.get(whose, 0) <= seq:  # a higher one may have come meanwhile
            self._forget(whose)

    def _bear(self, whose: Whose) -> None:
        # By time, as tries come at any pace: each one who leaves asks for another.
        now = time.monotonic()
        if now - self._trying_since.setdefault(whose, now) >= _TRY_SECONDS:
            log.warning("ack given up", recipient=whose[0])
            self._forget(whose)

    def _forget(self, whose: Whose) -> None:
        self._pending.pop(whose, None)
        self._trying_since.pop(whose, None)
