"""Whatever happens in whatever order, in two sessions: unread is exact, streams have no hole, acks no future."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from helpers import machine
from helpers.rows import Db, ack, call, column, move_clock, rows, schedule, soon
from notify.postgres.connection import connect_sync

PEOPLE = ["ada", "bob", "cleo"]
people = st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3)
person = st.sampled_from(PEOPLE)
# Which session acts. The second one does not commit before it is told to, and holds its locks until then.
second = st.booleans()

WRONG = """
select m.recipient, m.last_seq, m.unread, m.acked_seq, m.floor_seq, s.*
from notify.mailbox m
cross join lateral (
  select count(*) filter (where n.read_at is null) as unread, coalesce(max(n.seq), 0) as top,
    count(*) filter (where n.seq > m.floor_seq) as above_floor
  from notify.notification n where n.recipient = m.recipient and n.seq is not null
) s (really_unread, top, above_floor)
where m.unread <> s.really_unread or m.acked_seq > m.last_seq
  or s.above_floor <> m.last_seq - m.floor_seq or s.top not in (m.last_seq, 0)
"""


class Mailboxes(RuleBasedStateMachine):
    """Two sessions, whose statements give up at once where the other holds a lock."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.first = connect_sync(dsn, name="first")
        self.other = connect_sync(dsn, name="other", autocommit=False)
        self.minutes = 0
        self.held = False

    @initialize()
    def empty(self) -> None:
        self.first.execute(
            "truncate notify.recipient, notify.mailbox, notify.batch, notify.notification, notify.wakeup cascade"
        )
        self.first.execute("truncate notify_jobs.procrastinate_jobs cascade")

    def act(self, second: bool, work: Callable[[Db], object]) -> None:
        """Do it in one of the sessions; a lock of the other one undoes it."""
        db = self.other if second else self.first
        if second:
            db.execute("select")  # begins its transaction, so that the next line makes a savepoint
        try:
            with db.transaction():
                db.execute("set lock_timeout to '5ms'")
                move_clock(db, f"{self.minutes} minutes")
                work(db)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            return
        self.held = self.held or second

    @rule(second=second, to=people, in_minutes=st.integers(0, 3), priority=st.sampled_from(["low", "normal", "urgent"]))
    def schedule(self, second: bool, to: list[str], in_minutes: int, priority: str) -> None:
        def work(db: Db) -> None:
            at = {"scheduled_at": soon(db, f"{in_minutes} minutes")} if in_minutes else {}
            schedule(db, *to, **at, priority=priority, unknown_recipients="create")

        self.act(second, work)

    @rule(second=second, most=st.integers(1, 5))
    def drain(self, second: bool, most: int) -> None:
        self.act(second, lambda db: call(db, "drain", p_max=most))

    @rule(second=second, who=person, up_to=st.integers(0, 6))
    def mark_read(self, second: bool, who: str, up_to: int) -> None:
        self.act(second, lambda db: call(db, "mark_read", p_recipient=who, p_ids=None, p_up_to_seq=up_to))

    @rule(second=second, who=people, seq=st.integers(0, 6))
    def ack(self, second: bool, who: list[str], seq: int) -> None:
        self.act(second, lambda db: ack(db, who, [seq] * len(who)))

    @rule(second=second, most=st.integers(1, 3), minutes=st.integers(0, 3))
    def retention(self, second: bool, most: int, minutes: int) -> None:
        self.act(second, lambda db: call(db, "delete_old", p_older_than=f"{minutes} minutes", p_max=most))

    @rule(second=second, function=st.sampled_from(["cancel", "send", "park"]), place=st.integers(0, 9))
    def change(self, second: bool, function: str, place: int) -> None:
        def work(db: Db) -> None:
            ids = column(db, "select id from notify.notification order by id")
            extra: dict[str, Any] = {"reason": "why"} if function == "park" else {}
            if ids:
                call(db, function, id=ids[place % len(ids)], **extra)

        self.act(second, work)

    @rule(second=second, who=person)
    def delete_recipient(self, second: bool, who: str) -> None:
        self.act(second, lambda db: call(db, "delete_recipient", id=who))

    @rule(minutes=st.integers(1, 3))
    def time_passes(self, minutes: int) -> None:
        self.minutes += minutes

    @precondition(lambda self: self.held)
    @rule(kept=st.booleans())
    def end(self, kept: bool) -> None:
        """The second session ends its transaction."""
        self.held = False
        if kept:
            self.other.commit()
        else:
            self.other.rollback()

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert rows(self.first, WRONG) == []
        batches = (
            "select id from notify.batch b where not exists (select from notify.notification n where n.batch_id = b.id)"
        )
        assert column(self.first, batches) == []

    def teardown(self) -> None:
        self.other.close()
        self.first.close()


def test_mailboxes_are_exact_at_all_times(shared_dsn: str) -> None:
    machine.run(lambda: Mailboxes(shared_dsn), examples=50)
