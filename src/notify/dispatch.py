"""What sends: the drain, a chunk a statement, and the ticker that calls it when something is due.

`drain_all` empties what is due; `Ticker` sleeps to the next due instant by the database's clock. What a chunk does is
said in sql/functions/drain.sql; here is only when to call it, and what to do when a chunk fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection

from notify.config import Settings
from notify.errors import NotifyError
from notify.postgres.pool import connect
from notify.postgres.queries import many, one

log = structlog.get_logger("notify.dispatch")

# A row may become visible a little after its due time without a ring: its transaction looked at the doorbell just
# before a drain answered it. The low-water mark stays so far behind the last look.
_GRACE = timedelta(seconds=2)
# What is locked holds the mark back, but not for longer: under a long snapshot dead index entries pile up behind it.
# From then on the sweep finds it.
_MOST_BEHIND = timedelta(minutes=1)
# The first pause after something was sent; it doubles up to tick_seconds. What comes in a burst has company.
_FIRST_PAUSE = 0.01
_LEAST_PAUSE = 0.001
# Locked mailboxes that one pass steps around. Beyond, the pass ends and the next one starts anew.
_MOST_AVOIDED = 1000
# How long a row that can be neither sent nor parked is left alone, and how many of them.
_QUARANTINE_SECONDS = 60.0
_MOST_QUARANTINED = 1000

_QUEUE_FULL = "54000"
# Connection, resources, operator, system, rollback, lock and schema errors: no single row is at fault.
_PASSING = ("08", "53", "57", "58", "40", "55", "25", "42", "XX")


class Drained(msgspec.Struct, frozen=True):
    """What one drain statement did; see the comment of notify.drain()."""

    picked: int
    sent: int
    sending: int
    expired: int
    busy: list[str]
    crowded: bool
    left_due: bool
    due_from: datetime | None
    looked_at: datetime
    next_due_in: float | None


class Pass(msgspec.Struct):
    """What draining until nothing was left did, summed up."""

    sent: int = 0
    sending: int = 0
    expired: int = 0
    parked: int = 0
    complete: bool = True
    """False where something due was left: locked by another session, in quarantine, or others draining."""
    signal: bool = True
    """False once the NOTIFY queue was found full."""
    looked_at: datetime | None = None
    next_due_in: float | None = None

    @property
    def moved(self) -> int:
        """Notifications whose status changed."""
        return self.sent + self.sending + self.expired + self.parked


class Quarantine:
    """Rows that can be neither sent nor parked, left alone for a while so that they stop nobody else."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def add(self, id: int) -> None:
        if self.full:
            self._until.pop(next(iter(self._until)))
        self._until[id] = time.monotonic() + _QUARANTINE_SECONDS

    @property
    def full(self) -> bool:
        return len(self._until) >= _MOST_QUARANTINED

    def ids(self) -> list[int]:
        now = time.monotonic()
        self._until = {id: until for id, until in self._until.items() if until > now}
        return list(self._until)


async def drain(
    connection: AsyncConnection[Any],
    *,
    max_rows: int = 1000,
    due_from: datetime | None = None,
    avoid: Sequence[str] = (),
    quarantine: Sequence[int] = (),
    only: Sequence[int] | None = None,
    signal: bool = True,
) -> Drained:
    """Send one chunk of what is due. Raises what Postgres raised; then nothing of the chunk was sent."""
    return await one(
        connection,
        "drain",
        Drained,
        max_rows=max_rows,
        due_from=due_from,
        avoid=list(avoid),
        quarantine=list(quarantine),
        only=None if only is None else list(only),
        signal=signal,
    )


async def drain_all(
    connection: AsyncConnection[Any],
    quarantine: Quarantine,
    *,
    max_rows: int,
    due_from: datetime | None = None,
) -> Pass:
    """Send chunk after chunk until nothing due is left that can be sent now.

    A chunk that fails is halved down to the row at fault, which is parked. Raises psycopg.Error for what is no
    row's fault: a lost connection, say.
    """
    total = Pass()
    avoid: dict[str, None] = {}
    while True:
        options: dict[str, Any] = {"max_rows": max_rows, "avoid": list(avoid), "quarantine": quarantine.ids()}
        try:
            drained = await _drain(connection, total, due_from=due_from, **options)
        except (psycopg.Error, NotifyError) as error:
            if _is_passing(error):
                raise
            # From the beginning: a ring may have told the chunk that failed to look below `due_from`.
            ids = await due_ids(connection, **options)
            if not ids:
                raise
            await _isolate(connection, ids, quarantine, total)
            if quarantine.full:  # the next pass goes on, so that this one ends
                total.complete = False
                return total
            continue
        _add(total, drained)
        due_from = drained.due_from
        avoid.update(dict.fromkeys(drained.busy))
        if drained.picked == 0 or len(avoid) > _MOST_AVOIDED:
            total.complete = not (avoid or drained.crowded or drained.left_due)
            return total


async def _drain(connection: AsyncConnection[Any], total: Pass, **options: Any) -> Drained:
    """One chunk, without signals where the NOTIFY queue is full."""
    try:
        return await drain(connection, **options, signal=total.signal)
    except (psycopg.Error, NotifyError) as error:
        if _sqlstate(error) != _QUEUE_FULL or not total.signal:
            raise
    log.error("the NOTIFY queue is full; sending without signals, gateways find rows by their poll")
    total.signal = False
    return await drain(connection, **options, signal=False)


async def due_ids(
    connection: AsyncConnection[Any],
    *,
    max_rows: int,
    avoid: Sequence[str] = (),
    quarantine: Sequence[int] = (),
) -> list[int]:
    """The ids that a drain from the beginning would pick."""
    return await many(
        connection,
        "due_ids",
        int,
        max_rows=max_rows,
        avoid=list(avoid),
        quarantine=list(quarantine),
    )


async def park(connection: AsyncConnection[Any], id: int, reason: str) -> bool:
    """Put a notification that cannot be sent aside as failed; False if it is not pending any more."""
    return await one(connection, "park", bool, id=id, reason=reason)


async def _isolate(connection: AsyncConnection[Any], ids: list[int], quarantine: Quarantine, total: Pass) -> None:
    """Send these rows in halves; what fails alone is parked."""
    try:
        _add(total, await _drain(connection, total, only=ids))
    except (psycopg.Error, NotifyError) as error:
        if _is_passing(error):
            raise
        if len(ids) > 1:
            middle = len(ids) // 2
            await _isolate(connection, ids[:middle], quarantine, total)
            await _isolate(connection, ids[middle:], quarantine, total)
        elif ids:
            await _park(connection, ids[0], error, quarantine, total)


async def _park(
    connection: AsyncConnection[Any], id: int, fault: Exception, quarantine: Quarantine, total: Pass
) -> None:
    reason = str(fault).partition("\n")[0]
    try:
        await park(connection, id, reason)
    except (psycopg.Error, NotifyError) as error:
        if _is_passing(error):
            raise
        quarantine.add(id)
        log.error("a notification can be neither sent nor parked; left alone for a minute", id=id, reason=reason)
        return
    total.parked += 1
    log.error("notification parked as faulty", id=id, reason=reason)


def _add(total: Pass, drained: Drained) -> None:
    total.sent += drained.sent
    total.sending += drained.sending
    total.expired += drained.expired
    total.looked_at = drained.looked_at
    total.next_due_in = drained.next_due_in


def _next_mark(mark: datetime | None, done: Pass) -> datetime | None:
    """The due time from which the next pass has to look; None: from the beginning."""
    if done.looked_at is None:
        return mark
    if done.complete:
        return done.looked_at - _GRACE
    return None if mark is None else max(mark, done.looked_at - _MOST_BEHIND)


def _sqlstate(error: BaseException | None) -> str | None:
    """Of a database error, or of the one that a notify error stands for."""
    if isinstance(error, NotifyError):
        error = error.__cause__
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def _is_passing(error: Exception) -> bool:
    sqlstate = _sqlstate(error)
    return sqlstate is None or sqlstate.startswith(_PASSING)


class Ticker:
    """One of the two alarm clocks: drains, reads the next due instant, sleeps until then, tick_seconds at most."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._woken = asyncio.Event()
        self._quarantine = Quarantine()
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
            # A drain statement may take as long as its timeout, and is not dead meanwhile.
            self._alive_until = time.monotonic() + self._settings.statement_timeout
            done = await drain_all(connection, self._quarantine, max_rows=self._settings.drain_chunk, due_from=mark)
            mark = _next_mark(mark, done)
            self._alive_until = time.monotonic() + 1.0 + 2 * self._settings.tick_seconds
            pause = _FIRST_PAUSE if done.moved or self._woken.is_set() else pause * 2
            pause = min(pause, self._settings.tick_seconds)
            await self._sleep(pause, done.next_due_in)

    async def _sleep(self, pause: float, next_due_in: float | None) -> None:
        if next_due_in is not None:
            pause = min(pause, max(next_due_in, _LEAST_PAUSE))
        try:
            await asyncio.wait_for(self._woken.wait(), pause)
        except TimeoutError:
            return
        self._woken.clear()
