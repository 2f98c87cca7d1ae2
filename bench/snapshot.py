"""The drain and its empty look while another session holds a snapshot, which keeps what was sent in the index."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import NamedTuple

import psycopg

from bench import rows
from bench.context import Bench
from bench.report import Figure, at_most, ratio_at_least
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
    """Waves of ten thousand, and what a look that finds nothing takes after them."""
    sent = bench.size(_SENT)
    free, held = (_in_waves(bench, sent, snapshot=snapshot) for snapshot in (False, True))
    return [
        Figure(
            topic="snapshot",
            what=f"drain of {sent:,} in waves of {_WAVE:,} under a snapshot that is held all the time",
            value=held.rate,
            unit="rows/s",
            yardstick="the same without the snapshot",
            against=free.rate,
            aims=(ratio_at_least(0.8),),
        ),
        Figure(
            topic="snapshot",
            what=f"the ticker's empty look after {sent:,} were sent under that snapshot, p50",
            value=held.probe_milliseconds,
            unit="ms",
            yardstick="the same without the snapshot",
            against=free.probe_milliseconds,
            aims=(at_most(1.0),),
        ),
    ]


def _in_waves(bench: Bench, count: int, *, snapshot: bool) -> _Measured:
    with ExitStack() as until:
        url = until.enter_context(bench.cluster.database())
        db = until.enter_context(psycopg.connect(url, autocommit=True))
        names = rows.register(db, _WAVE)
        if snapshot:
            holder = until.enter_context(psycopg.connect(url))
            holder.execute("set transaction isolation level repeatable read")
            holder.execute("select 1 from notify.notification")
        what = "under a snapshot" if snapshot else "without a snapshot"
        done = until.enter_context(bench.progress(f"snapshot: waves {what}", count))
        return asyncio.run(_drain_waves(url, db, names, count // _WAVE, done))


async def _drain_waves(url: str, db: rows.Db, names: list[str], waves: int, done: Callable[[int], None]) -> _Measured:
    """As the ticker: each pass looks from the mark that the one before has left. Only the passes are timed."""
    connection = await connect(url, name="bench")
    quarantine = Quarantine()
    mark, sent, seconds = None, 0, 0.0
    async with connection:
        for wave in range(waves):
            rows.value(db, _SCHEDULE_NOW, names)
            started = time.perf_counter()
            passed = await drain_all(connection, quarantine, max_rows=_CHUNK, due_from=mark)
            seconds += time.perf_counter() - started
            sent += passed.sent
            if sent != (wave + 1) * len(names) or not passed.complete or passed.looked_at is None:
                raise RuntimeError(f"{sent} were sent after {wave + 1} waves of {len(names)}")
            mark = passed.looked_at - _GRACE
            done(sent)
        rate = sent / seconds
        await asyncio.sleep(1.5 * _GRACE.total_seconds())  # the ticker goes on looking meanwhile, and its mark goes on
        took = []
        for _ in range(_PROBES):
            passed = await drain_all(connection, quarantine, max_rows=_CHUNK, due_from=mark)
            assert passed.looked_at is not None
            mark = passed.looked_at - _GRACE
            started = time.perf_counter()
            looked = await drain(connection, due_from=mark)
            took.append((time.perf_counter() - started) * 1000)
            if looked.picked:
                raise RuntimeError("something was due after all had been sent")
    return _Measured(rate, statistics.median(took))
