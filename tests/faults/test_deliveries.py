"""Deliveries under faults: killed or paused between call and record, hanging, no DNS, a database lost in mid-chunk."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from faults.conftest import Fragile, Run
from helpers.outside import attempts, delivery
from helpers.programs import Program
from helpers.proxy import Proxy
from helpers.receiver import Answer
from helpers.rows import Db, schedule_ids, statuses, value
from helpers.sinks import MailSink, Sink, WebhookSink
from helpers.wait import until

_HANG = Answer(way="hang")


@pytest.fixture
def receiver() -> Iterator[WebhookSink]:
    with WebhookSink() as running:
        yield running


@pytest.fixture(params=[WebhookSink, MailSink], ids=["webhook", "email"])
def sink(request: pytest.FixtureRequest) -> Iterator[Sink]:
    """What holds of each channel is played on both of our own."""
    with request.param() as running:
        yield running


def _worker(run: Run, dsn: str, sink: Sink, **settings: str) -> Program:
    return run("worker", database_url=dsn, **{"lease_seconds": "20", "send_seconds": "10"} | sink.settings | settings)


def _known(db: Db, sink: Sink) -> None:
    until(lambda: value(db, "select count(*) from notify.channel where name = %s", sink.channel))


def _reach(db: Db, sink: Sink, *names: str) -> None:
    people = [{"id": name, "addresses": {sink.channel: sink.address(name)}} for name in names]
    db.execute("select notify.upsert_recipients(%s, false)", (Jsonb(people),))


def _send(db: Db, sink: Sink, *names: str, **arguments: Any) -> list[int]:
    return schedule_ids(db, *names, channels=[sink.channel], **arguments)


def _later(db: Db, offset: str) -> None:
    """Let the clock of all sessions that begin from now on lie ahead."""
    name = sql.Identifier(db.info.dbname)
    db.execute(sql.SQL("alter database {} set notify.clock_offset = {}").format(name, sql.Literal(offset)))


def test_killed_between_call_and_record(run: Run, dsn: str, db: Db, sink: Sink) -> None:
    """It is doubled, as the provider was called and nobody knows; but under the same id."""
    sink.hold(1)
    worker = _worker(run, dsn, sink)
    _known(db, sink)
    _reach(db, sink, "ada")
    (id,) = _send(db, sink, "ada")
    sink.wait(1)
    worker.process.kill()
    worker.process.wait()
    assert (delivery(db, id, sink.channel)["status"], attempts(db, id)) == ("leased", [])
    _later(db, "30 seconds")
    _worker(run, dsn, sink)
    until(lambda: statuses(db, [id]) == ["sent"])
    assert attempts(db, id) == [(1, "retry", "lease-lost"), (2, "sent", None)]
    assert list(sink.ids().values()) == [2]


def test_paused_past_its_lease(run: Run, dsn: str, db: Db, receiver: WebhookSink) -> None:
    """What the paused one has to say counts no more, whether its call got through or not."""
    receiver.hold(1)
    stale = _worker(run, dsn, receiver)
    _known(db, receiver)
    _reach(db, receiver, "ada")
    (id,) = _send(db, receiver, "ada")
    receiver.wait(1)
    stale.process.send_signal(signal.SIGSTOP)
    _later(db, "30 seconds")
    _worker(run, dsn, receiver)
    until(lambda: statuses(db, [id]) == ["sent"])
    was = (delivery(db, id, receiver.channel), attempts(db, id))
    receiver.release()
    stale.process.send_signal(signal.SIGCONT)
    until(lambda: "leases_lost" in stale.err + stale.out)
    assert (delivery(db, id, receiver.channel), attempts(db, id)) == was
    assert was[1] == [(1, "retry", "lease-lost"), (2, "sent", None)]


def test_a_provider_that_hangs_delays_nobody_else(run: Run, dsn: str, db: Db, receiver: WebhookSink) -> None:
    receiver.answer(_HANG)
    with WebhookSink() as healthy:
        _worker(run, dsn, receiver, send_seconds="2")
        _known(db, receiver)
        _reach(db, receiver, "ada")
        _reach(db, healthy, "bob")
        (hanging,) = _send(db, receiver, "ada", options='{"retry": {"delays": []}}')
        receiver.wait(1)
        (id,) = schedule_ids(db, "bob", channels=["inbox", "webhook"])
        until(lambda: attempts(db, id) == [(1, "sent", None)])
        assert delivery(db, hanging, "webhook")["status"] == "leased"
        until(lambda: statuses(db, [hanging]) == ["failed"])
    assert attempts(db, hanging) == [(1, "failed", "timeout")]


def test_a_name_that_does_not_resolve_is_tried_again(run: Run, dsn: str, db: Db, receiver: WebhookSink) -> None:
    _worker(run, dsn, receiver)
    _known(db, receiver)
    people = [{"id": "ada", "addresses": {"webhook": "http://nowhere.invalid"}}]
    db.execute("select notify.upsert_recipients(%s, false)", (Jsonb(people),))
    (id,) = _send(db, receiver, "ada", options='{"retry": {"delays": [0.1], "jitter": 0}}')
    until(lambda: statuses(db, [id]) == ["failed"])
    assert attempts(db, id) == [(1, "retry", "dns"), (2, "failed", "dns")]


_NAMES = [f"r{n}" for n in range(40)]


def test_a_database_lost_in_the_middle_of_a_chunk(
    run: Run, linked_dsn: str, link: Proxy, db: Db, receiver: WebhookSink
) -> None:
    """What was sent meanwhile is recorded when it is back, and not sent again."""
    _worker(run, linked_dsn, receiver)
    _known(db, receiver)
    _reach(db, receiver, *_NAMES)
    receiver.hold(40)
    ids = _send(db, receiver, *_NAMES)
    receiver.wait(40)
    link.refuse()
    link.cut()
    receiver.release()
    until(lambda: receiver.answered >= 40)
    link.heal()
    _all_sent_once(db, receiver, ids)


def test_a_server_killed_in_the_middle_of_a_chunk(run: Run, fragile: Fragile, sink: Sink) -> None:
    """Also where its default is asynchronous commit: it has not forgotten who holds the leases."""
    worker = _worker(run, fragile.dsn, sink)
    with _session(fragile) as db:
        _known(db, sink)
        _reach(db, sink, *_NAMES)
        sink.hold(40)
        ids = _send(db, sink, *_NAMES)
        sink.wait(40)
    fragile.kill()
    sink.release()
    until(lambda: sink.answered >= 40)
    fragile.start()
    with _session(fragile) as db:
        _all_sent_once(db, sink, ids)
    assert worker.process.poll() is None


def _session(fragile: Fragile) -> Db:
    return psycopg.connect(fragile.dsn, autocommit=True)


def _all_sent_once(db: Db, sink: Sink, ids: list[int]) -> None:
    until(lambda: set(statuses(db, ids)) == {"sent"})
    assert set(sink.ids().values()) == {1}
    assert value(db, "select count(*) from notify.attempt") == len(ids)
