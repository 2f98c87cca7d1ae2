"""A notification's life against a model of it: whatever is asked in whatever order, it stands where it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from helpers import machine
from helpers.rows import call_one, drain, move_clock, one, rows, soon
from notify import NotificationScheduler
from notify.errors import InvalidValue
from notify.postgres.connection import connect_sync

T = TypeVar("T")
PEOPLE = ["ada", "bob"]
PRIORITIES = ["low", "normal", "high", "urgent"]
STORED = "select id, status::text, due_at, seq, cancel_reason from notify.notification order by id"
# Never early, and never after it has expired.
WRONG = """
select n.* from notify.notification n join notify.batch b on b.id = n.batch_id
where n.sent_at < n.due_at or n.sent_at < b.created_at or n.sent_at >= b.expires_at
"""


class Life(msgspec.Struct):
    """What a notification should be; times in whole hours since the start."""

    recipient: str
    priority: str
    due: int
    expires: int | None
    status: str = "pending"
    reason: str | None = None
    seq: int | None = None

    @property
    def pending(self) -> bool:
        return self.status == "pending"


class Lives(RuleBasedStateMachine):
    """Hours pass by the fakeable clock, so the seconds that a run takes change nothing."""

    ids: Bundle[int] = Bundle("ids")

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.db = connect_sync(dsn, name="life")
        self.client = NotificationScheduler(connection=self.db)
        self.hour = 0
        self.lives: dict[int, Life] = {}
        self.last_seq = dict.fromkeys(PEOPLE, 0)

    @initialize()
    def empty(self) -> None:
        self.db.execute(
            "truncate notify.recipient, notify.mailbox, notify.batch, notify.notification, notify.wakeup cascade"
        )
        self.db.execute("truncate notify_jobs.procrastinate_jobs cascade")
        self.act(lambda: [self.client.upsert_recipient(id) for id in PEOPLE])

    def act(self, work: Callable[[], T]) -> T:
        with self.db.transaction():
            move_clock(self.db, f"{self.hour} hours")
            return work()

    def at(self, hours: int) -> Any:
        return soon(self.db, f"{hours} hours")

    @rule(
        target=ids,
        to=st.sampled_from([["ada"], ["bob"], ["bob", "ada"], ["ada", "nobody"]]),
        hours=st.integers(0, 3),
        lasts=st.none() | st.integers(1, 2),
        priority=st.sampled_from(PRIORITIES),
    )
    def schedule(self, to: list[str], hours: int, lasts: int | None, priority: str) -> Any:
        made = self.act(
            lambda: self.client.schedule_notification(
                to,
                "Coffee",
                "It is ready",
                self.at(hours) if hours else None,
                priority=priority,
                expires_at=None if lasts is None else self.at(hours + lasts),
            )
        )
        known = [id for id in to if id in PEOPLE]
        due = self.hour + hours
        for id, recipient in zip(made, known, strict=True):
            self.lives[id] = Life(recipient, priority, due, None if lasts is None else due + lasts)
        return multiple(*made)

    @rule(id=ids)
    def cancel(self, id: int) -> None:
        life = self.lives[id]
        assert self.act(lambda: self.client.cancel_scheduled(id)) is life.pending
        if life.pending:
            life.status, life.reason = "cancelled", "requested"

    @rule(id=ids, hours=st.integers(-1, 3))
    def reschedule(self, id: int, hours: int) -> None:
        life = self.lives[id]
        to = self.hour + hours

        def work() -> bool:
            return self.client.reschedule(id, self.at(hours))

        if hours <= 0 or (life.expires is not None and to >= life.expires):
            with pytest.raises(InvalidValue):
                self.act(work)
        else:
            assert self.act(work) is life.pending
            life.due = to if life.pending else life.due

    @rule(id=ids, hours=st.integers(0, 2))
    def retry(self, id: int, hours: int) -> None:
        life = self.lives[id]
        may = life.status == "failed" or (life.pending and life.due <= self.hour)
        assert self.act(lambda: self.client.retry_failed_notification(id, 60 * hours)) is may
        if may:
            life.status, life.due = "pending", self.hour + hours

    @rule(id=ids)
    def make_due(self, id: int) -> None:
        """Sent now, inside a transaction: due at once, and sent by the next drain."""
        life = self.lives[id]
        assert self.act(lambda: self.client.send_scheduled_notification(id)) is life.pending
        if life.pending:
            life.due = min(life.due, self.hour)

    @rule(id=ids)
    def send(self, id: int) -> None:
        life = self.lives[id]
        before = life.pending
        sent = self.act(lambda: call_one(self.db, "send", id=id))["sent"]
        if before:
            life.due = min(life.due, self.hour)
            self._sent([id])
        assert sent is (before and life.status == "sent")

    @rule(id=ids)
    def park(self, id: int) -> None:
        life = self.lives[id]
        self.act(lambda: call_one(self.db, "park", id=id, reason="why"))
        if life.pending:
            life.status = "failed"

    @rule()
    def drain(self) -> None:
        due = [id for id, life in self.lives.items() if life.pending and life.due <= self.hour]
        done = self.act(lambda: drain(self.db))
        self._sent(due)
        assert done["picked"] == len(due)
        assert done["sent"] == sum(self.lives[id].status == "sent" for id in due)

    def _sent(self, ids: list[int]) -> None:
        """What a drain makes of these: expired, or next in their streams by priority, due time and id."""
        due_at = {row["id"]: row["due_at"] for row in rows(self.db, STORED)}
        order = sorted(ids, key=lambda id: (-PRIORITIES.index(self.lives[id].priority), due_at[id], id))
        for life in (self.lives[id] for id in order):
            if life.expires is not None and life.expires <= self.hour:
                life.status, life.reason = "cancelled", "expired"
            else:
                life.seq = self.last_seq[life.recipient] = self.last_seq[life.recipient] + 1
                life.status = "sent"

    @rule(hours=st.integers(1, 2))
    def time_passes(self, hours: int) -> None:
        self.hour += hours

    @invariant()
    def it_stands_where_it_should(self) -> None:
        found = {row["id"]: (row["status"], row["seq"], row["cancel_reason"]) for row in rows(self.db, STORED)}
        assert found == {id: (life.status, life.seq, life.reason) for id, life in self.lives.items()}
        assert rows(self.db, WRONG) == []

    @invariant()
    def all_that_is_pending_is_listed(self) -> None:
        listed = self.act(self.client.get_pending_notifications)
        assert {item.id for item in listed} == {id for id, life in self.lives.items() if life.pending}
        assert [item.scheduled_at for item in listed] == sorted(item.scheduled_at for item in listed)

    def teardown(self) -> None:
        unread = {id: one(self.db, "select unread from notify.mailbox where recipient = %s", id) for id in PEOPLE}
        assert {id: row["unread"] for id, row in unread.items()} == self.last_seq
        self.db.close()


def test_a_notification_stands_where_its_life_has_led(shared_dsn: str) -> None:
    machine.run(lambda: Lives(shared_dsn), examples=40)
