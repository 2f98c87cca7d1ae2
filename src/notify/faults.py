"""A chunk that fails: halved down to the rows at fault, so that they stop nobody else.

A row that fails is left alone for half a minute, since the fault may pass. It is parked (`failed`, with its reason)
when it fails again and others went out meanwhile: then the fault is its own, and stays. Where nothing goes out, the
fault may be everything's, and what is due must not be lost to it.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection

from notify.drain import Pass, drain_anyway, sqlstate_of
from notify.errors import NotifyError
from notify.postgres.queries import one

log = structlog.get_logger("notify.faults")

# How long a row is left alone, and how many of them.
_QUARANTINE_SECONDS = 30.0
_MOST_QUARANTINED = 10_000
# A row that failed so long ago is judged anew.
_FORGOTTEN_SECONDS = 600.0
# So many single rows may fail, and none go out, before the rest of a chunk is left for the next pass.
_MOST_FAULTS = 100
# Connection, resources, operator, system, rollback and lock errors: no single row is at fault. Whatever else there is
# may be what a trigger of the application says, of one row alone.
_PASSING = ("08", "53", "57", "58", "40", "55P03", "25")


class _Held(msgspec.Struct):
    until: float
    others_went: bool


class Quarantine:
    """Rows that failed and are not parked: left alone for a while, and remembered when that is over."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}

    def add(self, id: int, *, others_went: bool) -> None:
        """Leave it alone from now on; not when full, as that would set another one free."""
        if not self.full:
            self._held[id] = _Held(time.monotonic() + _QUARANTINE_SECONDS, others_went)

    @property
    def full(self) -> bool:
        """Whether no more can be left alone."""
        return len(self.ids()) >= _MOST_QUARANTINED

    def ids(self) -> list[int]:
        """Those to be left alone now."""
        now = time.monotonic()
        self._held = {id: held for id, held in self._held.items() if held.until + _FORGOTTEN_SECONDS > now}
        return [id for id, held in self._held.items() if held.until > now]

    def others_went(self) -> None:
        """Something was sent after these failed."""
        for held in self._held.values():
            held.others_went = True

    def is_guilty(self, id: int) -> bool:
        """Whether it failed before, and others were sent beside it or since."""
        held = self._held.get(id)
        return held is not None and held.others_went

    def forget(self, id: int) -> None:
        """It is parked."""
        self._held.pop(id, None)


class _Fault(msgspec.Struct, frozen=True):
    id: int
    error: Exception

    @property
    def reason(self) -> str:
        return str(self.error).partition("\n")[0]


async def isolate(connection: AsyncConnection[Any], ids: list[int], quarantine: Quarantine, total: Pass) -> None:
    """Send these rows in halves; what fails alone is left alone for a while, or parked if it did so before.

    Raises the psycopg.Error of what is no row's fault.
    """
    went = total.went
    faults: list[_Fault] = []
    await _halve(connection, ids, faults, total, went)
    others_went = total.went > went
    if others_went:
        quarantine.others_went()
    left: list[_Fault] = []
    for fault in faults:
        if not (quarantine.is_guilty(fault.id) and await _park(connection, fault, quarantine, total)):
            left.append(fault)
    for fault in left:
        quarantine.add(fault.id, others_went=others_went)
    if left:
        first = left[0]
        log.error("notifications fail; left alone for a while", count=len(left), id=first.id, reason=first.reason)


async def park(connection: AsyncConnection[Any], id: int, reason: str) -> bool:
    """Put a notification that cannot be sent aside as failed; False if it is not pending any more."""
    return await one(connection, "park", bool, id=id, reason=reason)


def is_passing(error: Exception) -> bool:
    """Whether no row is at fault, and the same may work later."""
    sqlstate = sqlstate_of(error)
    return sqlstate is None or sqlstate.startswith(_PASSING)


async def _halve(
    connection: AsyncConnection[Any], ids: list[int], faults: list[_Fault], total: Pass, went: int
) -> None:
    if total.went == went and len(faults) >= _MOST_FAULTS:
        return
    try:
        total.add(await drain_anyway(connection, total, only=ids))
    except (psycopg.Error, NotifyError) as error:
        if is_passing(error):
            raise
        if len(ids) == 1:
            faults.append(_Fault(ids[0], error))
            return
        middle = len(ids) // 2
        await _halve(connection, ids[:middle], faults, total, went)
        await _halve(connection, ids[middle:], faults, total, went)


async def _park(connection: AsyncConnection[Any], fault: _Fault, quarantine: Quarantine, total: Pass) -> bool:
    """Park it; False if even that fails."""
    try:
        await park(connection, fault.id, fault.reason)
    except (psycopg.Error, NotifyError) as error:
        if is_passing(error):
            raise
        return False
    quarantine.forget(fault.id)
    total.parked += 1
    log.error("notification parked as faulty", id=fault.id, reason=fault.reason)
    return True
