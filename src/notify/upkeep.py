"""What the tasks do: dispatch, the sweep, rescues, and retention. Each returns what it did, as numbers by name.

Everything is done in bounded batches, each its own transaction, and can be stopped and run again at any point.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from psycopg import AsyncConnection

from notify.config import Settings
from notify.delivery import plan_deliveries, release_held
from notify.dispatch import drain_all
from notify.drain import Pass
from notify.errors import InvalidValue
from notify.faults import Quarantine
from notify.postgres.queries import one

Statistics = dict[str, int]
_BATCH = 1000
# Seconds between the tries of a dispatch that others crowd out; then what is due is the sweep's.
_TURNS = (0.05, 0.1, 0.2, 0.4, 0.8)


class Tidied(msgspec.Struct, frozen=True):
    """What tidying deleted."""

    answers: int
    wakeups: int
    jobs: int


class Deleted(msgspec.Struct, frozen=True):
    """What one batch of retention deleted: notifications, and batches left empty."""

    deleted: int
    batches: int


async def dispatch(
    connection: AsyncConnection[Any], settings: Settings, quarantine: Quarantine | None = None
) -> Statistics:
    """Send what is due, and set the alarm clocks of the coming minute: what is due later in a dispatch job's own
    second has no other. `quarantine` is that of the process' ticker."""
    drained = await _drain_in_turn(connection, quarantine or Quarantine(), max_rows=settings.drain_chunk)
    return {**drained, "planned": await plan(connection)}


async def sweep(
    connection: AsyncConnection[Any], settings: Settings, quarantine: Quarantine | None = None
) -> Statistics:
    """Send what is overdue, from the beginning and not from a low-water mark; plan the coming minute's jobs; take back
    deliveries whose worker is gone, and let go what a paused type held; delete what nobody needs any more.
    `quarantine` is that of the process' ticker."""
    drained = await drain_all(connection, quarantine or Quarantine(), max_rows=settings.drain_chunk)
    planned = await plan(connection) + await plan_deliveries(connection)
    rescued = await rescue_deliveries(connection, max_rows=_BATCH)
    released = await release_held(connection, max_rows=10 * _BATCH)
    tidied = await tidy(connection, keep_hours=settings.idempotency_hours, max_rows=10 * _BATCH)
    return {
        **_drained(drained),
        "planned": planned,
        "rescued": rescued,
        "released": released,
        "answers_deleted": tidied.answers,
        "wakeups_deleted": tidied.wakeups,
        "jobs_deleted": tidied.jobs,
    }


async def _drain_in_turn(connection: AsyncConnection[Any], quarantine: Quarantine, *, max_rows: int) -> Statistics:
    """Drain; while others do, they may not see what this was called for, so it tries again for a while."""
    total = _drained(Pass())
    for pause in (*_TURNS, None):
        done = await drain_all(connection, quarantine, max_rows=max_rows)
        total = {name: count + total[name] for name, count in _drained(done).items()}
        if pause is None or not done.crowded:
            break
        await asyncio.sleep(pause)
    return total


def _drained(done: Pass) -> Statistics:
    return {"sent": done.sent, "sending": done.sending, "expired": done.expired, "parked": done.parked}


async def plan(connection: AsyncConnection[Any]) -> int:
    """Set the alarm clocks of the coming minute; how many seconds have something due."""
    return await one(connection, "plan", int)


async def tidy(connection: AsyncConnection[Any], *, keep_hours: int, max_rows: int) -> Tidied:
    """Delete old idempotency answers, unanswered wakeups and dispatch jobs that are over."""
    return await one(connection, "tidy", Tidied, keep_hours=keep_hours, max_rows=max_rows)


async def retry_failed_notifications(connection: AsyncConnection[Any], *, limit: int = 100) -> Statistics:
    """Take back up to `limit` deliveries whose lease ran out, so that they are tried again."""
    _require("limit", limit, least=1, most=100_000)
    return {"rescued": await rescue_deliveries(connection, max_rows=limit)}


async def rescue_deliveries(connection: AsyncConnection[Any], *, max_rows: int) -> int:
    """Make deliveries pending again whose lease ran out; how many."""
    return await one(connection, "rescue_deliveries", int, max_rows=max_rows)


async def cleanup_cancelled_notifications(connection: AsyncConnection[Any], *, days_old: int = 30) -> Statistics:
    """Delete notifications that were cancelled more than `days_old` days ago, in batches."""
    _require("days_old", days_old, least=0, most=36_500)
    total = {"deleted": 0, "batches_deleted": 0}
    while True:
        done = await delete_cancelled(connection, days=days_old, max_rows=_BATCH)
        _count(total, done)
        if done.deleted < _BATCH:
            return total


async def delete_old_notifications(connection: AsyncConnection[Any], *, days_old: int = 90) -> Statistics:
    """Delete notifications that were sent or failed more than `days_old` days ago, in batches."""
    _require("days_old", days_old, least=0, most=36_500)
    total = {"deleted": 0, "batches_deleted": 0}
    while True:
        done = await delete_old(connection, days=days_old, max_rows=_BATCH)
        _count(total, done)
        if done.deleted < _BATCH:
            return total


async def delete_cancelled(connection: AsyncConnection[Any], *, days: int, max_rows: int) -> Deleted:
    """One batch of cancelled notifications."""
    return await one(connection, "delete_cancelled", Deleted, days=days, max_rows=max_rows)


async def delete_old(connection: AsyncConnection[Any], *, days: int, max_rows: int) -> Deleted:
    """One batch of sent and failed notifications."""
    return await one(connection, "delete_old", Deleted, days=days, max_rows=max_rows)


def _count(total: Statistics, done: Deleted) -> None:
    total["deleted"] += done.deleted
    total["batches_deleted"] += done.batches


def _require(name: str, value: object, *, least: int, most: int) -> None:
    """Values come from the command line too. Raises InvalidValue."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidValue(f"{name} must be a whole number from {least} to {most}, not {value!r}", field=name)
