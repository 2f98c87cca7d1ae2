"""Reading the rows that the checker judges."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import class_row

from faults.chaos.history import Attempt, Batch, Delivery, Mailbox, Row, Stored

Db = psycopg.Connection[Any]

_BATCHES = """
select id, reference, title, extract(epoch from scheduled_at)::float8 as scheduled_at,
  extract(epoch from expires_at)::float8 as expires_at, channels
from notify.batch
"""
_ROWS = """
select id, batch_id, recipient, status::text, extract(epoch from due_at)::float8 as due_at, seq,
  extract(epoch from sent_at)::float8 as sent_at, extract(epoch from read_at)::float8 as read_at,
  extract(epoch from cancelled_at)::float8 as cancelled_at, cancel_reason, failure_reason
from notify.notification
"""
_DELIVERIES = "select id, notification_id, status::text, attempts, retries_from, code from notify.delivery"
_ATTEMPTS = "select delivery_id, number, outcome::text, code from notify.attempt order by delivery_id, number"


def read(db: Db) -> Stored:
    """All rows, of one snapshot where the connection is in a transaction of isolation repeatable read."""
    with db.cursor() as cursor:
        ((now,),) = cursor.execute("select extract(epoch from clock_timestamp())::float8").fetchall()
    with db.cursor(row_factory=class_row(Batch)) as batches:
        found = {batch.id: batch for batch in batches.execute(_BATCHES)}
    with db.cursor(row_factory=class_row(Row)) as rows:
        stored = {row.id: row for row in rows.execute(_ROWS)}
    with db.cursor(row_factory=class_row(Mailbox)) as boxes:
        mailboxes = {
            box.recipient: box for box in boxes.execute("select recipient, last_seq, unread from notify.mailbox")
        }
    return Stored(now, found, stored, mailboxes, _read_deliveries(db))


def _read_deliveries(db: Db) -> dict[int, Delivery]:
    with db.cursor(row_factory=class_row(Delivery)) as cursor:
        deliveries = {delivery.id: delivery for delivery in cursor.execute(_DELIVERIES)}
    with db.cursor(row_factory=class_row(Attempt)) as cursor:
        for attempt in cursor.execute(_ATTEMPTS):
            deliveries[attempt.delivery_id].tried.append(attempt)
    return {delivery.notification_id: delivery for delivery in deliveries.values()}
