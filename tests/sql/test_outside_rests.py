"""How a channel rests when nobody answers: what each worker has met, and what the next try does."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

from helpers.outside import add_channel, add_reachable, delivery, lease, record, send
from helpers.rows import Db, Row, column, move_clock, one, value


@pytest.fixture(autouse=True)
def reachable(tx: Db) -> None:
    add_channel(tx)
    add_reachable(tx, "ada", "bob")


def _state(tx: Db) -> Row:
    return one(tx, "select failures, rests from notify.channel_state where channel = 'pigeon'")


def _rest(tx: Db) -> None:
    """Put the channel to rest, for five seconds, by a delivery of its own."""
    send(tx, "ada")
    record(tx, lease(tx), "retry", code="connect", outage=True, threshold=1, delay=3600)


def test_that_nobody_answered_is_neither_an_outage_nor_an_answer(tx: Db) -> None:
    send(tx, "ada", "bob")
    tried = lease(tx)
    record(tx, tried[:1], "retry", code="smtp-421", outage=True)
    record(tx, tried[1:], "retry", code="connect", outage=None)
    assert _state(tx) == {"failures": 1, "rests": 0}
    assert column(tx, "select recipient from notify.endpoint") == [tried[1]["recipient"]]
    assert column(tx, "select attempts - retries_from from notify.delivery order by id") == [0, 1]


def test_tried_again_and_nobody_answers_it_rests_on_whoever_tried(tx: Db) -> None:
    """A worker that has just begun knows nothing of what the others met."""
    _rest(tx)
    (id,) = send(tx, "bob")
    move_clock(tx, "6 s")
    record(tx, lease(tx), "retry", code="connect", outage=None, delay=3600)
    assert _state(tx) == {"failures": 0, "rests": 2}
    found = delivery(tx, id)
    assert found["attempts"] == found["retries_from"] == 1
    assert column(tx, "select recipient from notify.endpoint") == []


def test_any_of_those_that_wait_may_be_the_one_that_tries(tx: Db) -> None:
    _rest(tx)
    for _ in range(6):
        send(tx, "bob")
    move_clock(tx, "6 s")
    waiting = column(tx, "select id from notify.delivery where due_at <= notify.now()")
    tried = {id for _ in range(200) for id in value(tx, "select notify.take_deliveries('pigeon', 1)")}
    assert tried == set(waiting)


def test_of_very_many_only_those_at_both_ends_are_looked_at(tx: Db) -> None:
    _rest(tx)
    names = [f"r{n}" for n in range(1000)]
    people = [{"id": name, "addresses": {"pigeon": name}} for name in names]
    tx.execute("select notify.upsert_recipients(%s, false)", (Jsonb(people),))
    send(tx, *names)
    move_clock(tx, "6 s")
    read = "select pg_stat_get_xact_tuples_returned('notify.delivery_due'::regclass)"
    before = value(tx, read)
    assert len(lease(tx)) == 1
    assert 500 <= value(tx, read) - before < 600
