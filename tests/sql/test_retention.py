"""delete_old, delete_cancelled, tidy and rescue_deliveries: what they delete, what they keep, and who waits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import Connect
from helpers import wait
from helpers.outside import CHANNEL, add_channel, add_reachable, lease, record, send
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
    stored,
    value,
)


@pytest.fixture(autouse=True)
def people(db: Db) -> None:
    add_recipients(db, "ada", "bob")


def _delete_old(db: Db, age: str = "30 days", most: int = 100) -> tuple[int, int]:
    done = call_one(db, "delete_old", p_older_than=age, p_max=most)
    return (done["deleted"], done["batches"])


def _delete_cancelled(db: Db, age: str = "30 days", most: int = 100) -> tuple[int, int]:
    done = call_one(db, "delete_cancelled", p_older_than=age, p_max=most)
    return (done["deleted"], done["batches"])


def _sent(db: Db, *recipients: str, count: int = 1) -> list[int]:
    ids = [id for _ in range(count) for id in schedule_ids(db, *recipients)]
    drain(db)
    return ids


def test_retention_keeps_floor_and_unread(db: Db) -> None:
    old = _sent(db, "ada", count=4)
    call_one(db, "mark_read", p_recipient="ada", p_ids=old[:1], p_up_to_seq=None)
    move_clock(db, "20 days")
    new = _sent(db, "ada", "bob")
    move_clock(db, "31 days")
    assert _delete_old(db) == (4, 4)
    assert statuses(db, [*old, *new]) == ["gone"] * 4 + ["sent"] * 2
    assert mailbox(db, "ada") == (5, 1, 0, 4)
    assert mailbox(db, "bob") == (1, 1, 0, 0)
    assert _delete_old(db) == (0, 0)
    schedule(db, "ada")
    drain(db)
    assert column(db, "select seq from notify.notification where recipient = 'ada' order by seq") == [5, 6]


def test_retention_goes_in_bounded_steps_oldest_first(db: Db) -> None:
    ids = []
    for day in range(5):
        move_clock(db, f"{day} days")
        ids += _sent(db, "ada")
    move_clock(db, "100 days")
    assert [_delete_old(db, most=2) for _ in range(3)] == [(2, 2), (2, 2), (1, 1)]
    assert mailbox(db, "ada") == (5, 0, 0, 5)


def test_failed_ones_go_and_pending_ones_stay(db: Db) -> None:
    failed, pending, sending, cancelled = schedule_ids(db, "ada", "bob", "cleo", "dora", unknown_recipients="create")
    call_one(db, "park", id=failed, reason="why")
    call_one(db, "cancel", id=cancelled)
    db.execute("update notify.notification set status = 'sending' where id = %s", (sending,))
    move_clock(db, "31 days")
    assert _delete_old(db) == (1, 0)
    assert statuses(db, [failed, pending, sending, cancelled]) == ["gone", "pending", "sending", "cancelled"]


def test_what_has_a_delivery_that_is_not_done_stays(db: Db) -> None:
    add_channel(db)
    add_reachable(db, "ada", "bob")
    ids = send(db, "ada", "bob", channels=["inbox", CHANNEL])
    record(db, lease(db, max=1))
    call_one(db, "set_channel", p_name=CHANNEL, p_changes='{"paused": true}')
    move_clock(db, "31 days")
    assert _delete_old(db) == (1, 0)
    assert statuses(db, ids) == ["gone", "sent"]
    call_one(db, "set_channel", p_name=CHANNEL, p_changes='{"paused": false}')
    (leased,) = lease(db)
    assert _delete_old(db) == (0, 0)
    record(db, [leased])
    assert _delete_old(db) == (1, 1)


def test_a_batch_goes_with_its_last_notification(db: Db) -> None:
    ids = schedule_ids(db, "ada", "bob")
    call_one(db, "cancel", id=ids[0])
    drain(db)
    move_clock(db, "31 days")
    assert _delete_cancelled(db) == (1, 0)
    assert stored(db) == (1, 1, 0)
    assert _delete_old(db) == (1, 1)
    assert stored(db) == (0, 0, 0)


@pytest.mark.parametrize("first", ["delete_old", "delete_cancelled"])
def test_a_batch_emptied_by_two_at_once_goes_too(
    db: Db, holder: Db, connect: Connect, background: ThreadPoolExecutor, first: str
) -> None:
    ids = schedule_ids(db, "ada", "bob")
    call_one(db, "cancel", id=ids[0])
    drain(db)
    second = connect(name="second")
    for session in (holder, second):
        move_clock(session, "31 days")
    work = [_delete_old, _delete_cancelled]
    if first == "delete_cancelled":
        work.reverse()
    assert work[0](holder) == (1, 0)
    late = background.submit(work[1], second)
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == (1, 1)
    assert stored(db) == (0, 0, 0)


def test_cancelled_ones_go_by_age_in_bounded_steps(db: Db) -> None:
    for _ in range(3):
        (id,) = schedule_ids(db, "ada", scheduled_at=soon(db))
        call_one(db, "cancel", id=id)
    move_clock(db, "29 days 23 hours")
    assert _delete_cancelled(db) == (0, 0)
    move_clock(db, "30 days 1 hour")
    assert [_delete_cancelled(db, most=2) for _ in range(3)] == [(2, 2), (1, 1), (0, 0)]


def test_a_locked_row_or_mailbox_is_left_for_the_next_time(db: Db, holder: Db) -> None:
    ids = _sent(db, "ada", "bob") + _sent(db, "bob", count=2)
    move_clock(db, "31 days")
    db.execute("set lock_timeout to '1ms'")
    holder.execute("select from notify.notification where id = %s for update", (ids[2],))
    holder.execute("select from notify.mailbox where recipient = 'ada' for update")
    assert _delete_old(db) == (2, 1)
    assert statuses(db, ids) == ["sent", "gone", "sent", "gone"]
    holder.commit()
    assert _delete_old(db) == (2, 2)
    assert mailbox(db, "bob") == (3, 0, 0, 3)


def test_retention_during_a_drain(db: Db, holder: Db) -> None:
    old = _sent(db, "ada")
    move_clock(db, "31 days")
    schedule(db, "ada")
    move_clock(holder, "31 days")
    assert drain(holder)["sent"] == 1
    db.execute("set lock_timeout to '1ms'")
    assert _delete_old(db) == (0, 0)
    holder.commit()
    assert _delete_old(db) == (1, 1)
    assert statuses(db, old) == ["gone"]
    assert mailbox(db, "ada") == (2, 1, 0, 1)


def test_a_drain_during_retention(db: Db, holder: Db) -> None:
    _sent(db, "ada")
    move_clock(holder, "31 days")
    assert _delete_old(holder) == (1, 1)
    schedule(db, "ada", "bob")
    assert drain(db)["busy"] == ["ada"]
    holder.commit()
    assert drain(db)["sent"] == 1
    assert mailbox(db, "ada") == (2, 1, 0, 1)


def test_reading_what_is_being_deleted_counts_once(
    db: Db, holder: Db, connect: Connect, background: ThreadPoolExecutor
) -> None:
    ids = _sent(db, "ada", count=2)
    move_clock(holder, "31 days")
    assert _delete_old(holder, most=1) == (1, 1)
    second = connect(name="second")
    late = background.submit(call_one, second, "mark_read", p_recipient="ada", p_ids=ids, p_up_to_seq=None)
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == {"marked": 1, "unread": 0, "last_seq": 2}


def test_leases_that_ran_out_are_taken_back(db: Db) -> None:
    db.execute("insert into notify.channel values ('carrier', 'for tests')")
    _sent(db, "ada", "bob", "cleo", "dora", count=1)
    schedule(db, "ada", "bob", channels=["carrier"])
    schedule(db, "ada", channels=["carrier"])
    drain(db)
    lease = "update notify.delivery set status = 'leased', lease_token = gen_random_uuid(), leased_until = notify.now()"
    db.execute((lease + " + '1 minute'").encode())
    assert value(db, "select notify.rescue_deliveries(10)") == 0
    move_clock(db, "2 minutes")
    assert value(db, "select count(*) from notify.stuck where what = 'delivery'") == 3
    assert [value(db, "select notify.rescue_deliveries(2)") for _ in range(3)] == [2, 1, 0]
    assert column(db, "select distinct status::text from notify.delivery") == ["pending"]
    assert value(db, "select count(*) from notify.delivery where due_at <= notify.now()") == 3


def test_tidy_deletes_what_nobody_needs_and_nothing_else(db: Db) -> None:
    for delay in ("0", "10 seconds", "30 seconds"):
        move_clock(db, delay)
        schedule(db, "ada", scheduled_at=soon(db, "5 seconds"))
    db.execute("set search_path to notify_jobs")  # for the triggers of that table
    db.execute("update notify_jobs.procrastinate_jobs set status = 'doing' where id = 1")
    db.execute("insert into notify_jobs.procrastinate_jobs (queue_name, task_name) values ('other', 'other')")

    def tidied() -> tuple[int, int, int]:
        done = call_one(db, "tidy", p_keep_answers="24 hours", p_max=2)
        return (done["answers"], done["wakeups"], done["jobs"])

    assert tidied() == (0, 0, 0)
    move_clock(db, "80 seconds")
    assert tidied() == (0, 2, 2)
    move_clock(db, "2 minutes")
    assert tidied() == (0, 1, 1)
    assert column(db, "select queue_name from notify_jobs.procrastinate_jobs") == ["other"]
    assert value(db, "select count(*) from notify.notification where status = 'pending'") == 3
