"""ack, mark_read and delete_recipient: what they count, and how they and the drain pass each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from helpers import wait
from helpers.rows import (
    Db,
    ack,
    add_recipients,
    call,
    call_one,
    column,
    drain,
    mailbox,
    schedule,
    schedule_ids,
    soon,
    statuses,
    stored,
    value,
)


@pytest.fixture
def five(db: Db) -> list[int]:
    """ada's notifications 1 to 5, sent; bob has none."""
    add_recipients(db, "ada", "bob")
    ids = [schedule_ids(db, "ada")[0] for _ in range(5)]
    drain(db)
    return ids


def _read(db: Db, ids: list[int] | None = None, up_to: int | None = None, recipient: str = "ada") -> tuple[Any, ...]:
    return tuple(call_one(db, "mark_read", p_recipient=recipient, p_ids=ids, p_up_to_seq=up_to).values())


def test_acks_move_forward_and_not_beyond_the_last(db: Db, five: list[int]) -> None:
    assert ack(db, ["ada", "bob", "nobody"], [3, 1, 1]) == {"ada": 3, "bob": 0}
    assert ack(db, ["ada", "ada"], [1, 2]) == {"ada": 3}
    assert ack(db, ["ada", "ada", "ada"], [2, 4, 3]) == {"ada": 4}
    assert ack(db, ["ada"], [2**62]) == {"ada": 5}
    assert ack(db, ["ada"], [-1]) == {"ada": 5}
    assert mailbox(db, "ada") == (5, 5, 5, 0)
    assert ack(db, [], []) == {}


def test_an_ack_that_changes_nothing_writes_nothing(db: Db, five: list[int]) -> None:
    ack(db, ["ada"], [5])
    before = value(db, "select ctid::text from notify.mailbox where recipient = 'ada'")
    assert ack(db, ["ada"], [5]) == {"ada": 5}
    assert value(db, "select ctid::text from notify.mailbox where recipient = 'ada'") == before


def test_an_ack_steps_around_a_locked_mailbox(db: Db, five: list[int], holder: Db) -> None:
    holder.execute("select from notify.mailbox where recipient = 'ada' for no key update")
    assert ack(db, ["ada", "bob"], [2, 0]) == {"bob": 0}
    holder.commit()
    assert ack(db, ["ada"], [2]) == {"ada": 2}


def test_an_ack_during_a_drain_is_left_for_later_and_loses_nothing(db: Db, five: list[int], holder: Db) -> None:
    schedule(db, "ada")
    drain(holder)
    assert ack(db, ["ada"], [6]) == {}
    holder.commit()
    assert ack(db, ["ada"], [6]) == {"ada": 6}
    assert mailbox(db, "ada") == (6, 6, 6, 0)


def test_a_drain_during_an_ack_finds_the_recipient_busy(db: Db, five: list[int], holder: Db) -> None:
    schedule(db, "ada", "bob")
    ack(holder, ["ada"], [4])
    done = drain(db)
    assert (done["sent"], done["busy"]) == (1, ["ada"])
    holder.commit()
    assert drain(db)["sent"] == 1
    assert mailbox(db, "ada") == (6, 6, 4, 0)


def test_an_ack_of_one_who_was_deleted_and_made_anew_changes_nothing(db: Db, five: list[int]) -> None:
    old = value(db, "select generation from notify.mailbox where recipient = 'ada'")
    db.execute("select notify.delete_recipient('ada')")
    add_recipients(db, "ada")
    schedule(db, "ada")
    drain(db)
    call(db, "ack", p_recipients=["ada"], p_generations=[old], p_seqs=[5])
    assert mailbox(db, "ada") == (1, 1, 0, 0)


def test_read_by_ids_and_by_seq_counts_each_once(db: Db, five: list[int]) -> None:
    assert _read(db, [five[1], five[1], five[4]]) == (2, 3, 5)
    assert _read(db, [five[1], five[4]]) == (0, 3, 5)
    assert _read(db, None, 3) == (2, 1, 5)
    assert _read(db, [five[3]], 5) == (1, 0, 5)
    assert _read(db, [], 0) == (0, 0, 5)
    assert _read(db) == (0, 0, 5)


def test_read_marks_only_what_is_sent_to_that_recipient(db: Db, five: list[int]) -> None:
    assert _read(db, five, recipient="bob") == (0, 0, 0)
    assert _read(db, five, recipient="nobody") == (0, None, None)
    (pending,) = schedule_ids(db, "ada")
    assert _read(db, [pending], 2**62) == (5, 0, 5)
    drain(db)
    assert mailbox(db, "ada") == (6, 1, 0, 0)


def test_read_during_a_drain_never_marks_what_comes(
    db: Db, five: list[int], holder: Db, second: Db, background: ThreadPoolExecutor
) -> None:
    schedule(db, "ada")
    drain(holder)
    late = background.submit(_read, second, None, 100)
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == (5, 1, 6)
    assert mailbox(db, "ada") == (6, 1, 0, 0)


def test_a_drain_during_reading_finds_the_recipient_busy(db: Db, five: list[int], holder: Db) -> None:
    schedule(db, "ada")
    assert _read(holder, None, 2) == (2, 3, 5)
    assert drain(db)["busy"] == ["ada"]
    holder.commit()
    assert drain(db)["sent"] == 1
    assert mailbox(db, "ada") == (6, 4, 0, 0)


def test_two_who_read_the_same_count_it_once(
    db: Db, five: list[int], holder: Db, second: Db, background: ThreadPoolExecutor
) -> None:
    assert _read(holder, five[:3]) == (3, 2, 5)
    late = background.submit(_read, second, list(reversed(five)))
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == (2, 0, 5)
    assert column(db, "select count(*) from notify.notification where read_at is null") == [0]


def test_reading_that_is_undone(db: Db, five: list[int], holder: Db) -> None:
    _read(holder, five)
    holder.rollback()
    assert mailbox(db, "ada") == (5, 5, 0, 0)
    assert _read(db, None, 5) == (5, 0, 5)


def test_deleting_a_recipient_takes_everything_along(db: Db, five: list[int]) -> None:
    (_, bobs) = schedule_ids(db, "ada", "bob", scheduled_at=soon(db))
    schedule(db, "ada", scheduled_at=soon(db))
    assert value(db, "select notify.delete_recipient('ada')") is True
    assert stored(db) == (1, 1, 0)
    assert statuses(db, [bobs]) == ["pending"]
    assert (
        column(db, "select recipient from notify.mailbox") == column(db, "select id from notify.recipient") == ["bob"]
    )
    assert value(db, "select notify.delete_recipient('ada')") is False


def test_deletion_before_a_drain(db: Db, five: list[int], holder: Db) -> None:
    ids = schedule_ids(db, "ada", "bob")
    holder.execute("select notify.delete_recipient('ada')")
    assert drain(db)["sent"] == 1
    holder.commit()
    assert drain(db)["picked"] == 0
    assert statuses(db, ids) == ["gone", "sent"]


def test_deletion_during_a_drain_waits_for_it(
    db: Db, five: list[int], holder: Db, second: Db, background: ThreadPoolExecutor
) -> None:
    schedule(db, "ada", "bob")
    drain(holder)
    late = background.submit(value, second, "select notify.delete_recipient('ada')")
    wait.asleep(db, second.info.backend_pid)
    holder.commit()
    assert late.result() is True
    assert column(db, "select recipient from notify.notification") == ["bob"]


def test_deletion_waits_for_an_open_caller_and_takes_what_came(
    db: Db, five: list[int], holder: Db, second: Db, background: ThreadPoolExecutor
) -> None:
    schedule(holder, "ada", "bob")
    late = background.submit(value, second, "select notify.delete_recipient('ada')")
    wait.asleep(db, second.info.backend_pid)
    holder.commit()
    assert late.result() is True
    assert column(db, "select recipient from notify.notification") == ["bob"]
    assert drain(db)["sent"] == 1


def test_acks_and_reading_of_one_who_is_being_deleted(
    db: Db, five: list[int], holder: Db, second: Db, background: ThreadPoolExecutor
) -> None:
    holder.execute("select notify.delete_recipient('ada')")
    assert ack(db, ["ada"], [3]) == {}
    late = background.submit(_read, second, five)
    wait.blocked(db, second.info.backend_pid)
    holder.commit()
    assert late.result() == (0, None, None)
    assert ack(db, ["ada"], [3]) == {}


def test_deletion_while_somebody_reads(
    db: Db, five: list[int], holder: Db, second: Db, background: ThreadPoolExecutor
) -> None:
    _read(holder, five)
    late = background.submit(value, second, "select notify.delete_recipient('ada')")
    wait.asleep(db, second.info.backend_pid)
    holder.commit()
    assert late.result() is True
    assert stored(db) == (0, 0, 0)
