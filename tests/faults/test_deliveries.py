"""Deliveries under faults: killed between call and record, paused past the lease, a provider that hangs, no DNS."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from faults.conftest import Run
from helpers.outside import attempts, delivery
from helpers.programs import Program
from helpers.proxy import Proxy
from helpers.receiver import Answer, Receiver
from helpers.rows import Db, schedule_ids, statuses, value
from helpers.wait import until

_SECRET = "whsec_" + "c2VjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz"
_HANG = Answer(way="hang")
_HOLD = Answer(way="hold")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def _worker(run: Run, dsn: str, **settings: str) -> Program:
    given = {
        "outside_allow": "127.0.0.0/8",
        "webhook_secret": _SECRET,
        "lease_seconds": "20",
        "send_seconds": "10",
    } | settings
    return run("worker", database_url=dsn, **given)


def _known(db: Db) -> None:
    until(lambda: value(db, "select count(*) from notify.channel where name = 'webhook'"))


def _reach(db: Db, url: str, *names: str) -> None:
    people = [{"id": name, "addresses": {"webhook": f"{url}/{name}"}} for name in names]
    db.execute("select notify.upsert_recipients(%s, false)", (Jsonb(people),))


def _send(db: Db, *names: str, **arguments: Any) -> list[int]:
    return schedule_ids(db, *names, channels=["webhook"], **arguments)


def _later(db: Db, offset: str) -> None:
    """Let the clock of all sessions that begin from now on lie ahead."""
    name = sql.Identifier(db.info.dbname)
    db.execute(sql.SQL("alter database {} set notify.clock_offset = {}").format(name, sql.Literal(offset)))


def _ids(receiver: Receiver) -> Counter[str]:
    return Counter(request.headers["webhook-id"] for request in receiver.requests)


def test_killed_between_call_and_record(run: Run, dsn: str, db: Db, receiver: Receiver) -> None:
    """It is doubled, as the provider was called and nobody knows; but under the same id."""
    receiver.answer(_HANG, Answer())
    worker = _worker(run, dsn)
    _known(db)
    _reach(db, receiver.url, "ada")
    (id,) = _send(db, "ada")
    receiver.wait(1)
    worker.process.kill()
    worker.process.wait()
    assert (delivery(db, id, "webhook")["status"], attempts(db, id)) == ("leased", [])
    _later(db, "30 seconds")
    _worker(run, dsn)
    until(lambda: statuses(db, [id]) == ["sent"])
    assert attempts(db, id) == [(1, "retry", "lease-lost"), (2, "sent", None)]
    assert list(_ids(receiver).values()) == [2]


def test_paused_past_its_lease(run: Run, dsn: str, db: Db, receiver: Receiver) -> None:
    """What the paused one has to say counts no more, whether its call got through or not."""
    receiver.answer(_HOLD, Answer())
    stale = _worker(run, dsn)
    _known(db)
    _reach(db, receiver.url, "ada")
    (id,) = _send(db, "ada")
    receiver.wait(1)
    stale.process.send_signal(signal.SIGSTOP)
    _later(db, "30 seconds")
    _worker(run, dsn)
    until(lambda: statuses(db, [id]) == ["sent"])
    was = (delivery(db, id, "webhook"), attempts(db, id))
    receiver.release()
    stale.process.send_signal(signal.SIGCONT)
    until(lambda: "leases_lost" in stale.err + stale.out, 30)
    assert (delivery(db, id, "webhook"), attempts(db, id)) == was
    assert was[1] == [(1, "retry", "lease-lost"), (2, "sent", None)]


def test_a_provider_that_hangs_delays_nobody_else(run: Run, dsn: str, db: Db, receiver: Receiver) -> None:
    receiver.answer(_HANG)
    with Receiver() as healthy:
        _worker(run, dsn, send_seconds="2")
        _known(db)
        _reach(db, receiver.url, "ada")
        _reach(db, healthy.url, "bob")
        (hanging,) = _send(db, "ada", options='{"retry": {"delays": []}}')
        receiver.wait(1)
        (id,) = schedule_ids(db, "bob", channels=["inbox", "webhook"])
        until(lambda: attempts(db, id) == [(1, "sent", None)])
        assert delivery(db, hanging, "webhook")["status"] == "leased"
        until(lambda: statuses(db, [hanging]) == ["failed"])
    assert attempts(db, hanging) == [(1, "failed", "timeout")]


def test_a_name_that_does_not_resolve_is_tried_again(run: Run, dsn: str, db: Db) -> None:
    _worker(run, dsn)
    _known(db)
    _reach(db, "http://nowhere.invalid", "ada")
    (id,) = _send(db, "ada", options='{"retry": {"delays": [0.1], "jitter": 0}}')
    until(lambda: statuses(db, [id]) == ["failed"], 30)
    assert attempts(db, id) == [(1, "retry", "dns"), (2, "failed", "dns")]


def test_a_database_lost_in_the_middle_of_a_chunk(
    run: Run, linked_dsn: str, link: Proxy, db: Db, receiver: Receiver
) -> None:
    """What was sent meanwhile is recorded when it is back, and not sent again."""
    _worker(run, linked_dsn)
    _known(db)
    names = [f"r{n}" for n in range(40)]
    _reach(db, receiver.url, *names)
    receiver.answer(_HOLD)
    ids = _send(db, *names)
    receiver.wait(40)
    link.refuse()
    link.cut()
    receiver.release()
    until(lambda: receiver.answered >= 40)
    link.heal()
    until(lambda: set(statuses(db, ids)) == {"sent"}, 30)
    assert set(_ids(receiver).values()) == {1}
    assert value(db, "select count(*) from notify.attempt") == 40
