"""Many rows at once, past triggers and foreign keys."""

from __future__ import annotations

from typing import Any

import psycopg

Db = psycopg.Connection[tuple[Any, ...]]

# Secondary indexes are made after the rows: that halves the time.
_INDEXES = """
select indexdef, format('drop index notify.%I', indexname) from pg_indexes
where schemaname = 'notify' and tablename = 'notification' and indexname <> 'notification_pkey'
"""
# Notification n is of recipient n % 100,000 + 1 and of batch n % 20,000.
_ROWS = """
insert into notify.recipient (id, created_at, updated_at)
select n::text, now(), now() from generate_series(1, 100000) n;
insert into notify.mailbox (recipient, last_seq, unread) select n::text, 2, 2 from generate_series(1, 100000) n;
insert into notify.batch (type, priority, title, message, data, channels, reference, scheduled_at, created_at)
select 'system', 'normal', 'T', 'M', '{}', '{inbox}', 'r:' || n % 5000, now(), now() from generate_series(1, 20000) n;
"""
_PENDING = """
insert into notify.notification (batch_id, recipient, priority, due_at)
select (select min(b.id) from notify.batch b) + n %% 20000, (1 + n %% 100000)::text,
  (enum_range(null::notify.priority))[1 + n %% 4], now() + make_interval(secs => n - 2000)
from generate_series(1, %s::integer) n
"""
_SENT = """
insert into notify.notification (batch_id, recipient, priority, due_at, status, sent_at, seq)
select (select min(b.id) from notify.batch b) + n % 20000, (1 + n % 100000)::text, 'normal',
  at, 'sent', at, 1 + n / 100000
from generate_series(0, 199999) n, lateral (select now() - make_interval(secs => n)) as t (at)
"""
_ENDED = """
update notify.notification
set status = 'cancelled', cancelled_at = due_at, cancel_reason = 'requested', sent_at = null, seq = null
where status = 'sent' and id % 20 = 0;
update notify.notification set status = 'failed', failed_at = due_at, failure_reason = 'why', sent_at = null, seq = null
where status = 'sent' and id % 20 = 1;
"""


def fill(db: Db, *, pending: int, indexes_kept: bool = False) -> None:
    """So many pending notifications, 2,000 of them due, and 200,000 sent, cancelled and failed ones; analyzed.

    With `indexes_kept` nothing tells open sessions that their plans are old: no new index, nothing analyzed.
    """
    indexes = [] if indexes_kept else db.execute(_INDEXES).fetchall()
    with db.transaction():
        db.execute("set local session_replication_role to replica")
        for _, drop in indexes:
            db.execute(drop.encode())
        db.execute(_ROWS)
        db.execute(_PENDING, (pending,))
        db.execute(_SENT)
        for definition, _ in indexes:
            db.execute(definition.encode())
        db.execute(_ENDED)
    if not indexes_kept:
        db.execute("vacuum analyze notify.notification, notify.batch, notify.mailbox, notify.recipient")
