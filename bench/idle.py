"""What `notify up` costs while there is nothing to do."""

from __future__ import annotations

import time

import psutil
import psycopg

from bench import stack
from bench.context import Bench
from bench.report import Figure, at_most

_SETTLE_SECONDS = 10
_SECONDS = 30
_SESSIONS = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


def measure(bench: Bench) -> list[Figure]:
    """CPU and memory of its process; with a database of its own choice it has no Postgres as a child."""
    seconds = max(3, bench.size(_SECONDS))
    with (
        bench.cluster.database() as database,
        stack.notify("up", database_url=database) as up,
        psycopg.connect(database, autocommit=True) as connection,
        bench.progress("idle", _SETTLE_SECONDS + seconds),
    ):
        time.sleep(min(_SETTLE_SECONDS, seconds))
        sessions = {pid: _cpu_seconds(pid) for (pid,) in connection.execute(_SESSIONS)}
        before, started = up.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - started
        used = up.cpu_seconds() - before
        theirs = sum(_cpu_seconds(pid) - then for pid, then in sessions.items() if psutil.pid_exists(pid))
        resident = up.resident_bytes()
        programs = {process.name() for process in up.family()}
    if any("postgres" in name for name in programs):
        raise RuntimeError(f"Postgres is counted with notify: {programs}")
    return [
        Figure(
            topic="idle",
            what="CPU of notify up while idle, of one core",
            value=100 * used / took,
            unit="%",
            aims=(at_most(1),),
            note=f"over {took:.0f} s",
        ),
        Figure(
            topic="idle",
            what="CPU of its Postgres sessions meanwhile, of one core",
            value=100 * theirs / took,
            unit="%",
            note=f"{len(sessions)} sessions",
        ),
        Figure(
            topic="idle",
            what="resident memory of notify up while idle, without Postgres",
            value=resident / 1e6,
            unit="MB",
            aims=(at_most(180),),
        ),
    ]


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
