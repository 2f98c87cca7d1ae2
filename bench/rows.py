"""Recipients and notifications by the hundred thousand, all due at one instant, and how fast they were sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

Db = psycopg.Connection[tuple[Any, ...]]

LARGEST_BATCH = 100_000
# What notify.schedule takes a row, about; where it takes longer, they are due before they are committed.
_SECONDS_A_ROW = 22e-6
_LOOK_SECONDS = 0.25
_WAIT_SECONDS = 300.0

_REGISTER = """
with added as (
  insert into notify.recipient (id, created_at, updated_at)
  select 'user-' || n, now(), now() from generate_series(1, %s::integer) n
  returning id
)
insert into notify.mailbox (recipient) select a.id from added a
"""
_SCHEDULE = """
select count(s.notification_id) from notify.schedule(
  %(recipients)s::text[], 'Bench', 'A message of usual length, as people write it.',
  scheduled_at => %(at)s, priority => %(priority)s
) s
"""
# The drain goes by priority, due time and id: of one batch after the other, this is how far it has come.
_FIRST_PENDING = """
select n.id - 1 from notify.notification n
where n.status = 'pending' and n.priority = %(priority)s::notify.priority and n.due_at <= now()
order by n.due_at, n.id limit 1
"""


def register(db: Db, count: int) -> list[str]:
    """So many recipients who have got nothing yet; their ids."""
    db.execute("set session_replication_role to replica")  # one foreign key check a row costs more than all else
    db.execute(_REGISTER, (count,))
    db.execute("reset session_replication_role")
    db.execute("vacuum analyze notify.recipient, notify.mailbox")
    return [f"user-{number}" for number in range(1, count + 1)]


def batches_of(recipients: Sequence[str]) -> list[Sequence[str]]:
    """The recipients in pieces that notify.schedule takes."""
    return [recipients[start : start + LARGEST_BATCH] for start in range(0, len(recipients), LARGEST_BATCH)]


def schedule_at_once(
    db: Db, batches: Sequence[Sequence[str]], done: Callable[[int], None], *, priority: str = "normal"
) -> datetime:
    """Schedule batches for one instant, seconds ahead, in one transaction.

    Returns when they can be sent: at that instant, or at the commit where this took longer.
    """
    placed = 0
    with db.transaction():
        # This session's clock is slow for as long, so that the instant is accepted even when it has passed meanwhile.
        db.execute("set local notify.clock_offset to '-10 minutes'")
        ahead = 1 + sum(map(len, batches)) * _SECONDS_A_ROW
        at: datetime = value(db, "select clock_timestamp() + make_interval(secs => %s)", ahead)
        for recipients in batches:
            placed += value(db, _SCHEDULE, {"recipients": list(recipients), "at": at, "priority": priority})
            done(placed)
        db.execute("set local notify.clock_offset to ''")
    if placed != sum(map(len, batches)):
        raise RuntimeError(f"{placed} were scheduled of {sum(map(len, batches))}")
    return max(at, datetime.now(UTC))


def sleep_until(at: datetime) -> None:
    """Return at that time, or at once when it has passed."""
    time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))


def wait_until_sent(db: Db, done: Callable[[int], None], *, priority: str = "normal") -> None:
    """Wait until nothing of this priority is due any more. Raises TimeoutError."""
    ends = time.monotonic() + _WAIT_SECONDS
    while (row := db.execute(_FIRST_PENDING, {"priority": priority}).fetchone()) is not None:
        if time.monotonic() > ends:
            raise TimeoutError(f"{row[0]} were sent, and the rest is still pending")
        done(row[0])
        time.sleep(_LOOK_SECONDS)


def rate(db: Db, since: datetime, count: int) -> float:
    """Rows a second until the last of them was sent. Raises RuntimeError unless so many were, and none before."""
    row = db.execute("select count(*), min(sent_at), max(sent_at) from notify.notification where status = 'sent'")
    sent, first, last = row.fetchone() or (0, since, since)
    if sent != count:
        raise RuntimeError(f"{sent} were sent, not {count}")
    # By the clock of this machine both; a commit is visible a little before its caller knows.
    if (since - first).total_seconds() > 0.1:
        raise RuntimeError(f"the first was sent at {first}, before {since}")
    return float(count / (last - since).total_seconds())


def value(db: Db, statement: str, *parameters: Any) -> Any:
    """The only column of the only row."""
    given = parameters[0] if parameters and isinstance(parameters[0], dict) else parameters
    row = db.execute(statement.encode(), given).fetchone()
    assert row is not None
    return row[0]
