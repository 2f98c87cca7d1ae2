"""The drain and its empty look while another session holds a snapshot, which keeps what was sent in the index."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection

from bench import rows
from bench.context import Bench
from bench.report import Aim, Figure, at_most, ratio_at_least
from notify.dispatch import drain_all
from notify.drain import drain
from notify.faults import Quarantine
from notify.postgres.connection import connect

_SENT = 400_000
_WAVE = 10_000
_PROBES = 300
_CHUNK = 1_000
# As far behind its last look as the ticker looks.
_GRACE = timedelta(seconds=2)

_SCHEDULE_NOW = """
select count(s.notification_id)
from notify.schedule(%s::text[], 'Bench', 'A message of usual length, as people write it.') s
"""


class _Measured(NamedTuple):
    rate: float
    probe_milliseconds: float


def measure(bench: Bench) -> list[Figure]:
    """Waves to others each time and to the same ones each time, and what a look that finds nothing takes after them."""
    sent = bench.size(_SENT)
    free, held = (_in_waves(bench, sent, sent // 2, snapshot=snapshot) for snapshot in (False, True))
    same_free, same_held = (_in_waves(bench, sent, _WAVE, snapshot=snapshot) for snapshot in (False, True))
    return [
        _rate(f"{sent:,} to {sent // 2:,} recipients, in waves of {_WAVE:,}", held, free, (ratio_at_least(0.8),)),
        # A mailbox is updated by each wave, and none of its old versions can be removed meanwhile: the worst case.
        _rate(f"{sent:,} to the same {_WAVE:,} recipients, {sent // _WAVE} each", same_held, same_free, ()),
        Figure(
            topic="snapshot",
            what=f"the ticker's empty look, 3 s after {sent:,} were sent under a snapshot, p50",
            value=held.probe_milliseconds,
            unit="ms",
            yardstick="the same without the snapshot",
            against=free.probe_milliseconds,
            aims=(at_most(1.0),),
        ),
    ]


def _rate(what: str, held: _Measured, free: _Measured, aims: tuple[Aim, ...]) -> Figure:
    return Figure(
        topic="snapshot",
        what=f"drain of {what}, while a snapshot is held",
        value=held.rate,
        unit="rows/s",
        yardstick="the same without the snapshot",
        against=free.rate,
        aims=aims,
    )


def _in_waves(bench: Bench, count: int, recipients: int, *, snapshot: bool) -> _Measured:
    with ExitStack() as until:
        url = until.enter_context(bench.cluster.database())
        db = until.enter_context(psycopg.connect(url, autocommit=True))
        names = rows.register(db, recipients)
        if snapshot:
            holder = until.enter_context(psycopg.connect(url))
            holder.execute("set transaction isolation level repeatable read")
            holder.execute("select 1 from notify.notification")
        what = "under a snapshot" if snapshot else "without a snapshot"
        done = until.enter_context(bench.progress(f"snapshot: waves {what}", count))
        waves = [names[start % recipients :][:_WAVE] for start in range(0, count, _WAVE)]
        return asyncio.run(_drain_waves(url, db, waves, done))


async def _drain_waves(url: str, db: rows.Db, waves: list[list[str]], done: Callable[[int], None]) -> _Measured:
    """As the ticker: each pass looks from the mark that the one before has left. Only the passes are timed."""
    connection = await connect(url, name="bench")
    quarantine = Quarantine()
    mark, sent, seconds = None, 0, 0.0
    async with connection:
        for number, wave in enumerate(waves, 1):
            rows.value(db, _SCHEDULE_NOW, wave)
            started = time.perf_counter()
            passed = await drain_all(connection, quarantine, max_rows=_CHUNK, due_from=mark)
            seconds += time.perf_counter() - started
            sent += passed.sent
            if sent != number * len(wave) or not passed.complete or passed.looked_at is None:
                raise RuntimeError(f"{sent} were sent after {number} waves of {len(wave)}")
            mark = passed.looked_at - _GRACE
            done(sent)
        rate = sent / seconds
        # Before, its mark is among what was sent just now.
        await asyncio.sleep(1.5 * _GRACE.total_seconds())
        return _Measured(rate, await _look(connection))


async def _look(connection: AsyncConnection[Any]) -> float:
    """Milliseconds of a look that finds nothing, from where the ticker's mark is by now."""
    took = []
    mark = (await drain(connection)).looked_at - _GRACE
    for _ in range(_PROBES):
        started = time.perf_counter()
        looked = await drain(connection, due_from=mark)
        took.append((time.perf_counter() - started) * 1000)
        mark = looked.looked_at - _GRACE
        if looked.picked:
            raise RuntimeError("something was due after all had been sent")
    return statistics.median(took)
