"""How late frames are, over `notify up` while nothing else goes on.

scheduled   from `scheduled_at` until the frame is at the client, scheduled 2 s or more ahead, some 40 ms apart
now         from just before the POST until the frame is at the client, one at a time, with random pauses

Client, service and Postgres run on one machine and share its clock.
"""

from __future__ import annotations

import http.client
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg

from bench import stack
from bench.context import Bench
from bench.crowd import Crowd, crowd
from bench.report import Figure, at_most, percentile

_ROUNDS = 200
_ROUNDS_OF_ONE_CLOCK = 50
_APART = 0.04
_RECIPIENT = "bench"
# The first ones pay for connections, and for plans that are not cached yet.
_WARM_UP = 10
_ROUND_TRIP = "one Postgres round trip (select 1)"
_TIME = re.compile(rb'"scheduled_at":"([^"]+)"')


class Series(msgspec.Struct, frozen=True):
    """How late each frame was, in milliseconds, in the order of arrival."""

    scheduled: list[float]
    now: list[float]


def measure(bench: Bench) -> list[Figure]:
    """Both clocks with aims, then what each of them does alone."""
    with bench.cluster.database() as url:
        trips = round_trips(url, bench.size(_ROUNDS))
    both = lateness(bench, "both clocks", bench.size(_ROUNDS))
    figures = [
        *_figures("scheduled_at → frame, idle", both.scheduled, trips, (5, 20)),
        *_figures("POST now → frame, idle, one at a time", both.now, trips, (15, 40)),
    ]
    for name, settings in {
        "the ticker alone": {"jobs_enabled": "false"},
        "the jobs alone": {"ticker_enabled": "false"},
    }.items():
        alone = lateness(bench, name, bench.size(_ROUNDS_OF_ONE_CLOCK), **settings)
        figures += _figures(f"scheduled_at → frame, idle, {name}", alone.scheduled)
        figures += _figures(f"POST now → frame, idle, {name}", alone.now)
    return figures


def lateness(bench: Bench, name: str, rounds: int, **settings: str) -> Series:
    """Both series of `notify up` with these settings, on a fresh database."""
    with (
        bench.cluster.database() as database,
        stack.notify("up", database_url=database, **settings) as up,
        crowd(up.url, keeps=True) as client,
        _poster(up.url) as post,
        bench.progress(f"lateness, {name}", 2 * rounds) as told,
    ):
        post("PUT", f"/api/recipients/{_RECIPIENT}", {})
        client.connect([_RECIPIENT])
        client.wait(10)
        rounds_done = _WARM_UP
        _now(client, post, 0, _WARM_UP)
        scheduled = _scheduled(client, post, rounds_done, rounds)
        told(rounds)
        return Series(scheduled, _now(client, post, rounds_done + rounds, rounds))


def round_trips(database_url: str, count: int) -> list[float]:
    """Milliseconds of the least that a session can ask, with pauses as between frames."""
    took = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(_WARM_UP + count):
            time.sleep(random.uniform(0, 0.02))
            started = time.perf_counter()
            connection.execute("select 1").fetchone()
            took.append((time.perf_counter() - started) * 1000)
    return took[_WARM_UP:]


def _figures(
    what: str, late: list[float], trips: list[float] | None = None, most: tuple[float, float] | None = None
) -> Iterator[Figure]:
    for number, percent in enumerate((50, 99)):
        yield Figure(
            topic="latency",
            what=f"{what}, p{percent}",
            value=percentile(late, percent),
            unit="ms",
            yardstick=_ROUND_TRIP if trips else "",
            against=percentile(trips, percent) if trips else None,
            aims=(at_most(most[number]),) if most else (),
            note=f"{len(late)} rounds, the latest {max(late):.1f} ms",
        )


def _scheduled(client: Crowd, post: Post, before: int, rounds: int) -> list[float]:
    """Nothing is posted while they arrive."""
    client.take()
    first = datetime.now(UTC) + timedelta(seconds=2 + rounds * 0.01)
    client.aim(before + rounds)
    for number in range(rounds):
        at = first + timedelta(seconds=_APART * number + random.uniform(0, _APART / 2))
        _post(post, scheduled_at=at.isoformat())
    if datetime.now(UTC) > first:
        raise RuntimeError("the first was due before the last was posted")
    client.wait(30 + rounds * _APART)
    arrivals = client.take()
    if len(arrivals) != rounds:
        raise RuntimeError(f"{len(arrivals)} frames for {rounds} notifications")
    return [(one.at - _due(one.payload)) * 1000 for one in arrivals]


def _now(client: Crowd, post: Post, before: int, rounds: int) -> list[float]:
    """One at a time, each after the frame of the one before."""
    client.take()
    late = []
    for number in range(rounds):
        client.aim(before + number + 1)
        time.sleep(random.uniform(0.02, 0.12))
        started = time.time()
        _post(post)
        client.wait(10)
        (arrival,) = client.take()
        late.append((arrival.at - started) * 1000)
    return late


def _due(payload: bytes) -> float:
    found = _TIME.search(payload)
    assert found is not None
    return datetime.fromisoformat(found[1].decode()).timestamp()


class Post:
    """One kept HTTP connection, and little else: the client's share of the milliseconds is not the service's."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._headers = {"Authorization": f"Bearer {stack.KEY}", "Content-Type": "application/json"}

    def __call__(self, method: str, path: str, body: Any) -> None:
        """Raises RuntimeError for an answer that is an error."""
        self._connection.request(method, path, msgspec.json.encode(body), self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text!r}")

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@contextmanager
def _poster(url: str) -> Iterator[Post]:
    post = Post(url)
    try:
        yield post
    finally:
        post.close()


def _post(post: Post, **fields: str) -> None:
    body = {"recipients": [_RECIPIENT], "title": "Bench", "message": "Tick", **fields}
    post("POST", "/api/notifications/schedule/", body)
