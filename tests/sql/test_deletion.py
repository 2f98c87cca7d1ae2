"""Deleting a recipient against everything else that writes: it waits empty-handed, so nobody waits in a circle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import Connect
from helpers import wait
from helpers.rows import Db, add_recipients, call_one, drain, refused, schedule_ids, soon, statuses, value


@pytest.fixture(autouse=True)
def people(db: Db) -> None:
    add_recipients(db, "ada", "bob")


@pytest.fixture
def caller(connect: Connect) -> Db:
    """An application in the middle of its transaction."""
    return connect(autocommit=False, name="caller")


@pytest.fixture
def deleter(connect: Connect) -> Db:
    return connect(name="deleter")


def test_a_caller_who_schedules_anew_and_cancels_the_old(
    db: Db, caller: Db, deleter: Db, background: ThreadPoolExecutor
) -> None:
    (old,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    (new,) = schedule_ids(caller, "ada", scheduled_at=soon(db))
    deletion = background.submit(call_one, deleter, "delete_recipient", id="ada")
    wait.asleep(db, deleter.info.backend_pid)
    assert call_one(caller, "cancel", id=old)["cancelled"]
    caller.commit()
    assert deletion.result() == {"delete_recipient": True}
    assert statuses(db, [old, new]) == ["gone", "gone"]


def test_one_open_caller_keeps_nobody_else_waiting(
    db: Db, caller: Db, deleter: Db, background: ThreadPoolExecutor
) -> None:
    (old,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    schedule_ids(caller, "ada", scheduled_at=soon(db))
    deletion = background.submit(call_one, deleter, "delete_recipient", id="ada")
    wait.asleep(db, deleter.info.backend_pid)
    db.execute("set lock_timeout to '1s'")
    assert call_one(db, "cancel", id=old)["cancelled"]
    caller.rollback()
    assert deletion.result() == {"delete_recipient": True}


def test_one_that_came_meanwhile_and_is_being_sent(
    db: Db, caller: Db, deleter: Db, connect: Connect, background: ThreadPoolExecutor
) -> None:
    caller.execute("select from notify.mailbox where recipient = 'ada' for no key update")
    deletion = background.submit(call_one, deleter, "delete_recipient", id="ada")
    wait.asleep(db, deleter.info.backend_pid)
    (id,) = schedule_ids(db, "ada")
    sender = connect(name="sender")
    sending = background.submit(call_one, sender, "send", id=id)
    wait.blocked(db, sender.info.backend_pid)
    caller.commit()
    assert sending.result() == {"sent": True, "status": "sent"}
    assert deletion.result() == {"delete_recipient": True}


def test_a_caller_who_changes_the_recipient_and_then_notifies(
    db: Db, caller: Db, deleter: Db, background: ThreadPoolExecutor
) -> None:
    caller.execute("select notify.upsert_recipient('ada', locale => 'fr')")
    deletion = background.submit(call_one, deleter, "delete_recipient", id="ada")
    wait.asleep(db, deleter.info.backend_pid)
    db.execute("set lock_timeout to '1s'")
    schedule_ids(db, "ada", scheduled_at=soon(db))
    schedule_ids(caller, "ada", scheduled_at=soon(db))
    caller.commit()
    assert deletion.result() == {"delete_recipient": True}


def test_a_drain_that_has_some_of_it(db: Db, caller: Db, deleter: Db, background: ThreadPoolExecutor) -> None:
    schedule_ids(db, "ada", "bob")
    assert drain(caller)["sent"] == 2
    deletion = background.submit(call_one, deleter, "delete_recipient", id="ada")
    wait.asleep(db, deleter.info.backend_pid)
    caller.commit()
    assert deletion.result() == {"delete_recipient": True}
    assert value(db, "select recipient from notify.notification") == "bob"


def test_it_gives_up_when_its_time_is_over(db: Db, caller: Db, deleter: Db) -> None:
    schedule_ids(caller, "ada", scheduled_at=soon(db))
    deleter.execute("set lock_timeout to '30ms'")
    with refused("55P03"):
        call_one(deleter, "delete_recipient", id="ada")
    caller.commit()
    assert call_one(deleter, "delete_recipient", id="ada") == {"delete_recipient": True}
