"""When to send: `drain_all` empties what is due, and the ticker calls it when something is.

The ticker sleeps to the next due instant by the database's clock. A chunk is drain.py's; one that fails, faults.py's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection

from notify.config import Settings
from notify.drain import Pass, drain_anyway, due_ids
from notify.errors import NotifyError
from notify.faults import Quarantine, is_passing, isolate
from notify.postgres.pool import connect
from notify.supervise import rest

# A row may become visible a little after its due time without a ring: its transaction looked at the doorbell just
# before a drain answered it. The low-water mark stays so far behind the last look.
_GRACE = timedelta(seconds=2)
# What is locked holds the mark back, but not for longer: under a long snapshot dead index entries pile up behind it.
# From then on the sweep finds it.
_MOST_BEHIND = timedelta(minutes=1)
# The first pause after something was sent; it doubles up to tick_seconds. What comes in a burst has company.
_FIRST_PAUSE = 0.01
_LEAST_PAUSE = 0.001
_CHUNK_SECONDS = 10.0
# A pass goes on where the chunk before ended. What was locked or not yet visible then is behind that; so often it looks
# there too.
_LOOK_BACK_SECONDS = 2.0
# Locked mailboxes that one pass steps around. Beyond, the pass ends and the next one starts anew.
_MOST_AVOIDED = 10_000


async def drain_all(
    connection: AsyncConnection[Any],
    quarantine: Quarantine,
    *,
    max_rows: int,
    due_from: datetime | None = None,
    outgoing: Callable[[float], None] = lambda _: None,
) -> Pass:
    """Send chunk after chunk until nothing due is left that can be sent now.

    `outgoing` is told in how many seconds a delivery on an outside channel is due, chunk by chunk; infinity: in none.
    A chunk that fails is halved down to the rows at fault. Raises psycopg.Error for what is no row's fault: a lost
    connection, say.
    """
    total = Pass()
    avoid: dict[str, None] = {}
    after: list[int] = []
    looked_back = time.monotonic()
    while True:
        if time.monotonic() - looked_back > _LOOK_BACK_SECONDS:
            after = []
        if not after:
            looked_back = time.monotonic()
        options: dict[str, Any] = {"max_rows": max_rows, "avoid": list(avoid), "quarantine": quarantine.ids()}
        try:
            drained = await drain_anyway(connection, total, due_from=due_from, after=after, **options)
        except (psycopg.Error, NotifyError) as error:
            if is_passing(error):
                raise
            # From the beginning: a ring may have told the chunk that failed to look below `due_from`.
            ids = await due_ids(connection, **options)
            if not ids:
                raise
            went = total.went
            await isolate(connection, ids, quarantine, total)
            if quarantine.full or total.went == went:  # the next pass goes on, so that this one ends
                total.complete = False
                return total
            after = []
            continue
        total.add(drained)
        outgoing(drained.outgoing_in)
        if drained.sent or drained.sending:
            quarantine.others_went()
        due_from = drained.due_from
        avoid.update(dict.fromkeys(drained.busy))
        from_beginning, after = not after, drained.after or []
        if (drained.picked == 0 and from_beginning) or drained.crowded or len(avoid) > _MOST_AVOIDED:
            total.complete = not (avoid or drained.crowded or drained.left_due)
            return total


def _next_mark(mark: datetime | None, done: Pass) -> datetime | None:
    """The due time from which the next pass has to look; None: from the beginning."""
    if done.looked_at is None:
        return mark
    if done.complete:
        return done.looked_at - _GRACE
    return None if mark is None else max(mark, done.looked_at - _MOST_BEHIND)


class Ticker:
    """One of the two alarm clocks: drains, reads the next due instant, sleeps until then, tick_seconds at most."""

    def __init__(self, settings: Settings, outgoing: Callable[[float], None] = lambda _: None) -> None:
        """`outgoing`: see drain_all()."""
        self._settings = settings
        self._outgoing = outgoing
        self._woken = asyncio.Event()
        self.quarantine = Quarantine()
        self._alive_until = 0.0

    @property
    def alive(self) -> bool:
        """Whether it has looked lately; if not, a dispatch job drains itself."""
        return time.monotonic() < self._alive_until

    def wake(self) -> None:
        """Look now: something has just been scheduled."""
        self._woken.set()

    async def run(self) -> None:
        """Tick until cancelled. Raises psycopg.OperationalError when the connection is lost."""
        connection = await connect(self._settings, name="ticker")
        try:
            await self._loop(connection)
        finally:
            self._alive_until = 0.0
            await connection.close()

    async def _loop(self, connection: AsyncConnection[Any]) -> None:
        mark: datetime | None = None
        pause = _FIRST_PAUSE
        while True:
            # A chunk may take a while, and the ticker is not dead meanwhile; one that takes longer hangs.
            self._alive_until = time.monotonic() + _CHUNK_SECONDS
            done = await drain_all(
                connection,
                self.quarantine,
                max_rows=self._settings.drain_chunk,
                due_from=mark,
                outgoing=self._outgoing,
            )
            mark = _next_mark(mark, done)
            self._alive_until = time.monotonic() + 1.0 + 2 * self._settings.tick_seconds
            pause = _FIRST_PAUSE if done.moved or self._woken.is_set() else pause * 2
            pause = min(pause, self._settings.tick_seconds)
            await self._sleep(pause, done.next_due_in)

    async def _sleep(self, pause: float, next_due_in: float | None) -> None:
        if next_due_in is not None:
            pause = min(pause, max(next_due_in, _LEAST_PAUSE))
        await rest(self._woken, pause)
