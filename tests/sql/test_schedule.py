"""notify.schedule(): what it returns and stores, doubles, unknown recipients, defaults, and limits met exactly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from helpers.rows import Db, column, one, refused, schedule, schedule_ids, soon, stored, value


def test_rows_come_in_the_order_of_the_recipients(tx: Db) -> None:
    answer = schedule(tx, "bob", "ada")
    assert [row["recipient"] for row in answer] == ["bob", "ada"]
    assert len({row["batch_id"] for row in answer}) == 1
    assert [row["replayed"] for row in answer] == [False, False]
    ids = [row["notification_id"] for row in answer]
    assert ids == sorted(ids)
    assert column(tx, "select recipient from notify.notification order by id") == ["bob", "ada"]
    assert stored(tx) == (1, 2, 0)


def test_doubles_are_one_at_their_first_place(tx: Db) -> None:
    answer = schedule(tx, "bob", "nobody", "ada", "bob", "nobody", "ada")
    assert [row["recipient"] for row in answer] == ["bob", "nobody", "ada"]
    assert stored(tx) == (1, 2, 0)


def test_defaults(tx: Db) -> None:
    (id,) = schedule_ids(tx, "ada")
    row = one(
        tx,
        "select b.*, n.status::text, n.due_at, n.priority as of_notification, notify.now() as now"
        " from notify.notification n join notify.batch b on b.id = n.batch_id where n.id = %s",
        id,
    )
    shown = {name: row[name] for name in ("type", "priority", "data", "channels", "reference", "expires_at", "status")}
    assert shown == {
        "type": "system",
        "priority": "normal",
        "data": {},
        "channels": ["inbox"],
        "reference": None,
        "expires_at": None,
        "status": "pending",
    }
    assert row["of_notification"] == "normal"
    assert row["scheduled_at"] == row["due_at"] == row["created_at"]
    assert timedelta() <= row["now"] - row["due_at"] < timedelta(seconds=5)


def test_everything_given_is_stored_once(tx: Db) -> None:
    at = soon(tx)
    given: dict[str, Any] = {
        "type": "invoice",
        "priority": "urgent",
        "data": '{"amount": 12.50}',
        "channels": ["inbox", "inbox"],
        "reference": "invoice:42",
        "scheduled_at": at,
        "expires_at": at + timedelta(hours=1),
    }
    ids = schedule_ids(tx, "ada", "bob", title="T", message="M", **given)
    row = one(tx, "select *, data::text as text from notify.batch")
    assert (row["type"], row["priority"], row["text"]) == ("invoice", "urgent", '{"amount": 12.50}')
    assert (row["title"], row["message"], row["reference"]) == ("T", "M", "invoice:42")
    assert (row["channels"], row["scheduled_at"], row["expires_at"]) == (["inbox"], at, at + timedelta(hours=1))
    due = tx.execute("select priority, due_at from notify.notification where id = any (%s)", (ids,)).fetchall()
    assert due == [("urgent", at), ("urgent", at)]


def test_unknown_recipients_are_skipped_in_their_place(tx: Db) -> None:
    answer = schedule(tx, "nobody", "ada", "", "no\tbody", "x" * 200)
    assert [row["notification_id"] is None for row in answer] == [True, False, True, True, True]
    assert [row["batch_id"] is None for row in answer] == [True, False, True, True, True]
    assert stored(tx) == (1, 1, 0)
    assert value(tx, "select count(*) from notify.recipient") == 2


def test_all_unknown_stores_nothing(tx: Db) -> None:
    answer = schedule(tx, "x", "y", "x")
    assert [(row["recipient"], row["notification_id"], row["batch_id"]) for row in answer] == [
        ("x", None, None),
        ("y", None, None),
    ]
    assert stored(tx) == (0, 0, 0)


def test_create_registers_the_unknown_ones(tx: Db) -> None:
    answer = schedule(tx, "cleo", "ada", "dora", unknown_recipients="create")
    assert all(row["notification_id"] for row in answer)
    assert column(tx, "select recipient from notify.mailbox order by recipient") == ["ada", "bob", "cleo", "dora"]
    assert [row["recipient"] for row in answer] == ["cleo", "ada", "dora"]


@pytest.mark.parametrize("id", ["", "a\nb", "é" * 65])
def test_create_refuses_ids_that_cannot_be(tx: Db, id: str) -> None:
    with refused("NT001", "recipients"), tx.transaction():
        schedule(tx, "ada", id, unknown_recipients="create")
    assert stored(tx) == (0, 0, 0)


def test_create_takes_an_id_of_128_bytes(tx: Db) -> None:
    assert schedule_ids(tx, "é" * 64, unknown_recipients="create") != [None]


def test_reject_names_the_first_unknown_one(tx: Db) -> None:
    with refused("NT005", "recipients"), tx.transaction():
        schedule(tx, "ada", "nobody", unknown_recipients="reject")
    assert stored(tx) == (0, 0, 0)
    assert None not in schedule_ids(tx, "ada", "bob", unknown_recipients="reject")


LIMITS: list[tuple[str, Any, Any]] = [
    ("title", "t" * 200, "t" * 201),
    ("title", "é" * 200, "é" * 201),
    ("message", "é" * 8192, "é" * 8192 + "m"),
    ("data", '{"a":"' + "d" * 16376 + '"}', '{"a":"' + "d" * 16377 + '"}'),
]


@pytest.mark.parametrize(("field", "most", "more"), LIMITS)
def test_limits_are_met_and_not_passed(tx: Db, field: str, most: str, more: str) -> None:
    assert None not in schedule_ids(tx, "ada", **{field: most})
    with refused("NT003", field), tx.transaction():
        schedule(tx, "ada", **{field: more})


@pytest.mark.parametrize(("field", "most"), [("type", "t" * 100), ("reference", "r" * 200)])
def test_names_have_limits_too(tx: Db, field: str, most: str) -> None:
    assert None not in schedule_ids(tx, "ada", **{field: most})
    with refused("NT001", field), tx.transaction():
        schedule(tx, "ada", **{field: most + "x"})


def test_a_hundred_thousand_entries_are_accepted_and_one_more_is_not(tx: Db) -> None:
    with refused("NT003", "recipients"), tx.transaction():
        schedule(tx, *["ada"] * 100_001)
    assert len(schedule(tx, *["ada"] * 100_000)) == 1
    tx.execute(
        "select notify.upsert_recipients(jsonb_agg(jsonb_build_object('id', n)), false) "
        "from generate_series(1, 20000) n"
    )
    assert None not in schedule_ids(tx, *map(str, range(1, 20_001)))


def test_five_years_ahead_and_no_further(tx: Db) -> None:
    assert None not in schedule_ids(tx, "ada", scheduled_at=soon(tx, "5 years"))
    with refused("NT003", "scheduled_at"), tx.transaction():
        schedule(tx, "ada", scheduled_at=soon(tx, "5 years 1 minute"))


def test_the_clock_is_the_one_that_can_be_moved(tx: Db) -> None:
    at = soon(tx, "1 hour")
    tx.execute("select set_config('notify.clock_offset', '2 hours', true)")
    with refused("NT002", "scheduled_at"), tx.transaction():
        schedule(tx, "ada", scheduled_at=at)
    (id,) = schedule_ids(tx, "ada")
    assert value(tx, "select due_at from notify.notification where id = %s", id) > at
