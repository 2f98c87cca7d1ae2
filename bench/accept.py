"""What it costs to be given a notification over HTTP, beside a naive API that inserts a row and does nothing else."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal, LiteralString

import msgspec
import psycopg

from bench import reference, stack
from bench.context import Bench
from bench.load import Load, Target, load
from bench.report import Figure, ratio_at_least
from bench.yardsticks import naive
from bench.yardsticks.reference import KEY as REFERENCE_KEY

TOPIC = "accept"
PATH = "/api/notifications/schedule/"
RECIPIENTS = 10_000
CONNECTIONS = 64
_ROUNDS = 4
_SECONDS = 4.0
_ALONE_SECONDS = 3.0
_NAIVE = "naive Litestar + psycopg API, one insert"


class Loads(msgspec.Struct, frozen=True):
    """The rounds of one server."""

    rounds: list[Load]

    def median(self, of: Literal["per_second", "p50", "p99"]) -> float:
        """Of a field of theirs."""
        return float(statistics.median(getattr(one, of) for one in self.rounds))


def measure(bench: Bench) -> list[Figure]:
    """Notify's `POST schedule` and a naive API's, in turns; then what only notify has."""
    with bench.cluster.database(migrated=False) as theirs, bench.cluster.database() as ours:
        register(ours, RECIPIENTS)
        with naive_api(theirs) as theirs_url, stack.notify("api", "--workers", "2", database_url=ours) as api:
            naive_target = target(bench, theirs_url, naive.KEY)
            many = alternate(bench, naive_target, target(bench, api.url, stack.KEY))
            alone = alternate(bench, _alone(bench, naive_target), _alone(bench, target(bench, api.url, stack.KEY)))
            keyed = _round(bench, "keyed", target(bench, api.url, stack.KEY, {"Idempotency-Key": "b%(number)012d"}))
            with stack.notify("worker", database_url=ours):
                now = _round(bench, "due now", target(bench, api.url, stack.KEY, at=None))
        _check(theirs, "select count(*) from notification", [*many[0].rounds, *alone[0].rounds])
        notified = [*many[1].rounds, *alone[1].rounds, keyed, now]
        _check(ours, "select count(*) from notify.notification", notified)
    figures = _figures(many, alone, keyed, now)
    if reference.is_installed(bench, "Django view", "django", "gunicorn"):
        figures.append(_beside_django(bench, many[1]))
    return figures


def target(
    bench: Bench, url: str, key: str, headers: dict[str, str] | None = None, at: timedelta | None = timedelta(days=3)
) -> Target:
    """One recipient a request, in three days or now."""
    when = "" if at is None else f', "scheduled_at": "{(datetime.now(UTC) + at).isoformat()}"'
    return Target(
        url=url + PATH,
        body=f'{{"recipients": ["r%(recipient)05d"], "title": "Lesson", "message": "It starts in an hour"{when}}}',
        headers={"Authorization": f"Bearer {key}"} | (headers or {}),
        connections=CONNECTIONS,
        seconds=1.0 if bench.quick else _SECONDS,
        warm_up=1.0 if bench.quick else 2.0,
        recipients=RECIPIENTS,
    )


def alternate(bench: Bench, one: Target, other: Target) -> tuple[Loads, Loads]:
    """Both in turns, as the machine's speed drifts."""
    pairs = [(_round(bench, "yardstick", one), _round(bench, "notify", other)) for _ in range(_ROUNDS)]
    return Loads([pair[0] for pair in pairs]), Loads([pair[1] for pair in pairs])


def register(database_url: str, count: int) -> None:
    """Recipients r00000, r00001, …"""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for first in range(0, count, RECIPIENTS):
            connection.execute(
                "select notify.upsert_recipients(jsonb_agg(jsonb_build_object('id', 'r' || lpad(n::text, 5, '0'))),"
                " false) from generate_series(%s::integer, %s) as n",
                (first, min(first + RECIPIENTS, count) - 1),
            )
        connection.execute("vacuum analyze notify.recipient, notify.mailbox")


@contextmanager
def naive_api(database_url: str) -> Iterator[str]:
    """The naive API with two processes, once both have their pools; its URL."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(naive.TABLE)
    port = stack.free_port()
    program = [sys.executable, "-m", "uvicorn", "bench.yardsticks.naive:app", "--workers", "2", "--port", str(port)]
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    with stack.run([*program, *options], {"NAIVE_DATABASE": database_url}, None):
        sessions: LiteralString = "select count(*) from pg_stat_activity where application_name = %s"
        stack.wait_for(database_url, sessions, [naive.APPLICATION_NAME], 2 * naive.CONNECTIONS)
        yield f"http://127.0.0.1:{port}"


def _beside_django(bench: Bench, ours: Loads) -> Figure:
    with bench.cluster.database(migrated=False) as theirs:
        reference.create_tables(theirs)
        with reference.django_api(theirs) as url:
            django = _round(bench, "Django view", target(bench, url, REFERENCE_KEY))
        _check(theirs, "select count(*) from notification", [django])
    return Figure(
        topic=TOPIC,
        what=f"POST schedule, one recipient, due in 3 days, {CONNECTIONS} connections, beside a Django view",
        value=ours.median("per_second"),
        unit="/s",
        yardstick=f"Django view, one ORM insert, gunicorn {reference.PROCESSES} × {reference.THREADS} threads",
        against=django.per_second,
    )


def _alone(bench: Bench, wanted: Target) -> Target:
    return msgspec.structs.replace(
        wanted, connections=1, seconds=1.0 if bench.quick else _ALONE_SECONDS, warm_up=0.5 if bench.quick else 1.0
    )


def _round(bench: Bench, what: str, wanted: Target) -> Load:
    with bench.progress(f"{TOPIC}: {what}, {wanted.connections} connections"):
        return load(wanted)


def _check(database_url: str, count: LiteralString, rounds: list[Load]) -> None:
    answered = sum(one.answered for one in rounds)
    with psycopg.connect(database_url) as connection:
        (stored,) = connection.execute(count).fetchone() or (0,)
    if stored != answered:
        raise RuntimeError(f"{answered} requests were answered with 201, and {stored} rows stored")


def _figures(many: tuple[Loads, Loads], alone: tuple[Loads, Loads], keyed: Load, now: Load) -> list[Figure]:
    theirs, ours = many
    rate = theirs.median("per_second")
    return [
        Figure(
            topic=TOPIC,
            what=f"POST schedule, one recipient, due in 3 days, {CONNECTIONS} connections, `notify api --workers 2`",
            value=ours.median("per_second"),
            unit="/s",
            yardstick=f"{_NAIVE}, 2 uvicorn processes",
            against=rate,
            aims=(ratio_at_least(1.7),),
            note=f"median of {_ROUNDS} rounds in turns; client, API and Postgres share the machine",
        ),
        Figure(
            topic=TOPIC,
            what=f"POST schedule, {CONNECTIONS} connections: 99 of 100 answers within",
            value=ours.median("p99"),
            unit="ms",
            yardstick=_NAIVE,
            against=theirs.median("p99"),
        ),
        Figure(
            topic=TOPIC,
            what="POST schedule, one connection alone, latency (median)",
            value=alone[1].median("p50"),
            unit="ms",
            yardstick=_NAIVE,
            against=alone[0].median("p50"),
        ),
        Figure(
            topic=TOPIC,
            what=f"POST schedule with an Idempotency-Key on every request, {CONNECTIONS} connections",
            value=keyed.per_second,
            unit="/s",
            yardstick=f"{_NAIVE}, without a key",
            against=rate,
        ),
        Figure(
            topic=TOPIC,
            what=f"POST schedule, due now, {CONNECTIONS} connections, while a worker sends them",
            value=now.per_second,
            unit="/s",
            yardstick=f"{_NAIVE}, which nobody sends",
            against=rate,
        ),
    ]
