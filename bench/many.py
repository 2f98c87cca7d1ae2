"""One `POST schedule` with very many recipients, beside the bare insert of the same rows."""

from __future__ import annotations

import http.client
import statistics
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec
import psycopg

from bench import accept, stack
from bench.context import Bench
from bench.report import Figure, ratio_at_least

TOPIC = "many"
_COUNT = 100_000
_ROUNDS = 3
_AHEAD = timedelta(days=3)
_BATCH = """
insert into notify.batch (type, priority, title, message, data, channels, scheduled_at, created_at)
values ('system', 'normal', 'Lesson', 'It starts in an hour', '{}', '{inbox}', %s, now())
returning id
"""
_NOTIFICATIONS = """
insert into notify.notification (batch_id, recipient, priority, due_at)
select %s, g.id, 'normal', %s from unnest(%s::text[]) as g (id)
"""


def measure(bench: Bench) -> list[Figure]:
    """In turns, each time in a fresh copy of a database that knows all recipients."""
    count = bench.size(_COUNT)
    with bench.cluster.database() as registered:
        with bench.progress(f"{TOPIC}: registering"):
            accept.register(registered, count)
        with bench.progress(f"{TOPIC}: rounds", _ROUNDS) as tell:
            bare, posted = [], []
            for done in range(_ROUNDS):
                bare.append(_bare(bench, registered, count))
                posted.append(_post(bench, registered, count))
                tell(done + 1)
    return [
        Figure(
            topic=TOPIC,
            what=f"one POST schedule with {_COUNT:,} recipients, from the request's first byte to the answer's last",
            value=count / statistics.median(posted),
            unit="rows/s",
            yardstick="bare insert … select from unnest() into the same table, with its keys and indexes",
            against=count / statistics.median(bare),
            aims=(ratio_at_least(0.7),),
            note=f"medians of {_ROUNDS} rounds in turns",
        )
    ]


def ids(count: int) -> list[str]:
    """Those that accept.register makes."""
    return [f"r{number:05d}" for number in range(count)]


def _bare(bench: Bench, registered: str, count: int) -> float:
    """Seconds for the batch's row and the rows of all, committed; one row before, to warm up."""
    with bench.cluster.database(copy_of=registered) as url, psycopg.connect(url) as connection:
        _insert(connection, ids(1))
        seconds = _insert(connection, ids(count))
        _check(connection, count)
    return seconds


def _insert(connection: psycopg.Connection, recipients: list[str]) -> float:
    due = _due()
    started = time.perf_counter()
    (batch,) = connection.execute(_BATCH, (due,)).fetchone() or (0,)
    connection.execute(_NOTIFICATIONS, (batch, due, recipients))
    connection.commit()
    return time.perf_counter() - started


def _post(bench: Bench, registered: str, count: int) -> float:
    """Seconds for the request; one for one recipient before, to warm up."""
    with (
        bench.cluster.database(copy_of=registered) as url,
        stack.notify("api", "--workers", "2", database_url=url) as api,
        psycopg.connect(url) as connection,
    ):
        _request(api.url, ids(1))
        seconds = _request(api.url, ids(count))
        _check(connection, count)
    return seconds


def _request(url: str, recipients: list[str]) -> float:
    """What is sent is made before, and what came is looked at afterwards."""
    fields = {"recipients": recipients, "title": "Lesson", "message": "It starts in an hour", "scheduled_at": _due()}
    body = msgspec.json.encode(fields)
    headers = {"Authorization": f"Bearer {stack.KEY}", "Content-Type": "application/json"}
    client = http.client.HTTPConnection(str(urlsplit(url).netloc), timeout=60)
    client.connect()
    started = time.perf_counter()
    client.request("POST", accept.PATH, body, headers)
    response = client.getresponse()
    answer = response.read()
    seconds = time.perf_counter() - started
    client.close()
    if response.status != 201 or msgspec.json.decode(answer)["count"] != len(recipients):
        raise RuntimeError(f"not all were accepted: {response.status} {answer[:500]!r}")
    return seconds


def _due() -> datetime:
    return datetime.now(UTC) + _AHEAD


def _check(connection: psycopg.Connection, count: int) -> None:
    """One more row than were timed, as one was there to warm up."""
    (stored,) = connection.execute("select count(*) from notify.notification").fetchone() or (0,)
    if stored != count + 1:
        raise RuntimeError(f"{stored} rows instead of {count + 1}")
