"""How cost grows: with the recipients of a request, with what is due, with what is pending; and what a row takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg

from bench import rows
from bench.context import Bench
from bench.report import Figure

_SIZES = (1, 10, 100, 1_000, 10_000, 100_000)
_DUE = (1_000, 10_000, 100_000)
_PENDING = (0, 100_000, 1_000_000)
# So many rows a figure at least, in as many statements as that takes; and so many statements at most.
_ROWS = 20_000
_CALLS = 400

_SCHEDULE = "select count(s.notification_id) from notify.schedule(%s::text[], 'Bench', 'As people write.', %s) s"
_DRAIN = "select d.picked from notify.drain() d"
_LOOK = "select d.picked from notify.drain(p_due_from => notify.now() - interval '2 seconds') d"
_DELETE = "select d.deleted from notify.delete_old(interval '0 seconds', 1000) d"
_WAL = "select pg_current_wal_insert_lsn() - %s::pg_lsn"
_SPACE = """
select sum(pg_total_relation_size(c.oid)) from pg_class c
where c.relnamespace = 'notify'::regnamespace and c.relname in ('notification', 'batch', 'mailbox', 'recipient')
"""


def measure(bench: Bench) -> list[Figure]:
    """One database: it fills as it goes."""
    with bench.cluster.database() as url, psycopg.connect(url, autocommit=True) as db:
        recipients = rows.register(db, bench.size(_SIZES[-1]))
        with bench.progress("growth: recipients a request, due at once"):
            accepted = [_accept(db, recipients[:size]) for size in _SIZES if size <= len(recipients)]
            sent = [_send(db, recipients[:size]) for size in _DUE if size <= len(recipients)]
            taken = _taken(db, recipients)
        pending = [_pending(bench, size) for size in map(bench.size, _PENDING)]
    return [*accepted, *sent, *(figure for pair in pending for figure in pair), *taken]


def _accept(db: rows.Db, recipients: list[str]) -> Figure:
    at = rows.value(db, "select now() + interval '3 days'")
    calls = max(1, min(_CALLS, _ROWS // len(recipients)))
    took = _timed(calls, lambda: db.execute(_SCHEDULE, (recipients, at)))
    return _figure(f"schedule(), {len(recipients):,} recipients a call", len(recipients) / took, "rows/s")


def _send(db: rows.Db, recipients: list[str]) -> Figure:
    rates = []
    for _ in range(max(1, _ROWS // len(recipients))):
        db.execute(_SCHEDULE, (recipients, None))
        started = time.perf_counter()
        while rows.value(db, _DRAIN):
            pass
        rates.append(len(recipients) / (time.perf_counter() - started))
    return _figure(f"drain of {len(recipients):,} due at once", statistics.median(rates), "rows/s")


def _pending(bench: Bench, size: int) -> tuple[Figure, Figure]:
    with bench.cluster.database() as url, psycopg.connect(url, autocommit=True) as db:
        recipients = rows.register(db, min(max(size, 1), rows.LARGEST_BATCH))
        at = rows.value(db, "select now() + interval '1 year'")
        with bench.progress(f"growth: {size:,} pending", size) as done:
            for start in range(0, size, len(recipients)):
                db.execute(_SCHEDULE, (recipients, at + timedelta(seconds=start)))
                done(start)
        db.execute("vacuum analyze notify.notification, notify.batch, notify.wakeup")
        look = _timed(_CALLS, lambda: db.execute(_LOOK))
        single = _timed(_CALLS, lambda: db.execute(_SCHEDULE, (recipients[:1], at)))
    return (
        _figure(f"a look that finds nothing, {size:,} pending", look * 1e6, "µs"),
        _figure(f"schedule() of one, {size:,} pending", single * 1e6, "µs"),
    )


def _taken(db: rows.Db, recipients: list[str]) -> list[Figure]:
    """What a notification that was sent takes of the disk, and what it wrote into the log on its way."""
    db.execute("checkpoint")
    space, log = rows.value(db, _SPACE), rows.value(db, "select pg_current_wal_insert_lsn()")
    db.execute(_SCHEDULE, (recipients, None))
    accepted = float(rows.value(db, _WAL, log))
    while rows.value(db, _DRAIN):
        pass
    sent = float(rows.value(db, _WAL, log)) - accepted
    grown = float(rows.value(db, _SPACE) - space)
    one = len(recipients)
    started, deleted = time.perf_counter(), 0
    while some := rows.value(db, _DELETE):
        deleted += some
    rate = deleted / (time.perf_counter() - started)
    return [
        _figure("disk a notification takes, sent, with its indexes", grown / one, "bytes"),
        _figure("log (WAL) written for it when it is scheduled, after a checkpoint", accepted / one, "bytes"),
        _figure("log (WAL) written for it when it is sent", sent / one, "bytes"),
        _figure("retention deletes what was sent", rate, "rows/s"),
    ]


def _timed(calls: int, call: Callable[[], object]) -> float:
    """Seconds a call, the median of so many."""
    took = []
    for _ in range(calls):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def _figure(what: str, value: float, unit: str) -> Figure:
    return Figure(topic="growth", what=what, value=value, unit=unit)
