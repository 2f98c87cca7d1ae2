"""The drain against everything else that writes, in both orders; who waits is held by a lock of another session."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from conftest import Connect
from helpers import wait
from helpers.rows import (
    Db,
    add_recipients,
    call_one,
    column,
    drain,
    mailbox,
    move_clock,
    schedule,
    schedule_ids,
    soon,
    statuses,
    value,
)


@pytest.fixture(autouse=True)
def people(db: Db) -> None:
    add_recipients(db, "ada", "bob")


def test_two_drains_on_the_same_recipient_leave_no_hole(db: Db, holder: Db) -> None:
    ids = [schedule_ids(db, "ada")[0] for _ in range(4)]
    assert drain(holder, p_max=2)["sent"] == 2
    done = drain(db)
    assert (done["picked"], done["sent"], done["busy"], done["crowded"]) == (2, 0, ["ada"], False)
    holder.commit()
    assert drain(db)["sent"] == 2
    assert column(db, "select id from notify.notification order by seq") == ids
    assert mailbox(db, "ada") == (4, 4, 0, 0)


def test_the_numbers_of_a_drain_that_died_are_given_again(db: Db, holder: Db) -> None:
    schedule(db, "ada")
    drain(holder)
    holder.rollback()
    assert drain(db)["sent"] == 1
    assert column(db, "select seq from notify.notification") == [1]


def test_a_third_drain_is_crowded_out_but_not_one_by_hand(db: Db, holder: Db, connect: Connect) -> None:
    (id,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    mark = soon(db, "-1 minute")
    drain(holder, p_due_from=mark)
    other = connect(autocommit=False)
    assert not drain(other, p_due_from=mark)["crowded"]
    done = drain(db, p_due_from=mark)
    assert (done["crowded"], done["picked"], done["next_due_in"]) == (True, 0, None)
    assert call_one(db, "send", id=id)["sent"]
    sweeping = connect(autocommit=False)
    assert not drain(sweeping)["crowded"]
    assert drain(db)["crowded"]
    other.commit()
    assert not drain(db, p_due_from=mark)["crowded"]


def test_cancel_before_drain_wins(db: Db, holder: Db) -> None:
    ids = schedule_ids(db, "ada", "bob")
    call_one(holder, "cancel", id=ids[0])
    assert drain(db)["sent"] == 1
    holder.commit()
    assert drain(db)["picked"] == 0
    assert statuses(db, ids) == ["cancelled", "sent"]
    assert mailbox(db, "ada") == (0, 0, 0, 0)


def test_cancel_before_drain_but_undone(db: Db, holder: Db) -> None:
    ids = schedule_ids(db, "ada")
    call_one(holder, "cancel", id=ids[0])
    assert drain(db)["picked"] == 0
    holder.rollback()
    assert drain(db)["sent"] == 1


def test_cancel_after_drain_is_too_late(db: Db, holder: Db, second: Db, background: ThreadPoolExecutor) -> None:
    ids = schedule_ids(db, "ada")
    drain(holder)
    late = background.submit(call_one, second, "cancel", id=ids[0])
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == {"cancelled": False, "status": "sent"}
    assert statuses(db, ids) == ["sent"]


def test_cancel_after_a_drain_that_died(db: Db, holder: Db, second: Db, background: ThreadPoolExecutor) -> None:
    ids = schedule_ids(db, "ada", reference="r")
    drain(holder)
    late = background.submit(call_one, second, "cancel_reference", reference="r")
    wait.blocked(db, second.info.backend_pid)
    holder.rollback()
    assert late.result() == {"cancel_reference": 1}
    assert drain(db)["picked"] == 0
    assert statuses(db, ids) == ["cancelled"]


def test_cancel_of_a_batch_half_of_which_is_being_sent(
    db: Db, holder: Db, second: Db, background: ThreadPoolExecutor
) -> None:
    ids = schedule_ids(db, "ada", "bob", reference="r")
    drain(holder, p_max=1)
    late = background.submit(call_one, second, "cancel_reference", reference="r")
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == {"cancel_reference": 1}
    assert statuses(db, ids) == ["sent", "cancelled"]


def test_reschedule_before_drain_wins(db: Db, holder: Db) -> None:
    ids = schedule_ids(db, "ada")
    call_one(holder, "reschedule", id=ids[0], scheduled_at=soon(db))
    assert drain(db)["picked"] == 0
    holder.commit()
    assert drain(db)["picked"] == 0
    move_clock(db, "2 hours")
    assert drain(db)["sent"] == 1


def test_reschedule_after_drain_is_too_late(db: Db, holder: Db, second: Db, background: ThreadPoolExecutor) -> None:
    ids = schedule_ids(db, "ada")
    drain(holder)
    late = background.submit(call_one, second, "reschedule", id=ids[0], scheduled_at=soon(db))
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == {"rescheduled": False, "status": "sent"}


def test_send_by_hand_while_the_drain_has_it(db: Db, holder: Db, second: Db, background: ThreadPoolExecutor) -> None:
    ids = schedule_ids(db, "ada")
    drain(holder)
    late = background.submit(call_one, second, "send", id=ids[0])
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == {"sent": False, "status": "sent"}
    assert mailbox(db, "ada") == (1, 1, 0, 0)


def test_send_by_hand_waits_for_the_mailbox(db: Db, holder: Db, second: Db, background: ThreadPoolExecutor) -> None:
    schedule(db, "ada")
    (id,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    drain(holder)
    late = background.submit(call_one, second, "send", id=id)
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == {"sent": True, "status": "sent"}
    assert mailbox(db, "ada") == (2, 2, 0, 0)


def test_a_caller_who_commits_after_the_due_time_is_found_below_the_mark(db: Db, holder: Db) -> None:
    at = soon(db, "3 seconds")
    schedule(holder, "ada", scheduled_at=at)
    for session in (db, holder):
        move_clock(session, "5 hours")
    mark = drain(db)["looked_at"] - timedelta(seconds=2)
    assert at < mark
    assert drain(db, p_due_from=mark)["picked"] == 0
    holder.commit()
    done = drain(db, p_due_from=mark)
    assert (done["sent"], done["due_from"]) == (1, at)


def test_a_late_commit_does_not_rely_on_a_ring_that_is_being_answered(db: Db, holder: Db, connect: Connect) -> None:
    other = connect(autocommit=False)
    schedule(other, "bob")
    schedule(holder, "ada")
    for session in (db, holder, other):
        move_clock(session, "1 minute")
    other.commit()  # leaves a ring from the due time on
    holder.execute("set constraints all immediate")  # what the commit does first: look for a ring
    mark = drain(db)["looked_at"] - timedelta(seconds=2)
    assert drain(db, p_due_from=mark)["picked"] == 0
    holder.commit()
    assert drain(db, p_due_from=mark)["sent"] == 1


def test_a_locked_mailbox_holds_up_nobody_else(db: Db, holder: Db) -> None:
    db.execute(
        "select notify.upsert_recipients(jsonb_agg(jsonb_build_object('id', n)), false) from generate_series(1, 5000) n"
    )
    names = list(map(str, range(1, 5001)))
    (id,) = schedule_ids(db, "ada")
    schedule(db, *names[:2500], "ada", *names[2500:])
    holder.execute("select from notify.mailbox where recipient = 'ada' for update")
    done = drain(db)
    assert (done["picked"], done["sent"], done["busy"]) == (1000, 999, ["ada"])
    sent = [drain(db, p_avoid=["ada"])["sent"] for _ in range(6)]
    assert sent == [1000, 1000, 1000, 1000, 1, 0]
    holder.commit()
    assert drain(db)["sent"] == 2
    assert statuses(db, [id]) == ["sent"]
    assert mailbox(db, "ada") == (2, 2, 0, 0)


def test_a_locked_notification_holds_up_nobody_else(db: Db, holder: Db) -> None:
    ids = [schedule_ids(db, "ada")[0] for _ in range(3)]
    holder.execute("select from notify.notification where id = %s for update", (ids[0],))
    done = drain(db)
    assert (done["sent"], done["busy"]) == (2, [])
    holder.commit()
    assert drain(db)["sent"] == 1
    assert column(db, "select id from notify.notification order by seq") == [*ids[1:], ids[0]]


def test_what_is_left_locked_is_told(db: Db, holder: Db) -> None:
    (id,) = schedule_ids(db, "ada")
    assert drain(holder)["sent"] == 1
    done = drain(db)
    assert (done["picked"], done["left_due"]) == (0, True)
    holder.rollback()
    assert drain(db)["sent"] == 1
    done = drain(db)
    assert (done["picked"], done["left_due"]) == (0, False)
    assert statuses(db, [id]) == ["sent"]


def test_many_wakeups_are_answered_by_one_look(db: Db) -> None:
    schedule(db, "ada")
    move_clock(db, "2 s")
    schedule(db, "bob")
    db.execute("insert into notify.wakeup values (notify.now() + '1 hour', notify.now())")
    drain(db, p_max=1)
    assert value(db, "select count(*) from notify.wakeup where at <= notify.now()") == 0
    assert value(db, "select count(*) from notify.wakeup") == 1
