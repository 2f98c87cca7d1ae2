"""Bad input to notify.schedule() and upsert_recipient(): its SQLSTATE, its field, and nothing written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from helpers.rows import Db, call, call_one, refused, schedule, soon, stored, value

PAST = datetime(2020, 1, 1, tzinfo=UTC)

BAD: list[tuple[str, Any, str]] = [
    ("recipients", [], "NT001"),
    ("recipients", None, "NT001"),
    ("recipients", ["ada", None], "NT001"),
    ("recipients", [["ada"], ["bob"]], "NT001"),
    ("recipients", [["ada", None]], "NT001"),
    ("title", "", "NT001"),
    ("title", None, "NT001"),
    ("message", "", "NT001"),
    ("message", None, "NT001"),
    ("type", "", "NT001"),
    ("type", None, "NT001"),
    ("priority", "odd", "NT001"),
    ("priority", "", "NT001"),
    ("priority", None, "NT001"),
    ("data", "[]", "NT001"),
    ("data", "null", "NT001"),
    ("data", '"text"', "NT001"),
    ("data", None, "NT001"),
    ("data", '{"a": ' * 65 + "1" + "}" * 65, "NT003"),
    ("data", '{"a": ' + "[" * 64 + "]" * 64 + "}", "NT003"),
    ("channels", [], "NT001"),
    ("channels", None, "NT001"),
    ("channels", ["pigeon"], "NT001"),
    ("channels", ["inbox", "pigeon"], "NT001"),
    ("channels", ["inbox", None], "NT001"),
    ("channels", ["inbox"] * 17, "NT001"),
    ("channels", ["INBOX"], "NT001"),
    ("reference", "", "NT001"),
    ("idempotency_key", "", "NT001"),
    ("idempotency_key", "k" * 256, "NT001"),
    ("unknown_recipients", "odd", "NT001"),
    ("unknown_recipients", None, "NT001"),
    ("scheduled_at", PAST, "NT002"),
    ("scheduled_at", "-infinity", "NT002"),
    ("scheduled_at", "infinity", "NT003"),
    ("expires_at", PAST, "NT001"),
    ("expires_at", "infinity", "NT001"),
    ("expires_at", "-infinity", "NT001"),
]


@pytest.mark.parametrize(("field", "bad", "sqlstate"), BAD)
def test_refused_and_nothing_written(tx: Db, field: str, bad: Any, sqlstate: str) -> None:
    given = {"recipients": ["ada"], "title": "T", "message": "M", "scheduled_at": soon(tx)} | {field: bad}
    with refused(sqlstate, field), tx.transaction():
        call(tx, "schedule", **given)
    assert stored(tx) == (0, 0, 0)


def test_now_is_not_in_the_future(tx: Db) -> None:
    with refused("NT002", "scheduled_at"), tx.transaction():
        schedule(tx, "ada", scheduled_at=value(tx, "select notify.now()"))


def test_expiry_at_the_due_time_is_refused(tx: Db) -> None:
    at = soon(tx)
    with refused("NT001", "expires_at"), tx.transaction():
        schedule(tx, "ada", scheduled_at=at, expires_at=at)


@pytest.mark.parametrize(
    "data", ['{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"a": 1', "[" * 100_000], ids=["nul", "surrogate", "cut", "deep"]
)
def test_json_that_postgres_cannot_keep_is_refused(tx: Db, data: str) -> None:
    with pytest.raises(psycopg.Error) as caught, tx.transaction():
        schedule(tx, "ada", data=data)
    assert caught.value.sqlstate in ("22P02", "22P05", "54001")
    assert stored(tx) == (0, 0, 0)


def test_refused_before_the_idempotency_key_is_kept(tx: Db) -> None:
    with refused("NT001", "title"), tx.transaction():
        schedule(tx, "ada", title="", idempotency_key="k")
    assert stored(tx) == (0, 0, 0)
    assert schedule(tx, "ada", idempotency_key="k")[0]["replayed"] is False


RECIPIENTS: list[tuple[dict[str, Any], str, str]] = [
    ({"id": ""}, "NT001", "recipients"),
    ({"id": None}, "NT001", "recipients"),
    ({"id": "x" * 129}, "NT001", "recipients"),
    ({"id": "tab\t"}, "NT001", "recipients"),
    ({"id": "c1\u0085"}, "NT001", "recipients"),
    ({"id": "x", "addresses": "[]"}, "NT001", "addresses"),
    ({"id": "x", "preferences": '"p"'}, "NT001", "preferences"),
    ({"id": "x", "preferences": '{"p":"' + "x" * 16400 + '"}'}, "NT003", "preferences"),
    ({"id": "x", "time_zone": "Mars/Olympus"}, "NT001", "time_zone"),
    ({"id": "x", "time_zone": ""}, "NT001", "time_zone"),
    ({"id": "x", "locale": "not a locale"}, "NT001", "locale"),
    ({"id": "x", "locale": ""}, "NT001", "locale"),
]


@pytest.mark.parametrize(("given", "sqlstate", "field"), RECIPIENTS)
def test_bad_recipients_are_refused(tx: Db, given: dict[str, Any], sqlstate: str, field: str) -> None:
    with refused(sqlstate, field), tx.transaction():
        call(tx, "upsert_recipient", **given)
    assert value(tx, "select count(*) from notify.recipient") == 2


def test_every_named_error_is_documented(tx: Db) -> None:
    comment = value(tx, "select obj_description('notify.refuse(text, text, text)'::regprocedure)")
    raised = value(
        tx,
        "select array_agg(distinct m[1] order by m[1]) "
        "from pg_proc p, regexp_matches(p.prosrc, '''(NT\\d{3})''', 'g') m"
        " where p.pronamespace = 'notify'::regnamespace",
    )
    assert raised
    assert [code for code in raised if code not in comment] == []


def test_empty_reference_is_no_wildcard(tx: Db) -> None:
    schedule(tx, "ada", scheduled_at=soon(tx))
    for empty in ("", None):
        with refused("NT001", "reference"), tx.transaction():
            call_one(tx, "cancel_reference", reference=empty)
