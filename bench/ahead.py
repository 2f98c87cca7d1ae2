"""What is scheduled far ahead costs no signal and no job; with a job for each, every one of them costs all three."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString

import psycopg
from procrastinate.schema import SchemaManager
from psycopg import sql

from bench import accept
from bench.context import Bench
from bench.report import Figure, at_most

TOPIC = "ahead"
_COUNT = 100_000
_QUEUE = "bench"
_SESSIONS = 2
_END = "bench_end"
# A call each, a hundred to a transaction: as many signals as there may be, Postgres sends each kind but once in one.
_SCHEDULE = """
do $$
begin
  for n in {first} .. {last} loop
    perform from notify.schedule(array['r' || lpad((n % {recipients})::text, 5, '0')], 'Lesson ' || n,
      'It starts in an hour', scheduled_at => now() + interval '3 days' + n * interval '1 second');
    if n % 100 = 0 then commit; end if;
  end loop;
end
$$
"""
_DEFER = """
do $$
begin
  for n in {first} .. {last} loop
    perform procrastinate_defer_jobs_v1(array[row({queue}, 'send', 0, null, null, jsonb_build_object('id', n),
      now() + interval '3 days' + n * interval '1 second')::procrastinate_job_to_defer_v1]);
    if n % 100 = 0 then commit; end if;
  end loop;
end
$$
"""


def measure(bench: Bench) -> list[Figure]:
    """Both count what a listening session hears and which jobs there are afterwards."""
    count = bench.size(_COUNT)
    with bench.progress(f"{TOPIC}: notify"):
        signals, jobs = _notify(bench, count)
    with bench.progress(f"{TOPIC}: bare Procrastinate"):
        their_signals, their_jobs = _procrastinate(bench, count)
    what = f"{_COUNT:,} notifications scheduled one by one, due in 3 days"
    yardstick = "bare Procrastinate, a job for each"
    return [
        Figure(
            topic=TOPIC,
            what=f"{what}: NOTIFYs sent",
            value=signals,
            unit="",
            yardstick=yardstick,
            against=their_signals,
            aims=(at_most(0),),
        ),
        Figure(
            topic=TOPIC,
            what=f"{what}: Procrastinate jobs made",
            value=jobs,
            unit="",
            yardstick=yardstick,
            against=their_jobs,
            aims=(at_most(0),),
        ),
    ]


def _notify(bench: Bench, count: int) -> tuple[int, int]:
    with bench.cluster.database() as url, psycopg.connect(url, autocommit=True) as listener:
        accept.register(url, min(count, accept.RECIPIENTS))
        (secret,) = _row(listener, "select s.value from notify.secret s where s.name = 'signal_channel'")
        queues = ("notify_dispatch", "notify_tasks")
        _listen(listener, [str(secret), *_procrastinate_channels(queues)])
        _in_sessions(url, _SCHEDULE, count, recipients=min(count, accept.RECIPIENTS))
        (stored,) = _row(listener, "select count(*) from notify.notification")
        if stored != count:
            raise RuntimeError(f"{stored} notifications instead of {count}")
        (jobs,) = _row(listener, "select count(*) from notify_jobs.procrastinate_jobs")
        signals = _heard(listener)
        # That nothing was heard says something only if what is due now is heard.
        listener.execute("select from notify.schedule(array['r00000'], 'Lesson', 'It starts now')")
        if not _heard(listener):
            raise RuntimeError("what is due now sent no signal that was heard")
        return signals, int(str(jobs))


def _procrastinate(bench: Bench, count: int) -> tuple[int, int]:
    with bench.cluster.database(migrated=False) as url, psycopg.connect(url, autocommit=True) as listener:
        listener.execute(SchemaManager.get_schema().encode())
        _listen(listener, _procrastinate_channels([_QUEUE]))
        _in_sessions(url, _DEFER, count, queue=_QUEUE)
        (jobs,) = _row(listener, "select count(*) from procrastinate_jobs")
        if jobs != count:
            raise RuntimeError(f"{jobs} jobs instead of {count}")
        return _heard(listener), int(str(jobs))


def _procrastinate_channels(queues: Iterable[str]) -> list[str]:
    return ["procrastinate_any_queue_v1", *(f"procrastinate_queue_v1#{queue}" for queue in queues)]


def _in_sessions(url: str, block: LiteralString, count: int, **values: object) -> None:
    """The numbers 1 to `count`, shared among a few sessions."""

    def some(session: int) -> None:
        first, last = (count * part // _SESSIONS for part in (session, session + 1))
        given = {name: sql.Literal(value) for name, value in (values | {"first": first + 1, "last": last}).items()}
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL(block).format(**given))

    with ThreadPoolExecutor(_SESSIONS) as pool:
        list(pool.map(some, range(_SESSIONS)))


def _listen(listener: psycopg.Connection, channels: Iterable[str]) -> None:
    for channel in (*channels, _END):
        listener.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))


def _heard(listener: psycopg.Connection) -> int:
    """How many signals came before the one that is sent now."""
    listener.execute(sql.SQL("notify {}").format(sql.Identifier(_END)))
    for before, signal in enumerate(listener.notifies(timeout=60)):
        if signal.channel == _END:
            return before
    raise RuntimeError("the listener does not hear its own signal")


def _row(connection: psycopg.Connection, question: LiteralString) -> tuple[object, ...]:
    row = connection.execute(question).fetchone()
    assert row is not None
    return row
