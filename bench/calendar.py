"""With ten million notifications stored for the years to come, beside an empty database of the same shape."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import psycopg

from bench import rows, stack
from bench.arrivals import Arrivals, arrivals
from bench.context import Bench
from bench.report import Figure, ratio_at_least, ratio_at_most

_STORED = 10_000_000
_RECIPIENTS = 100_000
_BATCHES = 20_000
_PIECE = 250_000
# Both databases are measured by turns, in small pieces, so that what else the machine does meets both.
_TURNS = 4
_LATE_EACH = 50
_CALLS = 8_000
_CALLS_EACH = 100
_WARM_UP = 20
_APART_SECONDS = 0.04
_AHEAD_SECONDS = 1.0

_FILL_BATCHES = """
insert into notify.batch (type, priority, title, message, data, channels, scheduled_at, created_at)
select 'reminder', 'normal', 'Bench', 'A message of usual length, as people write it.', '{}', '{inbox}', now(), now()
from generate_series(1, %s::integer)
"""
# One to five years ahead, in no order: less than the farthest that schedule() takes.
_FILL = """
insert into notify.notification (batch_id, recipient, priority, due_at)
select (select min(b.id) from notify.batch b) + n %% %(batches)s, 'user-' || 1 + n %% %(recipients)s, 'normal',
  now() + interval '1 year' + random() * interval '4 years'
from generate_series(%(first)s::integer, %(last)s::integer) n
"""
_INDEXES = """
select indexdef, format('drop index notify.%I', indexname) from pg_indexes
where schemaname = 'notify' and tablename = 'notification' and indexname <> 'notification_pkey'
"""
_SCHEDULE = "select s.notification_id from notify.schedule(array[%s], 'Bench', 'A message', scheduled_at => %s) s"


class _Place:
    """One of the two databases, with a socket on its own API process, and what was measured there."""

    def __init__(self, db: rows.Db, received: Arrivals, recipients: list[str]) -> None:
        self._db = db
        self._received = received
        self._recipients = recipients

    def schedule(self, at: datetime) -> None:
        """For the one whose socket is open."""
        self._db.execute(_SCHEDULE, (self._recipients[0], at))

    def lateness(self, count: int) -> list[float]:
        """Milliseconds from `scheduled_at` to the frame, of so many that are on their way."""
        found = [self._received.next() for _ in range(count)]
        return [(at - datetime.fromisoformat(one["scheduled_at"]).timestamp()) * 1000 for at, one in found]

    def call(self, count: int) -> float:
        """Seconds of so many calls of notify.schedule for one recipient, years ahead, each committed."""
        now = datetime.now(UTC)
        wanted = [
            (random.choice(self._recipients), now + timedelta(days=random.uniform(400, 1_800))) for _ in range(count)
        ]
        started = time.perf_counter()
        for recipient, at in wanted:
            self._db.execute(_SCHEDULE, (recipient, at))
        return time.perf_counter() - started


def measure(bench: Bench) -> list[Figure]:
    """Lateness, and how fast single calls are accepted."""
    stored = bench.size(_STORED)
    with ExitStack() as until:
        full, empty = (_open(bench, until, pending) for pending in (stored, 0))
        places = (full, empty)
        # Pays for connections and plans.
        _late_by_turns(places, _WARM_UP)
        _seconds_by_turns(places, _WARM_UP)
        late: tuple[list[float], list[float]] = ([], [])
        seconds = [0.0, 0.0]
        with bench.progress("calendar: turns", _TURNS) as done:
            for turn in range(_TURNS):
                for kept, more in zip(late, _late_by_turns(places, bench.size(_LATE_EACH)), strict=True):
                    kept.extend(more)
                for number, took in enumerate(_seconds_by_turns(places, bench.size(_CALLS) // _TURNS)):
                    seconds[number] += took
                done(turn + 1)
    return [
        Figure(
            topic="calendar",
            what=f"lateness with {stored:,} stored for later, scheduled_at to frame, p50",
            value=statistics.median(late[0]),
            unit="ms",
            yardstick="the same in an empty database",
            against=statistics.median(late[1]),
            aims=(ratio_at_most(1.2),),
        ),
        Figure(
            topic="calendar",
            what=f"single notify.schedule calls with {stored:,} stored for later, one connection",
            value=bench.size(_CALLS) / seconds[0],
            unit="calls/s",
            yardstick="the same in an empty database",
            against=bench.size(_CALLS) / seconds[1],
            aims=(ratio_at_least(0.85),),
        ),
    ]


def _late_by_turns(places: tuple[_Place, _Place], count: int) -> tuple[list[float], list[float]]:
    """Lateness of so many in each, due now in the one and now in the other."""
    first = datetime.now(UTC) + timedelta(seconds=_AHEAD_SECONDS)
    for number in range(2 * count):
        at = first + timedelta(seconds=_APART_SECONDS / 2 * (number + random.uniform(0, 0.5)))
        places[number % 2].schedule(at)
    return places[0].lateness(count), places[1].lateness(count)


def _seconds_by_turns(places: tuple[_Place, _Place], count: int) -> tuple[float, float]:
    """Of so many calls in each, some in the one and then some in the other."""
    seconds = [0.0, 0.0]
    for start in range(0, count, _CALLS_EACH):
        for number, place in enumerate(places):
            seconds[number] += place.call(min(_CALLS_EACH, count - start))
    return seconds[0], seconds[1]


def _open(bench: Bench, until: ExitStack, pending: int) -> _Place:
    """A database with so many pending ones, and notify's processes on it."""
    url = until.enter_context(bench.cluster.database())
    db = until.enter_context(psycopg.connect(url, autocommit=True))
    names = rows.register(db, bench.size(_RECIPIENTS))
    with bench.progress(f"calendar: storing {pending:,}", pending or None) as done:
        _fill(db, len(names), pending, done)
    db.execute("checkpoint")
    api = until.enter_context(stack.notify("api", database_url=url))
    until.enter_context(stack.notify("worker", database_url=url))
    return _Place(db, until.enter_context(arrivals(api.url, names[0])), names)


def _fill(db: rows.Db, recipients: int, pending: int, done: Callable[[int], None]) -> None:
    """Store them past triggers and foreign keys; the secondary indexes are made afterwards."""
    indexes = db.execute(_INDEXES).fetchall()
    db.execute("set session_replication_role to replica")
    db.execute("set maintenance_work_mem to '1GB'")
    # Autovacuum would read all of it while it is measured; the one below does its work.
    db.execute("alter table notify.notification set (autovacuum_enabled = off)")
    for _, drop in indexes:
        db.execute(drop.encode())
    db.execute(_FILL_BATCHES, (_BATCHES,))
    for first in range(1, pending + 1, _PIECE):
        last = min(first + _PIECE - 1, pending)
        db.execute(_FILL, {"batches": _BATCHES, "recipients": recipients, "first": first, "last": last})
        done(last)
    for definition, _ in indexes:
        db.execute(definition.encode())
    db.execute("vacuum analyze notify.notification, notify.batch")
    db.execute("alter table notify.notification reset (autovacuum_enabled)")
    db.execute("reset session_replication_role")
