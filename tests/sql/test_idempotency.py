"""Idempotency keys of notify.schedule(): replay, another request, in flight, and whose key it is."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Connect
from helpers.rows import Db, add_recipients, call_one, move_clock, refused, schedule, soon, stored, value


def test_replay_gives_the_first_answer_and_stores_nothing(tx: Db) -> None:
    first = schedule(tx, "bob", "nobody", "ada", idempotency_key="k")
    again = schedule(tx, "bob", "nobody", "ada", idempotency_key="k")
    assert [row["replayed"] for row in first] == [False] * 3
    assert again == [row | {"replayed": True} for row in first]
    assert [row["recipient"] for row in again] == ["bob", "nobody", "ada"]
    assert stored(tx) == (1, 2, 1)


def test_replay_answers_even_when_the_time_is_past_and_the_recipient_gone(tx: Db) -> None:
    at = soon(tx, "1 minute")
    first = schedule(tx, "ada", scheduled_at=at, idempotency_key="k")
    tx.execute("select set_config('notify.clock_offset', '1 hour', true), notify.delete_recipient('ada')")
    again = schedule(tx, "ada", scheduled_at=at, idempotency_key="k")
    assert again == [row | {"replayed": True} for row in first]


def test_nothing_for_anybody_is_an_answer_too(tx: Db) -> None:
    first = schedule(tx, "nobody", idempotency_key="k")
    tx.execute("select notify.upsert_recipient('nobody')")
    assert schedule(tx, "nobody", idempotency_key="k") == [row | {"replayed": True} for row in first]
    assert stored(tx) == (0, 0, 1)


def test_time_zone_and_spelling_of_the_session_do_not_matter(tx: Db) -> None:
    at = soon(tx)
    schedule(tx, "ada", scheduled_at=at, data='{"a":1,"b":2}', idempotency_key="k")
    tx.execute("set local timezone to 'Asia/Tokyo'")
    tx.execute("set local datestyle to 'German'")
    assert schedule(tx, "ada", scheduled_at=at, data='{"b": 2, "a": 1}', idempotency_key="k")[0]["replayed"]


OTHER: list[dict[str, Any]] = [
    {"title": "other"},
    {"message": "other"},
    {"type": "other"},
    {"priority": "high"},
    {"data": '{"a": 1}'},
    {"reference": "r"},
    {"unknown_recipients": "create"},
    {"scheduled_at": "2 hours"},
    {"expires_at": "3 hours"},
    {"recipients": ["ada", "bob"]},
]


@pytest.mark.parametrize("other", OTHER, ids=lambda other: next(iter(other)))
def test_another_request_under_the_same_key_is_refused(tx: Db, other: dict[str, Any]) -> None:
    schedule(tx, "ada", idempotency_key="k")
    given = {n: soon(tx, v) if n.endswith("_at") else v for n, v in other.items()}
    recipients = given.pop("recipients", ["ada"])
    with refused("NT006", "idempotency_key"), tx.transaction():
        schedule(tx, *recipients, **given, idempotency_key="k")
    assert stored(tx) == (1, 1, 1)


def test_a_key_of_255_characters_is_accepted(tx: Db) -> None:
    assert schedule(tx, "ada", idempotency_key="é" * 255)


def test_another_role_has_its_own_keys(tx: Db) -> None:
    tx.execute("create role notify_test_other superuser")
    schedule(tx, "ada", idempotency_key="k")
    tx.execute("set local session authorization notify_test_other")
    assert not schedule(tx, "ada", idempotency_key="k")[0]["replayed"]


def test_in_flight_is_refused_at_once_and_then_replayed(connect: Connect, db: Db) -> None:
    add_recipients(db, "ada")
    other = connect(autocommit=False)
    first = schedule(other, "ada", idempotency_key="k")
    with refused("NT007", "idempotency_key"):
        schedule(db, "ada", idempotency_key="k")
    other.commit()
    assert schedule(db, "ada", idempotency_key="k") == [row | {"replayed": True} for row in first]


def test_rollback_frees_the_key(connect: Connect, db: Db) -> None:
    add_recipients(db, "ada")
    other = connect(autocommit=False)
    schedule(other, "ada", title="never", idempotency_key="k")
    other.rollback()
    assert not schedule(db, "ada", idempotency_key="k")[0]["replayed"]
    assert stored(db) == (1, 1, 1)


def test_a_failed_first_request_keeps_no_answer(db: Db) -> None:
    add_recipients(db, "ada")
    with refused("NT005", "recipients"):
        schedule(db, "nobody", unknown_recipients="reject", idempotency_key="k")
    assert not schedule(db, "ada", idempotency_key="k")[0]["replayed"]


def test_answers_are_kept_as_long_as_told(db: Db) -> None:
    add_recipients(db, "ada")
    schedule(db, "ada", idempotency_key="old")
    move_clock(db, "23 hours 59 minutes")
    schedule(db, "ada", idempotency_key="new")
    assert call_one(db, "tidy", p_keep_answers="24 hours", p_max=10)["answers"] == 0
    move_clock(db, "24 hours 1 minute")
    assert call_one(db, "tidy", p_keep_answers="24 hours", p_max=10)["answers"] == 1
    assert value(db, "select key from notify.idempotency") == "new"
