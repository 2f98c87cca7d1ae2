"""All sockets of a process drop at once and come back, each with something missed; others stay, and are sent to.

"Live" is from just before `notify.schedule` until the frame is at the client, on the sockets that stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from bench import stack
from bench.context import Bench
from bench.crowd import Crowd, crowd
from bench.gateway import recipients, register, send
from bench.report import Figure, at_most, percentile, ratio_at_most

_SOCKETS = 5000
_MISSED = 20
_LIVE = 20
_ROUNDS_BEFORE = 100
_APART = 0.1
_PERCENT = 50
# Of the handshakes that a crowd has under way: less than the backlog, beyond which the kernel makes it wait.
_AT_ONCE = 1000


def measure(bench: Bench) -> list[Figure]:
    """How long until all are back, and what the others notice of it."""
    sockets = bench.size(_SOCKETS)
    crowd_ids, live_ids = recipients("storm", sockets), recipients("live", _LIVE)
    with (
        bench.cluster.database() as database,
        stack.notify("worker", database_url=database),
        stack.notify("api", database_url=database, max_connections_per_key=str(sockets + _LIVE)) as api,
        crowd(api.url) as many,
        crowd(api.url, keeps=True) as few,
        psycopg.connect(database, autocommit=True) as connection,
    ):
        register(connection, [*crowd_ids, *live_ids])
        few.connect(live_ids)
        few.wait(10)
        with bench.progress("connections before the storm", sockets) as told:
            many.connect(crowd_ids)
            many.wait(120, told)
        live = _Live(few, connection, live_ids)
        with bench.progress("live before the storm", _ROUNDS_BEFORE) as told:
            for number in range(_ROUNDS_BEFORE):
                live.send()
                time.sleep(_APART)
                told(number)
        calm = live.lateness()
        many.drop()
        with bench.progress(f"missing {sockets * _MISSED:,}"):
            _miss(connection, crowd_ids)
        cpu = api.cpu_seconds()
        with bench.progress("sockets that are back, with all they missed", sockets) as told:
            seconds = _storm(many, live, told)
        used = api.cpu_seconds() - cpu
        stormy = live.lateness()
    return [
        Figure(
            topic="storm",
            what=f"{sockets:,} sockets drop at once and are back, each with {_MISSED} missed notifications",
            value=seconds,
            unit="s",
            aims=(at_most(10),),
            note=f"{sockets * _MISSED / seconds:,.0f} frames a second; the gateway process used {used:.1f} s of CPU",
        ),
        Figure(
            topic="storm",
            what=f"live meanwhile, on {_LIVE} sockets that stayed: schedule now → frame, p{_PERCENT}",
            value=percentile(stormy, _PERCENT),
            unit="ms",
            yardstick="the same before the storm",
            against=percentile(calm, _PERCENT),
            aims=(ratio_at_most(2),),
            note=f"{len(stormy)} frames, p99 {percentile(stormy, 99):.0f} ms (before: {percentile(calm, 99):.0f} ms)",
        ),
    ]


class _Live:
    """The sockets that stay: what they are sent, and how late it is."""

    def __init__(self, client: Crowd, connection: psycopg.Connection, ids: list[str]) -> None:
        self._client = client
        self._connection = connection
        self._ids = ids
        self._sent_at: list[float] = []

    def send(self) -> None:
        """One notification to each."""
        self._sent_at.append(time.time())
        send(self._connection, self._ids)

    def lateness(self) -> list[float]:
        """Milliseconds of each frame since the last time, once all have come."""
        self._client.aim(len(self._sent_at))
        self._client.wait(60)
        return [(one.at - self._sent_at[one.seq - 1]) * 1000 for one in self._client.take()]


def _storm(many: Crowd, live: _Live, told: Callable[[int], None]) -> float:
    """Seconds until all are back with all they missed."""
    many.resume(_MISSED, at_once=_AT_ONCE)
    ends = time.monotonic() + 120
    while not (state := many.state()).is_done:
        if time.monotonic() > ends:
            raise RuntimeError(f"of {state.sockets} only {state.complete} came back")
        live.send()
        told(state.complete)
        # The pause ends early when the storm does.
        state = many.state(_APART)
    return state.done_at - state.began_at


def _miss(connection: psycopg.Connection, ids: list[str]) -> None:
    """Have so many sent to each while nobody is there."""
    send(connection, ids, _MISSED)
    ends = time.monotonic() + 120
    question = "select from notify.mailbox where recipient = any (%s) and last_seq < %s limit 1"
    while connection.execute(question, (ids, _MISSED)).fetchone() is not None:
        if time.monotonic() > ends:
            raise RuntimeError("what is to be missed was not sent")
        time.sleep(0.2)
