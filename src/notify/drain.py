"""One chunk: the drain statement, what it says it did, and the same without signals where those cannot be sent.

What a chunk does is said in sql/functions/drain.sql. When to call it is dispatch.py's; what to do when a chunk fails,
faults.py's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection

from notify.errors import NotifyError
from notify.postgres.queries import many, one

log = structlog.get_logger("notify.drain")

# The NOTIFY queue is full; the name of the channel is gone.
_NO_SIGNALS = frozenset({"54000", "P0002"})


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
    after: list[int] | None
    deliveries: int
    delivery_due_in: float | None

    @property
    def outgoing_in(self) -> float:
        """In how many seconds a delivery on an outside channel is due, as far as this chunk knows."""
        if self.deliveries:
            return 0.0
        return math.inf if self.delivery_due_in is None else self.delivery_due_in


class Pass(msgspec.Struct):
    """What draining until nothing was left did, summed up."""

    sent: int = 0
    sending: int = 0
    expired: int = 0
    parked: int = 0
    complete: bool = True
    """False where something due was left: locked by another session, in quarantine, or others draining."""
    crowded: bool = False
    """Whether it ended because others are draining."""
    signal: bool = True
    """False once signals could not be sent."""
    looked_at: datetime | None = None
    next_due_in: float | None = None

    @property
    def went(self) -> int:
        """Notifications that were sent, given to outside channels, or had expired."""
        return self.sent + self.sending + self.expired

    @property
    def moved(self) -> int:
        """Notifications whose status changed."""
        return self.went + self.parked

    def add(self, drained: Drained) -> None:
        """Count a chunk."""
        self.sent += drained.sent
        self.sending += drained.sending
        self.expired += drained.expired
        self.crowded = drained.crowded
        self.looked_at = drained.looked_at
        self.next_due_in = drained.next_due_in


async def drain(
    connection: AsyncConnection[Any],
    *,
    max_rows: int = 1000,
    due_from: datetime | None = None,
    avoid: Sequence[str] = (),
    quarantine: Sequence[int] = (),
    only: Sequence[int] | None = None,
    signal: bool = True,
    after: Sequence[int] = (),
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
        after=list(after),
    )


async def drain_anyway(connection: AsyncConnection[Any], total: Pass, **options: Any) -> Drained:
    """As `drain`, but without signals where those cannot be sent, for the rest of the pass."""
    try:
        return await drain(connection, **options, signal=total.signal)
    except (psycopg.Error, NotifyError) as error:
        if sqlstate_of(error) not in _NO_SIGNALS or not total.signal:
            raise
        reason = str(error).partition("\n")[0]
    log.error("signals cannot be sent; sending without, gateways find rows by their poll", reason=reason)
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


def sqlstate_of(error: BaseException | None) -> str | None:
    """Of a database error, or of the one that a notify error stands for."""
    if isinstance(error, NotifyError):
        error = error.__cause__
    return error.sqlstate if isinstance(error, psycopg.Error) else None
