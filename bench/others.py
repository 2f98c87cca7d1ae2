"""How fast others send what is due at one instant: a Procrastinate job for each, and the stack that notify replaces."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import LiteralString

import procrastinate
import psycopg
from procrastinate.schema import SchemaManager
from procrastinate.types import JSONDict

from bench import accept, reference, stack
from bench.context import Bench
from bench.report import Figure
from bench.yardsticks import procrastinate_jobs

TOPIC = "others"
_COUNT = 5_000
_WARM_UP = 20
# Time to write them all before they are due.
_AHEAD = timedelta(seconds=6)
_LONGEST_SECONDS = 120.0


def measure(bench: Bench) -> list[Figure]:
    """The same number of notifications each, each alone in its database."""
    count = bench.size(_COUNT)
    with bench.progress(f"{TOPIC}: notify"):
        ours = _notify(bench, count)
    with bench.progress(f"{TOPIC}: bare Procrastinate"):
        figures = [
            _figure(
                "bare Procrastinate, a job for each, one worker with 10 at once",
                _procrastinate(bench, count),
                ours,
                "theirs from the first job to the last, each of which updates one row; ours from the instant on",
            )
        ]
    if reference.is_installed(bench, "Celery with Django", "celery", "redis", "django", programs=("redis-server",)):
        with bench.progress(f"{TOPIC}: Celery, Redis and Django"):
            figures.append(
                _figure(
                    "Celery + Redis + Django, a task for each, a worker with 2 processes",
                    _celery(bench, count),
                    ours,
                    "theirs from the start of the poll, which comes once a minute (30 s late on average, not counted)",
                )
            )
    return figures


def _figure(yardstick: str, theirs: float, ours: float, note: str) -> Figure:
    return Figure(
        topic=TOPIC,
        what=f"{_COUNT:,} due at one instant, sent by one `notify worker`, beside {yardstick.partition(',')[0]}",
        value=ours,
        unit="/s",
        yardstick=yardstick,
        against=theirs,
        note=note,
    )


def _notify(bench: Bench, count: int) -> float:
    """From the due instant until all are committed as sent; each was scheduled by a call of its own."""
    with bench.cluster.database() as url:
        accept.register(url, count)
        with stack.notify("worker", database_url=url), psycopg.connect(url, autocommit=True) as connection:
            at = _in_a_moment(connection)
            connection.execute(
                "select count(s.notification_id) from generate_series(0, %s - 1) as n, lateral notify.schedule("
                " array['r' || lpad(n::text, 5, '0')], 'Lesson', 'It starts in an hour', scheduled_at => %s) as s",
                (count, at),
            )
            if _now(connection) >= at:
                raise RuntimeError(f"scheduling {count} took longer than until they were due")
            all_sent: LiteralString = "select not exists (select from notify.notification n where n.status = 'pending')"
            stack.wait_for(url, all_sent, (), True, pause=0.005)
            seconds = (_now(connection) - at).total_seconds()
            _check(connection, "select count(*) from notify.notification n where n.status = 'sent'", count)
    return count / seconds


def _procrastinate(bench: Bench, count: int) -> float:
    """From the first job's update to the last one's: when it looks for scheduled jobs is not counted."""
    with bench.cluster.database(migrated=False) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SchemaManager.get_schema().encode())
        connection.execute(procrastinate_jobs.TABLE)
        connection.execute("insert into notification (id) select n from generate_series(0, %s - 1) as n", (count,))
        program = [sys.executable, "-m", "bench.yardsticks.procrastinate_jobs"]
        with stack.run(program, {"PROCRASTINATE_DATABASE": url}, None):
            stack.wait_for(url, "select count(*) from procrastinate_workers", (), 1)
            at = _in_a_moment(connection)
            with procrastinate_jobs.application(procrastinate.SyncPsycopgConnector(conninfo=url)).open() as app:
                arguments: list[JSONDict] = [{"number": number} for number in range(count)]
                app.configure_task(procrastinate_jobs.TASK, schedule_at=at).batch_defer(*arguments)
            # Before they are due, as the autovacuum of a server that runs for long would.
            connection.execute("analyze procrastinate_jobs")
            _wait_until_sent(url)
        _check(connection, "select count(*) from procrastinate_jobs j where j.attempts = 1", count)
        return count / _seconds(connection, "select max(n.sent_at) - min(n.sent_at) from notification n", ())


def _celery(bench: Bench, count: int) -> float:
    """From the start of the poll until the last is marked sent."""
    with bench.cluster.database(migrated=False) as url, psycopg.connect(url, autocommit=True) as connection:
        reference.create_tables(url)
        with reference.celery(url) as celery:
            for size in (_WARM_UP, count):
                connection.execute(
                    "insert into notification (recipient, title, message, type, priority, data, scheduled_at,"
                    " scheduled_status, is_sent, created_at)"
                    " select 'r' || lpad(n::text, 5, '0'), 'Lesson', 'It starts in an hour', 'system', 'normal', '{}',"
                    " now(), 'pending', false, now() from generate_series(0, %s - 1) as n",
                    (size,),
                )
                celery.poll()
                _wait_until_sent(url)
            polled_at = celery.polled_at()
        _check(connection, "select count(*) from notification n where n.scheduled_status = 'sent'", _WARM_UP + count)
        return count / _seconds(connection, "select max(n.sent_at) - %s::timestamptz from notification n", (polled_at,))


def _in_a_moment(connection: psycopg.Connection) -> datetime:
    return _now(connection) + _AHEAD


def _now(connection: psycopg.Connection) -> datetime:
    (now,) = connection.execute("select clock_timestamp()").fetchone() or ()
    assert isinstance(now, datetime)
    return now


def _wait_until_sent(database_url: str) -> None:
    unsent: LiteralString = "select count(*) from notification n where n.sent_at is null"
    stack.wait_for(database_url, unsent, (), 0, pause=0.1, seconds=_LONGEST_SECONDS)


def _seconds(connection: psycopg.Connection, question: LiteralString, parameters: tuple[str, ...]) -> float:
    (took,) = connection.execute(question, parameters).fetchone() or ()
    assert isinstance(took, timedelta)
    return took.total_seconds()


def _check(connection: psycopg.Connection, question: LiteralString, count: int) -> None:
    (found,) = connection.execute(question).fetchone() or (0,)
    if found != count:
        raise RuntimeError(f"{found} instead of {count}: {question}")
