"""The drain's signals: their format, size and order, none where none are asked for or nothing is in a stream."""

from __future__ import annotations

import re

import pytest

from conftest import Connect
from helpers.rows import Db, add_recipients, call_one, drain, heard, lines, listen, rows, schedule, soon, value


@pytest.fixture
def listener(db: Db, connect: Connect) -> Db:
    """A session that listens; ada and bob are registered."""
    add_recipients(db, "ada", "bob")
    other = connect(name="listener")
    listen(other)
    return other


def test_one_line_a_notification_says_who_and_which(db: Db, listener: Db) -> None:
    (answer,) = schedule(db, "ada")
    drain(db)
    (payload,) = heard(listener, db)
    (line,) = lines(payload)
    row = rows(db, "select n.*, m.generation from notify.notification n join notify.mailbox m using (recipient)")[0]
    assert (line.recipient, line.generation, line.seq) == ("ada", row["generation"], 1)
    assert (line.id, line.batch_id) == (answer["notification_id"], answer["batch_id"])
    assert line.late_us == round((row["sent_at"] - row["due_at"]).total_seconds() * 1e6)
    header = payload.partition("\n")[0]
    assert header == f"sent\t{round(row['sent_at'].timestamp() * 1e6)}"


def test_many_are_packed_below_the_limit_in_order(db: Db, listener: Db) -> None:
    wide = [f"{'é' * 50}{n:04}" for n in range(600)]
    for _ in range(3):
        schedule(db, *wide, unknown_recipients="create")
    assert drain(db, p_max=2000)["sent"] == 1800
    payloads = heard(listener, db)
    assert len(payloads) > 20
    assert max(len(payload.encode()) for payload in payloads) < 8000
    assert min(len(payload.encode()) for payload in payloads[:-1]) > 7700
    said = [(line.recipient, line.seq, line.id) for payload in payloads for line in lines(payload)]
    stored = [
        (r["recipient"], r["seq"], r["id"])
        for r in rows(db, "select * from notify.notification order by recipient, seq")
    ]
    assert said == stored


def test_the_widest_line_fits(db: Db, listener: Db) -> None:
    id = "\U0001f600" * 32
    db.execute("select notify.upsert_recipient(%s)", (id,))
    db.execute("update notify.mailbox set generation = 9223372036854775806, last_seq = 9223372036854775000, unread = 0")
    schedule(db, id)
    drain(db)
    ((line,),) = map(lines, heard(listener, db))
    assert (line.recipient, line.generation, line.seq) == (id, 9223372036854775806, 9223372036854775001)


def test_none_without_signals(db: Db, listener: Db) -> None:
    schedule(db, "ada")
    assert drain(db, p_signal=False)["sent"] == 1
    assert heard(listener, db) == []


def test_none_for_what_is_not_in_a_stream(db: Db, listener: Db) -> None:
    db.execute("insert into notify.channel values ('carrier', 'for tests')")
    schedule(db, "ada", channels=["carrier"])
    schedule(db, "bob", scheduled_at=soon(db, "1 minute"), expires_at=soon(db, "2 minutes"))
    db.execute("select set_config('notify.clock_offset', '1 hour', false)")
    done = drain(db)
    assert (done["sending"], done["expired"]) == (1, 1)
    assert heard(listener, db) == []


def test_none_when_undone(db: Db, connect: Connect, listener: Db) -> None:
    schedule(db, "ada")
    caller = connect(autocommit=False)
    drain(caller)
    caller.rollback()
    assert heard(listener, db) == []


def test_sending_by_hand_signals_too(db: Db, listener: Db) -> None:
    (answer,) = schedule(db, "ada", scheduled_at=soon(db))
    call_one(db, "send", id=answer["notification_id"])
    assert [line.id for payload in heard(listener, db) for line in lines(payload)] == [answer["notification_id"]]


def test_generation_tells_who_was_made_again(db: Db, listener: Db) -> None:
    schedule(db, "ada")
    drain(db)
    call_one(db, "delete_recipient", id="ada")
    add_recipients(db, "ada")
    schedule(db, "ada")
    drain(db)
    first, second = [line for payload in heard(listener, db) for line in lines(payload)]
    assert (first.seq, second.seq) == (1, 1)
    assert first.generation < second.generation
    epochs = [value(db, "select notify.epoch(%s)", line.generation) for line in (first, second)]
    assert epochs[0] != epochs[1]


def test_the_channel_cannot_be_guessed(db: Db) -> None:
    assert re.fullmatch(
        "notify_[0-9a-f]{32}", value(db, "select value from notify.secret where name = 'signal_channel'")
    )
