"""The drain of what is due at one instant, with sockets that receive theirs, beside the bare statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from bench import memory, rows, stack
from bench.context import Bench
from bench.crowd import crowd
from bench.report import Figure, at_least, ratio_at_least, ratio_at_most
from notify.postgres import queries

_DUE = 200_000
_TIMES = 5
_SOCKETS = 1_000
_ON_SOCKETS = 200
_CHUNK = 1_000


class _Drained(NamedTuple):
    rate: float
    worker_megabytes: float
    api_megabytes: float
    api_microseconds: float


def measure(bench: Bench) -> list[Figure]:
    """200,000, five times as many, and 200,000 that all go to sockets."""
    due = bench.size(_DUE)
    some = bench.size(_SOCKETS)
    bare = _bare(bench, due)
    once = _with_sockets(bench, recipients=due, sockets_open=some, each=1)
    more = _with_sockets(bench, recipients=due, sockets_open=some, each=_TIMES)
    all_live = _with_sockets(bench, recipients=some, sockets_open=some, each=_ON_SOCKETS)
    large, small = f"{due * _TIMES:,}", f"{due:,}"
    return [
        Figure(
            topic="drain",
            what=f"drain of {small} due at one instant, {some:,} sockets receiving theirs",
            value=once.rate,
            unit="rows/s",
            yardstick="the drain statement in a loop, nobody listening",
            against=bare,
            aims=(ratio_at_least(0.8), at_least(25_000)),
        ),
        Figure(
            topic="drain",
            what=f"drain of {large} due at one instant, {some:,} sockets receiving theirs",
            value=more.rate,
            unit="rows/s",
            yardstick=f"the drain of {small}",
            against=once.rate,
        ),
        _memory("worker", large, small, more.worker_megabytes, once.worker_megabytes),
        _memory("API process", large, small, more.api_megabytes, once.api_megabytes),
        Figure(
            topic="drain",
            what=f"CPU of the API process for a row of these, of which one in {due // some:,} is for a socket",
            value=more.api_microseconds,
            unit="µs",
        ),
        Figure(
            topic="drain",
            what=f"drain of {some * _ON_SOCKETS:,}, all of them to {some:,} connected sockets",
            value=all_live.rate,
            unit="rows/s",
        ),
    ]


def _memory(whose: str, large: str, small: str, value: float, against: float) -> Figure:
    return Figure(
        topic="drain",
        what=f"peak memory of the {whose}, drain of {large}",
        value=value,
        unit="MB",
        yardstick=f"its peak in the drain of {small}",
        against=against,
        aims=(ratio_at_most(1.1),),
    )


def _bare(bench: Bench, count: int) -> float:
    """Rows a second of the statement alone, over one connection."""
    with (
        bench.cluster.database() as url,
        psycopg.connect(url, autocommit=True) as db,
        bench.progress("drain: bare", count) as done,
    ):
        since = rows.schedule_at_once(db, rows.batches_of(rows.register(db, count)), lambda _: None)
        rows.sleep_until(since)
        given: dict[str, Any] = {"max_rows": _CHUNK, "due_from": None, "only": None, "signal": True}
        given |= {"avoid": [], "quarantine": [], "after": []}
        sent = 0
        while (row := db.execute(queries.text("drain"), given).fetchone()) is not None and row[0] > 0:
            sent += row[1]
            given["after"] = row[-1] or []
            done(sent)
        return rows.rate(db, since, count)


def _with_sockets(bench: Bench, *, recipients: int, sockets_open: int, each: int) -> _Drained:
    """Rows a second of a worker while an API process hands them to sockets; raises unless each got all of theirs."""
    with (
        bench.cluster.database() as url,
        psycopg.connect(url, autocommit=True) as db,
        stack.notify("api", database_url=url) as api,
        stack.notify("worker", database_url=url) as worker,
        bench.progress(f"drain: {recipients * each:,}", recipients * each) as done,
    ):
        names = rows.register(db, recipients)
        batches: list[Sequence[str]] = rows.batches_of(names) * each
        with (
            crowd(api.url) as clients,
            memory.peaks(worker, api) as peaks,
        ):
            clients.connect(names[:: recipients // sockets_open][:sockets_open])
            clients.wait(60)
            clients.aim(each)
            since = rows.schedule_at_once(db, batches, lambda _: None)
            rows.sleep_until(since)
            before = api.cpu_seconds()
            rows.wait_until_sent(db, done)
            clients.wait(60)
            cpu = (api.cpu_seconds() - before) / (recipients * each) * 1e6
        worker_peak, api_peak = peaks.megabytes
        return _Drained(rows.rate(db, since, recipients * each), worker_peak, api_peak, cpu)
