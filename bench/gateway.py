"""What a websocket frame costs the gateway's process, and what an idle connection does, beside Litestar's own."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import psycopg

from bench import stack
from bench.context import Bench
from bench.crowd import crowd
from bench.report import Figure, at_most
from bench.stack import Process

_BATCHES = 200
_SOCKETS = 1000
_IDLE = 5000
# Connected before the memory is looked at: the first ones pay for what all share.
_FIRST = 100
_SETTLE_SECONDS = 3.0
_BARE = "a bare Litestar websocket, same frames"
_BARE_PAUSE_SECONDS = 0.005


class _Cost(msgspec.Struct, frozen=True):
    micros: float
    frame_bytes: int
    note: str


def measure(bench: Bench) -> list[Figure]:
    """Both figures."""
    ours = _frame_cost(bench, bench.size(_SOCKETS))
    bare = _bare_frame_cost(bench, bench.size(_SOCKETS), ours.frame_bytes)
    memory, note = _memory(bench, bench.size(_IDLE))
    return [
        Figure(
            topic="gateway",
            what="CPU of the gateway process a websocket frame",
            value=ours.micros,
            unit="µs",
            yardstick=_BARE,
            against=bare.micros,
            aims=(at_most(18),),
            note=ours.note,
        ),
        Figure(
            topic="gateway",
            what="memory of the gateway process an idle connection",
            value=memory,
            unit="KB",
            yardstick="a bare Litestar websocket",
            against=_bare_memory(bench, bench.size(_IDLE)),
            aims=(at_most(30),),
            note=note,
        ),
    ]


def recipients(prefix: str, count: int) -> list[str]:
    """So many ids."""
    return [f"{prefix}-{number:05}" for number in range(count)]


def register(connection: psycopg.Connection, ids: Sequence[str]) -> None:
    """Make them recipients."""
    rows = msgspec.json.encode([{"id": id} for id in ids]).decode()
    connection.execute("select from notify.upsert_recipients(%s::jsonb, false)", (rows,))


def send(connection: psycopg.Connection, ids: Sequence[str], batches: int = 1) -> None:
    """So many notifications to each, due now."""
    connection.execute(
        """
        select count(*) from generate_series(1, %s) as number, lateral notify.schedule(
            recipients => %s::text[], title => 'The report is ready',
            message => format('It has 12 pages and %%s charts.', number))
        """,
        (batches, list(ids)),
    )


def _frame_cost(bench: Bench, sockets: int) -> _Cost:
    ids = recipients("crowd", sockets)
    with (
        bench.cluster.database() as database,
        stack.notify("worker", database_url=database),
        stack.notify("api", database_url=database) as api,
        crowd(api.url) as client,
        psycopg.connect(database) as connection,
    ):
        register(connection, ids)
        connection.commit()
        client.connect(ids)
        client.wait(60)
        client.aim(_BATCHES)
        # One transaction, so that all are due at once, when it commits.
        with bench.progress(f"scheduling {sockets * _BATCHES:,}"):
            send(connection, ids, _BATCHES)
        with bench.progress("sockets that have all their frames", sockets) as told:
            before, spent, started = api.cpu_seconds(), client.state().cpu_seconds, time.time()
            connection.commit()
            state = client.wait(120, told)
            used = api.cpu_seconds() - before
    frames = sockets * _BATCHES
    rate = frames / (state.done_at - started)
    clients = (state.cpu_seconds - spent) / frames * 1e6
    note = f"{frames:,} frames of {state.frame_bytes} bytes to {sockets:,} sockets, {rate:,.0f} a second; "
    return _Cost(used / frames * 1e6, state.frame_bytes, f"{note}the clients used {clients:.1f} µs each")


def _bare_frame_cost(bench: Bench, sockets: int, frame_bytes: int) -> _Cost:
    with _bare() as server, crowd(server.url) as client:
        client.connect(recipients("crowd", sockets))
        client.wait(60)
        client.aim(_BATCHES)
        with bench.progress("frames of the bare websocket"):
            before = server.cpu_seconds()
            query = f"rounds={_BATCHES}&size={frame_bytes}&pause={_BARE_PAUSE_SECONDS}"
            urllib.request.urlopen(urllib.request.Request(f"{server.url}/send?{query}", method="POST")).read()
            state = client.wait(120)
            used = server.cpu_seconds() - before
    if state.frame_bytes != frame_bytes:
        raise RuntimeError(f"the yardstick's frames have {state.frame_bytes} bytes, not {frame_bytes}")
    return _Cost(used / (sockets * _BATCHES) * 1e6, frame_bytes, "")


def _memory(bench: Bench, sockets: int) -> tuple[float, str]:
    ids = recipients("idle", _FIRST + sockets)
    with (
        bench.cluster.database() as database,
        stack.notify("api", database_url=database, max_connections_per_key=str(len(ids))) as api,
    ):
        with psycopg.connect(database, autocommit=True) as connection:
            register(connection, ids)
        return _growth(bench, api, ids)


def _bare_memory(bench: Bench, sockets: int) -> float:
    with _bare() as server:
        return _growth(bench, server, recipients("idle", _FIRST + sockets))[0]


def _growth(bench: Bench, server: Process, ids: list[str]) -> tuple[float, str]:
    """KB a connection, and the note."""
    with crowd(server.url) as client, bench.progress("idle connections", len(ids)) as told:
        client.connect(ids[:_FIRST])
        client.wait(60, told)
        before = server.resident_bytes()
        client.connect(ids[_FIRST:])
        client.wait(120, told)
        time.sleep(_SETTLE_SECONDS)
        after = server.resident_bytes()
    sockets = len(ids) - _FIRST
    note = f"{sockets:,} connections; the process has {after / 1e6:.0f} MB with them"
    return (after - before) / sockets / 1000, note


@contextmanager
def _bare() -> Iterator[Process]:
    program = (sys.executable, "-m", "bench.yardsticks.bare_websocket")
    with stack.run(program, {}, r"bare ready at (\S+)") as server:
        yield server
