"""schedule() and upsert_recipients() in the caller's own transaction: undone with it, and in nobody's way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from conftest import Connect
from helpers import wait
from helpers.rows import (
    Db,
    ack,
    add_recipients,
    call,
    column,
    drain,
    mailbox,
    one,
    refused,
    schedule,
    schedule_ids,
    statuses,
    stored,
    value,
)


@pytest.fixture(autouse=True)
def people(db: Db) -> None:
    add_recipients(db, "ada", "bob")


@pytest.fixture
def caller(connect: Connect) -> Db:
    """A connection that holds a transaction open."""
    return connect(autocommit=False)


def test_rolled_back_means_it_never_existed(db: Db, caller: Db) -> None:
    schedule(caller, "ada", "cleo", unknown_recipients="create", idempotency_key="k")
    caller.rollback()
    assert stored(db) == (0, 0, 0)
    assert value(db, "select count(*) from notify.recipient") == 2
    assert value(db, "select count(*) from notify.wakeup") == 0
    assert value(db, "select count(*) from notify_jobs.procrastinate_jobs") == 0
    assert drain(db)["picked"] == 0


def test_savepoint_undoes_only_what_came_after_it(db: Db, caller: Db) -> None:
    kept = schedule_ids(caller, "ada")
    with caller.transaction(force_rollback=True):
        schedule(caller, "bob")
    caller.commit()
    assert column(db, "select id from notify.notification") == kept


def test_an_open_caller_is_in_nobodys_way(db: Db, caller: Db) -> None:
    db.execute("set lock_timeout to '1ms'")
    caller.execute("select notify.upsert_recipient('cleo')")
    held = schedule_ids(caller, "ada", "bob", "cleo", unknown_recipients="create")
    others = schedule_ids(db, "ada", "bob", unknown_recipients="create")
    assert drain(db)["sent"] == 2
    assert statuses(db, others) == ["sent", "sent"]
    call(db, "mark_read", p_recipient="ada", p_ids=others, p_up_to_seq=None)
    assert ack(db, ["ada"], [1])
    caller.commit()
    assert drain(db)["sent"] == 3
    assert statuses(db, held) == ["sent"] * 3


def test_registering_the_same_again_waits_for_nobody(db: Db, caller: Db) -> None:
    db.execute("select notify.upsert_recipient('ada', 'Europe/Berlin', 'de', '{\"email\": \"a@b.c\"}')")
    before = value(db, "select xmin::text from notify.recipient where id = 'ada'")
    caller.execute("select from notify.recipient for update")
    db.execute("set lock_timeout to '1ms'")
    db.execute("select notify.upsert_recipient('ada', 'Europe/Berlin', 'de', '{\"email\": \"a@b.c\"}')")
    db.execute("select notify.upsert_recipient('ada')")
    assert value(db, "select xmin::text from notify.recipient where id = 'ada'") == before


def test_two_changes_of_one_recipient_lose_nothing(
    db: Db, connect: Connect, caller: Db, background: ThreadPoolExecutor
) -> None:
    caller.execute("select notify.upsert_recipient('ada', addresses => '{\"email\": \"a@b.c\"}')")
    second = connect()
    waiting = background.submit(
        second.execute, "select notify.upsert_recipient('ada', addresses => '{\"sms\": \"1\"}')"
    )
    wait.blocked(db, second.info.backend_pid)
    caller.commit()
    waiting.result()
    assert value(db, "select addresses from notify.recipient where id = 'ada'") == {"email": "a@b.c", "sms": "1"}


def test_changes_of_many_in_any_order_do_not_deadlock(
    db: Db, connect: Connect, caller: Db, background: ThreadPoolExecutor
) -> None:
    caller.execute("select from notify.recipient where id = 'ada' for update")
    sessions = [connect(), connect()]
    orders = ['[{"id": "ada", "locale": "de"}, {"id": "bob", "locale": "de"}]']
    orders.append('[{"id": "bob", "locale": "en"}, {"id": "ada", "locale": "en"}]')
    waiting = [
        background.submit(session.execute, "select notify.upsert_recipients(%s, false)", (order,))
        for session, order in zip(sessions, orders, strict=True)
    ]
    for session in sessions:
        wait.blocked(db, session.info.backend_pid)
    caller.commit()
    for future in waiting:
        future.result()
    assert len(set(column(db, "select locale from notify.recipient"))) == 1


def test_upsert_merges_and_replaces(db: Db) -> None:
    def upsert(row: str, replace: bool) -> object:
        call(db, "upsert_recipients", p_rows=f"[{row}]", p_replace=replace)
        return one(db, "select time_zone, addresses, preferences from notify.recipient where id = 'ada'")

    full = upsert('{"id": "ada", "time_zone": "UTC", "addresses": {"email": "a"}, "preferences": {"p": 1}}', False)
    assert full == {"time_zone": "UTC", "addresses": {"email": "a"}, "preferences": {"p": 1}}
    assert upsert('{"id": "ada", "time_zone": null, "addresses": null}', False) == full
    merged = upsert('{"id": "ada", "addresses": {"sms": "1"}}', False)
    assert merged == {"time_zone": "UTC", "addresses": {"email": "a", "sms": "1"}, "preferences": {"p": 1}}
    assert upsert('{"id": "ada"}', True) == {"time_zone": None, "addresses": {}, "preferences": {}}


def test_the_last_of_doubles_counts_and_new_ones_are_told(db: Db) -> None:
    given = '[{"id": "cleo", "locale": "de"}, {"id": "ada"}, {"id": "cleo", "locale": "en"}]'
    answer = call(db, "upsert_recipients", p_rows=given, p_replace=False)
    assert sorted((row["id"], row["created"]) for row in answer) == [("ada", False), ("cleo", True)]
    assert value(db, "select locale from notify.recipient where id = 'cleo'") == "en"
    assert mailbox(db, "cleo") == (0, 0, 0, 0)


def test_a_recipient_deleted_meanwhile_is_unknown(
    db: Db, connect: Connect, caller: Db, background: ThreadPoolExecutor
) -> None:
    caller.execute("select notify.delete_recipient('ada')")
    second = connect()
    waiting = background.submit(schedule_ids, second, "ada", "bob")
    wait.blocked(db, second.info.backend_pid)
    caller.commit()
    ids: list[int | None] = list(waiting.result())
    assert ids[0] is None
    assert statuses(db, ids[1:]) == ["pending"]


def test_a_recipient_whose_deletion_is_undone_is_known(
    db: Db, connect: Connect, caller: Db, background: ThreadPoolExecutor
) -> None:
    caller.execute("select notify.delete_recipient('ada')")
    second = connect()
    waiting = background.submit(schedule_ids, second, "ada")
    wait.blocked(db, second.info.backend_pid)
    caller.rollback()
    assert statuses(db, waiting.result()) == ["pending"]


def test_asynchronous_commit_of_the_server_is_not_ours(db: Db, caller: Db) -> None:
    caller.execute("set synchronous_commit to off")
    for statement in (
        "select notify.schedule('{ada}', 'T', 'M')",
        "select notify.upsert_recipient('ada')",
        "select notify.delete_recipient('nobody')",
        "select notify.cancel(1)",
        "select notify.cancel_batches('{1}')",
        "select notify.reschedule(1, now() + '1 hour')",
        "select notify.retry(1)",
        "select notify.send(1)",
        "select notify.park(1, 'r')",
        "select notify.drain()",
        "select notify.mark_read('ada', '{1}', null)",
        'select notify.put_template(\'t\', \'en\', \'{"en": {"title": "T", "message": "M"}}\')',
        "select notify.delete_template('t')",
    ):
        caller.execute(statement.encode())
        assert value(caller, "show synchronous_commit") == "on", statement
        caller.rollback()
        assert value(caller, "show synchronous_commit") == "on"
        caller.execute("set synchronous_commit to off")
        with pytest.raises(psycopg.Error), caller.transaction():
            caller.execute("select 1 / 0")


def test_what_is_merged_is_bounded(db: Db) -> None:
    half = {"k": "x" * 10_000}
    db.execute("select notify.upsert_recipient('ada', addresses => %s)", (Jsonb(half),))
    with refused("NT003", "addresses"):
        db.execute("select notify.upsert_recipient('ada', addresses => %s)", (Jsonb({"l": "x" * 10_000}),))
    with refused("NT003", "preferences"):
        db.execute("select notify.upsert_recipient('ada', preferences => %s)", (Jsonb(half),))
    assert value(db, "select addresses from notify.recipient where id = 'ada'") == half


@pytest.mark.parametrize("address", [5, None, ["a"], True])
def test_an_address_is_a_text_or_an_object(db: Db, address: Any) -> None:
    with refused("NT001", "addresses"):
        call(db, "upsert_recipient", id="ada", addresses=Jsonb({"email": address}))
    call(db, "upsert_recipient", id="ada", addresses=Jsonb({"email": "ada@example.org", "webhook": {"url": "u"}}))


@pytest.mark.parametrize("field", ["addresses", "preferences"])
def test_what_is_nested_too_deeply_is_refused(db: Db, field: str) -> None:
    deep: dict[str, Any] = {}
    for _ in range(63):
        deep = {"a": deep}
    call(db, "upsert_recipient", id="ada", **{field: Jsonb(deep)})
    with refused("NT003", field):
        call(db, "upsert_recipient", id="bob", **{field: Jsonb({"a": deep})})
