"""cancel, cancel_reference, cancel_batches, reschedule, retry, send and park: where they act, and what they answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from conftest import Connect
from helpers.rows import Db, add_recipients, call, call_one, drain, mailbox, one, refused, schedule_ids, soon, statuses
from helpers.rows import value as only

STATUSES = ["pending", "sending", "sent", "cancelled", "failed"]
NEEDED = {
    "pending": "",
    "sending": "",
    "sent": ", sent_at = notify.now()",
    "cancelled": ", cancelled_at = notify.now(), cancel_reason = 'requested'",
    "failed": ", failed_at = notify.now(), failure_reason = 'why'",
}


def _one_in(tx: Db, status: str, **arguments: Any) -> int:
    """The id of a notification in this status, due in an hour, or before it was sent."""
    due: dict[str, Any] = {} if status == "sent" else {"scheduled_at": soon(tx)}
    (id,) = schedule_ids(tx, "ada", **(due | arguments))
    tx.execute(f"update notify.notification set status = %s{NEEDED[status]} where id = %s".encode(), (status, id))
    return id


def _row(tx: Db, id: int) -> dict[str, Any]:
    return one(tx, "select * from notify.notification where id = %s", id)


@pytest.mark.parametrize("status", STATUSES)
def test_only_the_pending_is_cancelled(tx: Db, status: str) -> None:
    id = _one_in(tx, status)
    before = _row(tx, id)
    answer = call_one(tx, "cancel", id=id)
    if status == "pending":
        assert answer == {"cancelled": True, "status": "cancelled"}
        assert _row(tx, id)["cancel_reason"] == "requested"
    else:
        assert answer == {"cancelled": False, "status": status}
        assert _row(tx, id) == before


@pytest.mark.parametrize("function", ["cancel", "send", "retry"])
def test_of_what_is_not_there_the_status_is_null(tx: Db, function: str) -> None:
    assert list(call_one(tx, function, id=2**62).values()) == [False, None]


def test_reschedule_of_what_is_not_there(tx: Db) -> None:
    assert call_one(tx, "reschedule", id=2**62, scheduled_at=soon(tx)) == {"rescheduled": False, "status": None}


def test_cancelled_is_never_sent(tx: Db) -> None:
    id = _one_in(tx, "pending")
    call_one(tx, "cancel", id=id)
    tx.execute("select set_config('notify.clock_offset', '2 hours', true)")
    assert drain(tx)["picked"] == 0
    assert call_one(tx, "send", id=id) == {"sent": False, "status": "cancelled"}


def test_cancel_by_reference_and_by_batch_take_only_what_is_pending(tx: Db) -> None:
    ids = [_one_in(tx, status, reference="invoice:42") for status in STATUSES]
    others = [_one_in(tx, "pending", reference="invoice:4"), _one_in(tx, "pending")]
    assert only(tx, "select notify.cancel_reference('invoice:42')") == 1
    assert statuses(tx, ids) == ["cancelled", "sending", "sent", "cancelled", "failed"]
    assert only(tx, "select notify.cancel_reference('invoice:42')") == 0
    assert only(tx, "select notify.cancel_reference('invoice:%%')") == 0
    assert statuses(tx, others) == ["pending", "pending"]


def test_cancel_batches_counts_all(tx: Db) -> None:
    ids = [schedule_ids(tx, "ada", "bob", scheduled_at=soon(tx)) for _ in range(3)]
    batches = [_row(tx, pair[0])["batch_id"] for pair in ids]
    assert call_one(tx, "cancel_batches", p_batches=batches[:2]) == {"cancel_batches": 4}
    assert statuses(tx, ids[2]) == ["pending", "pending"]


@pytest.mark.parametrize("status", STATUSES)
def test_only_the_pending_is_rescheduled(tx: Db, status: str) -> None:
    id = _one_in(tx, status)
    before, at = _row(tx, id), soon(tx, "3 hours")
    done = status == "pending"
    assert call_one(tx, "reschedule", id=id, scheduled_at=at) == {"rescheduled": done, "status": status}
    assert _row(tx, id) == (before | {"due_at": at} if done else before)


@pytest.mark.parametrize(
    ("at", "sqlstate"),
    [
        (None, "NT001"),
        ("-infinity", "NT002"),
        ("infinity", "NT003"),
        ("2020-01-01Z", "NT002"),
        ("2200-01-01Z", "NT003"),
    ],
)
def test_reschedule_refuses_times_as_schedule_does(tx: Db, at: str | None, sqlstate: str) -> None:
    id = _one_in(tx, "pending")
    with refused(sqlstate, "scheduled_at"), tx.transaction():
        call_one(tx, "reschedule", id=id, scheduled_at=at)


def test_reschedule_behind_the_expiry_is_refused(tx: Db) -> None:
    id = _one_in(tx, "pending", expires_at=soon(tx, "2 hours"))
    with refused("NT001", "scheduled_at"), tx.transaction():
        call_one(tx, "reschedule", id=id, scheduled_at=soon(tx, "2 hours 1 minute"))
    assert call_one(tx, "reschedule", id=id, scheduled_at=soon(tx, "119 minutes"))["rescheduled"]


@pytest.mark.parametrize("status", STATUSES)
def test_only_the_failed_or_overdue_is_retried(tx: Db, status: str) -> None:
    id = _one_in(tx, status)
    done = status == "failed"
    now = only(tx, "select notify.now()")
    assert call_one(tx, "retry", id=id) == {"retried": done, "status": "pending" if done else status}
    if done:
        row = _row(tx, id)
        assert row["failed_at"] is row["failure_reason"] is None
        assert timedelta() <= row["due_at"] - now - timedelta(minutes=10) < timedelta(seconds=5)


def test_the_overdue_is_retried_with_its_delay(tx: Db) -> None:
    (id,) = schedule_ids(tx, "ada")
    assert call_one(tx, "retry", id=id, delay="1 minute") == {"retried": True, "status": "pending"}
    assert drain(tx)["picked"] == 0
    tx.execute("select set_config('notify.clock_offset', '61 s', true)")
    assert drain(tx)["sent"] == 1


@pytest.mark.parametrize("delay", ["-1 second", "5 years 1 day", None])
def test_retry_refuses_delays(tx: Db, delay: str | None) -> None:
    id = _one_in(tx, "failed")
    with refused("NT001", "delay_minutes"), tx.transaction():
        call_one(tx, "retry", id=id, delay=delay)


@pytest.mark.parametrize("status", STATUSES)
def test_only_the_pending_is_sent_by_hand(tx: Db, status: str) -> None:
    id = _one_in(tx, status)
    before = _row(tx, id)
    done = status == "pending"
    assert call_one(tx, "send", id=id) == {"sent": done, "status": "sent" if done else status}
    if done:
        assert _row(tx, id)["seq"] == 1
        assert mailbox(tx, "ada") == (1, 1, 0, 0)
        assert _row(tx, id)["due_at"] <= _row(tx, id)["sent_at"]
    else:
        assert _row(tx, id) == before


def test_send_without_waiting_makes_it_due(tx: Db) -> None:
    id = _one_in(tx, "pending")
    assert call_one(tx, "send", id=id, wait=False) == {"sent": True, "status": "pending"}
    assert drain(tx)["sent"] == 1


def test_send_keeps_the_due_time_of_what_is_overdue(tx: Db) -> None:
    (id,) = schedule_ids(tx, "ada")
    due = _row(tx, id)["due_at"]
    call_one(tx, "send", id=id)
    assert _row(tx, id)["due_at"] == due


def test_send_of_what_has_expired_cancels_it(tx: Db) -> None:
    id = _one_in(tx, "pending", expires_at=soon(tx, "2 hours"))
    tx.execute("select set_config('notify.clock_offset', '3 hours', true)")
    assert call_one(tx, "send", id=id) == {"sent": False, "status": "cancelled"}
    assert _row(tx, id)["cancel_reason"] == "expired"


@pytest.mark.parametrize("status", STATUSES)
def test_only_the_pending_is_parked(tx: Db, status: str) -> None:
    id = _one_in(tx, status)
    before = _row(tx, id)
    done = status == "pending"
    assert call_one(tx, "park", id=id, reason="r" * 5000) == {"park": done}
    if done:
        assert _row(tx, id)["failure_reason"] == "r" * 1000
        assert one(tx, "select notification_id, recipient from notify.dead_letters")["notification_id"] == id
    else:
        assert _row(tx, id) == before


UNDONE: list[tuple[str, dict[str, Any]]] = [
    ("cancel", {"id": 1}),
    ("cancel_reference", {"reference": "r"}),
    ("cancel_batches", {"p_batches": [1]}),
    ("reschedule", {"id": 1, "scheduled_at": "2 hours"}),
    ("send", {"id": 1}),
    ("send", {"id": 1, "wait": False}),
    ("park", {"id": 1, "reason": "why"}),
]


@pytest.mark.parametrize(("function", "arguments"), UNDONE)
def test_undone_with_the_caller(db: Db, connect: Connect, function: str, arguments: dict[str, Any]) -> None:
    add_recipients(db, "ada")
    (id,) = schedule_ids(db, "ada", reference="r", scheduled_at=soon(db))
    before = (_row(db, id), mailbox(db, "ada"))
    caller = connect(autocommit=False)
    given = arguments | ({"scheduled_at": soon(db, arguments["scheduled_at"])} if "scheduled_at" in arguments else {})
    call(caller, function, **given)
    assert (_row(caller, id), mailbox(caller, "ada")) != before
    caller.rollback()
    assert (_row(db, id), mailbox(db, "ada")) == before
    assert only(db, "select count(*) from notify.wakeup") == 0


def test_positional_calls_from_psql(tx: Db) -> None:
    tx.execute("select notify.schedule('{ada}', 'x', 'y', now() + '5s')")
    tx.execute("select notify.reschedule(n.id, now() + '1 hour') from notify.notification n")
    tx.execute("select notify.cancel(n.id) from notify.notification n")
    assert only(tx, "select status::text from notify.notification") == "cancelled"
    with pytest.raises(psycopg.errors.UndefinedFunction), tx.transaction():
        tx.execute("select notify.schedule('{ada}')")
