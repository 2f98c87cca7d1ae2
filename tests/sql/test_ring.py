"""The alarm clocks: which wakeups and dispatch jobs schedule(), reschedule() and plan() set, and which they do not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from conftest import Connect
from helpers.rows import (
    Db,
    add_recipients,
    call_one,
    column,
    drain,
    move_clock,
    rows,
    schedule,
    schedule_ids,
    soon,
    value,
)

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def people(db: Db) -> None:
    add_recipients(db, "ada", "bob")


def _wakeups(db: Db) -> list[tuple[datetime, datetime]]:
    return [(row["at"], row["due_from"]) for row in rows(db, "select * from notify.wakeup order by at, due_from")]


def _jobs(db: Db) -> list[dict[str, Any]]:
    return rows(db, "select * from notify_jobs.procrastinate_jobs order by id")


def _counts(db: Db) -> tuple[int, int]:
    return (len(_wakeups(db)), len(_jobs(db)))


def _end_of_second(at: datetime) -> datetime:
    return at if at.microsecond == 0 else at.replace(microsecond=0) + SECOND


def test_what_is_due_now_rings_now(db: Db) -> None:
    schedule(db, "ada", "bob")
    due = value(db, "select scheduled_at from notify.batch")
    ((at, due_from),) = _wakeups(db)
    assert due <= at < due + SECOND
    assert due_from <= due
    (job,) = _jobs(db)
    assert (job["queue_name"], job["task_name"]) == ("notify_dispatch", "notify.dispatch")
    assert (job["lock"], job["queueing_lock"], job["scheduled_at"]) == (None, None, None)
    assert datetime.fromisoformat(job["args"]["second"]) == at


def test_what_is_due_within_the_minute_rings_at_the_end_of_its_second(db: Db) -> None:
    due = soon(db, "20 seconds")
    schedule(db, "ada", scheduled_at=due)
    ((at, due_from),) = _wakeups(db)
    assert at == _end_of_second(due)
    assert due_from <= due
    (job,) = _jobs(db)
    assert timedelta() <= job["scheduled_at"] - at < SECOND
    assert datetime.fromisoformat(job["args"]["second"]) == at


def test_the_job_is_on_the_real_clock_when_ours_is_moved(db: Db) -> None:
    move_clock(db, "3 days")
    schedule(db, "ada", scheduled_at=soon(db, "20 seconds"))
    (job,) = _jobs(db)
    ahead = job["scheduled_at"] - value(db, "select clock_timestamp()")
    assert timedelta(seconds=15) < ahead <= timedelta(seconds=21)


def test_beyond_the_planning_window_nothing_rings(db: Db) -> None:
    for n in range(100):
        schedule(db, "ada", scheduled_at=soon(db, f"{n + 2} minutes"))
    assert _counts(db) == (0, 0)


def test_one_ring_serves_all_of_its_second(db: Db) -> None:
    due = soon(db, "20 seconds").replace(microsecond=1)
    for offset in range(5):
        schedule(db, "ada", scheduled_at=due + timedelta(milliseconds=offset * 100))
    assert _counts(db) == (1, 1)
    schedule(db, "ada", scheduled_at=due + SECOND)
    assert _counts(db) == (2, 2)


def test_one_unanswered_ring_serves_all_that_is_due_now(db: Db, connect: Connect) -> None:
    for session in (db, connect(), connect()):
        schedule(session, "ada")
    assert _counts(db) == (1, 1)
    drain(db)
    assert len(_wakeups(db)) == 0
    schedule(db, "ada")
    assert _counts(db) == (1, 2)


def test_many_batches_of_one_transaction_ring_once(db: Db, connect: Connect) -> None:
    caller = connect(autocommit=False)
    for _ in range(50):
        schedule(caller, "ada")
    move_clock(caller, "5 minutes")
    caller.commit()
    assert _counts(db) == (1, 1)


def test_a_ring_is_made_at_the_commit(db: Db, connect: Connect) -> None:
    caller = connect(autocommit=False)
    schedule(caller, "ada")
    assert value(caller, "select count(*) from notify.wakeup") == 0
    move_clock(caller, "10 minutes")
    caller.commit()
    ((at, due_from),) = _wakeups(db)
    assert at - due_from >= timedelta(minutes=9)


@pytest.mark.parametrize("change", ["rollback", "cancel and commit"])
def test_what_never_existed_or_is_over_needs_no_ring(db: Db, connect: Connect, change: str) -> None:
    (id,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    caller = connect(autocommit=False)
    call_one(caller, "reschedule", id=id, scheduled_at=soon(db, "10 seconds"))
    if change == "rollback":
        caller.rollback()
    else:
        call_one(caller, "cancel", id=id)
        caller.commit()
    assert _counts(db) == (0, 0)


def test_moving_it_near_rings_and_moving_it_far_does_not(db: Db) -> None:
    (id,) = schedule_ids(db, "ada", scheduled_at=soon(db, "1 hour"))
    call_one(db, "reschedule", id=id, scheduled_at=soon(db, "2 hours"))
    assert _counts(db) == (0, 0)
    due = soon(db, "10 seconds")
    call_one(db, "reschedule", id=id, scheduled_at=due)
    assert [at for at, _ in _wakeups(db)] == [_end_of_second(due)]
    assert len(_jobs(db)) == 1


def test_sending_and_retrying_ring(db: Db) -> None:
    (id,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    call_one(db, "send", id=id)
    assert _counts(db) == (0, 0)
    (id,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    call_one(db, "send", id=id, wait=False)
    assert _counts(db) == (1, 1)
    drain(db)
    (id,) = schedule_ids(db, "ada", scheduled_at=soon(db))
    call_one(db, "park", id=id, reason="why")
    call_one(db, "retry", id=id, delay="10 seconds")
    assert _counts(db) == (1, 2)


def test_plan_sets_one_alarm_a_second_and_none_twice(db: Db) -> None:
    start = soon(db, "2 minutes").replace(microsecond=0)
    offsets = [0.0, 0.25, 0.75, 1.0, 1.001, 5.5, 30.0]
    for n, offset in enumerate(offsets):
        schedule(db, "ada", scheduled_at=start + timedelta(seconds=offset), priority=["low", "urgent"][n % 2])
    schedule(db, "ada", scheduled_at=start + timedelta(minutes=2))
    assert value(db, "select notify.plan()") == 0
    move_clock(db, "100 seconds")
    expected = [start + timedelta(seconds=n) for n in (0, 1, 2, 6, 30)]
    assert value(db, "select notify.plan()") == 5
    assert [at for at, _ in _wakeups(db)] == expected
    assert [datetime.fromisoformat(job["args"]["second"]) for job in _jobs(db)] == expected
    assert value(db, "select notify.plan()") == 5
    assert _counts(db) == (5, 5)


def test_plan_leaves_the_overdue_to_the_drain(db: Db) -> None:
    schedule(db, "ada", scheduled_at=soon(db, "2 minutes"))
    move_clock(db, "10 minutes")
    assert value(db, "select notify.plan()") == 0
    assert _counts(db) == (0, 0)


def test_a_ring_covers_everything_in_its_second(db: Db) -> None:
    due = soon(db, "20 seconds")
    schedule(db, "ada", scheduled_at=due)
    early = due.replace(microsecond=1)
    schedule(db, "ada", scheduled_at=early)
    move_clock(db, "30 seconds")
    mark = soon(db, "0")
    assert drain(db, p_due_from=mark)["sent"] == 2
    assert column(db, "select count(*) from notify.wakeup") == [0]
