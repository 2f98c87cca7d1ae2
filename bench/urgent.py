"""An urgent one while a million low ones drain: POST until it is at its socket, beside the same with nothing due."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx
import psycopg

from bench import rows, stack
from bench.arrivals import Arrivals, arrivals
from bench.context import Bench
from bench.report import Figure, at_most, percentile

_RECIPIENTS = 200_000
_TIMES = 5
_IDLE_ROUNDS = 100
_PAUSE_SECONDS = 0.2
_SHORT_PAUSE_SECONDS = 0.1
# The first ones pay for connections and plans.
_WARM_UP = 10
_URGENT = "urgent-bench"
# From when they could be sent: their commit may have come after the instant at which they were due.
_BUCKETS = """
select extract(epoch from min(n.sent_at) - %(since)s)::float8,
  (extract(epoch from max(n.sent_at - greatest(n.due_at, %(since)s))) * 1000)::float8
from notify.notification n where n.priority = 'low' and n.status = 'sent'
group by date_bin('100 milliseconds', n.sent_at, timestamptz 'epoch') order by 1
"""
_IS_LEFT = """
select exists (
  select from notify.notification n where n.status = 'pending' and n.priority = 'low' and n.due_at <= now()
  order by n.due_at limit 1
)
"""


def measure(bench: Bench) -> list[Figure]:
    """The slowest of a hundred; what each took is kept as a series for the plot."""
    recipients = bench.size(_RECIPIENTS)
    with (
        bench.cluster.database() as url,
        psycopg.connect(url, autocommit=True) as db,
        stack.notify("api", database_url=url) as api,
        stack.notify("worker", database_url=url),
    ):
        names = rows.register(db, recipients)
        db.execute("select from notify.upsert_recipients(%s, false)", (f'[{{"id": "{_URGENT}"}}]',))
        with _client(api.url) as http, arrivals(api.url, _URGENT) as received:
            for _ in range(_WARM_UP):
                _send(http, received)
            idle = _idle(bench, http, received)
            low = recipients * _TIMES
            with bench.progress("urgent: scheduling the low ones", low) as done:
                since = rows.schedule_at_once(db, rows.batches_of(names) * _TIMES, done, priority="low")
            rows.sleep_until(since)
            busy = _while_draining(bench, db, http, received, since)
        rows.wait_until_sent(db, lambda _: None, priority="low")
        buckets = db.execute(_BUCKETS, {"since": since}).fetchall()
    bench.series["urgent ones"] = busy
    bench.series["low ones"] = [(float(at), float(late)) for at, late in buckets]
    return _figures(f"{low:,}", [late for _, late in busy], idle)


def _figures(low: str, busy: list[float], idle: list[float]) -> list[Figure]:
    return [
        Figure(
            topic="urgent",
            what=f"an urgent one while {low} low ones drain, POST to frame, p{percent}",
            value=percentile(busy, percent),
            unit="ms",
            yardstick="the same with nothing else due",
            against=percentile(idle, percent),
            aims=aims,
            note=f"{len(busy)} of them",
        )
        for percent, aims in ((50, ()), (99, (at_most(250),)))
    ]


@contextmanager
def _client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {stack.KEY}"}, timeout=30) as http:
        yield http


def _send(http: httpx.Client, received: Arrivals) -> float:
    """Milliseconds from just before the POST until the frame has arrived."""
    started = time.time()
    body = {"recipients": [_URGENT], "title": "Urgent", "message": "Now", "priority": "urgent"}
    answer: dict[str, Any] = http.post("/api/notifications/schedule/", json=body).raise_for_status().json()
    arrival = received.next()
    if arrival.notification["batch_id"] != answer["batch_id"]:
        raise RuntimeError("another notification arrived than was posted")
    return (arrival.at - started) * 1000


def _idle(bench: Bench, http: httpx.Client, received: Arrivals) -> list[float]:
    late = []
    rounds = bench.size(_IDLE_ROUNDS)
    with bench.progress("urgent: nothing else due", rounds) as done:
        for number in range(rounds):
            time.sleep(_SHORT_PAUSE_SECONDS)
            late.append(_send(http, received))
            done(number + 1)
    return late


def _while_draining(
    bench: Bench, db: rows.Db, http: httpx.Client, received: Arrivals, since: datetime
) -> list[tuple[float, float]]:
    """Seconds since the low ones were due, and milliseconds until it arrived, of each that was posted meanwhile."""
    found: list[tuple[float, float]] = []
    with bench.progress("urgent: low ones drain") as done:
        while rows.value(db, _IS_LEFT):
            posted = time.time()
            found.append((posted - since.timestamp(), _send(http, received)))
            done(len(found))
            time.sleep(max(0.0, posted + _PAUSE_SECONDS - time.time()))
    if not found:
        raise RuntimeError("the low ones were sent before an urgent one was posted")
    return found
