"""Calling the SQL API from tests: rows as dicts, refusals by SQLSTATE and field, signals, work in the background."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, NamedTuple

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

Db = psycopg.Connection[tuple[Any, ...]]
Row = dict[str, Any]


def rows(db: Db, statement: LiteralString, *params: Any) -> list[Row]:
    """All rows, as dicts."""
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, params or None).fetchall()


def one(db: Db, statement: LiteralString, *params: Any) -> Row:
    """The only row, as a dict."""
    (found,) = rows(db, statement, *params)
    return found


def value(db: Db, statement: LiteralString, *params: Any) -> Any:
    """The only column of the only row."""
    (found,) = column(db, statement, *params)
    return found


def column(db: Db, statement: LiteralString, *params: Any) -> list[Any]:
    """The only column of all rows."""
    return [only for (only,) in db.execute(statement, params or None).fetchall()]


def call(db: Db, function: str, **arguments: Any) -> list[Row]:
    """`select * from notify.function(name => value, …)`."""
    given = sql.SQL(", ").join(sql.SQL("{} => {}").format(sql.Identifier(n), sql.Placeholder(n)) for n in arguments)
    statement = sql.SQL("select * from {}({})").format(sql.Identifier("notify", function), given)
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, arguments).fetchall()


def call_one(db: Db, function: str, **arguments: Any) -> Row:
    """As `call`, for a function that returns one row."""
    (found,) = call(db, function, **arguments)
    return found


def add_recipients(db: Db, *ids: str) -> None:
    """Register these."""
    db.execute("select from unnest(%s::text[]) as r (id), notify.upsert_recipient(r.id)", (list(ids),))


def schedule(db: Db, *recipients: str, **arguments: Any) -> list[Row]:
    """notify.schedule() with a title and a message, now unless `scheduled_at` is given."""
    content = {"title": "Coffee", "message": "It is ready"}
    return call(db, "schedule", recipients=list(recipients), **(content | arguments))


def schedule_ids(db: Db, *recipients: str, **arguments: Any) -> list[int]:
    """As `schedule`; the ids of the notifications."""
    return [row["notification_id"] for row in schedule(db, *recipients, **arguments)]


def drain(db: Db, **arguments: Any) -> Row:
    """One chunk."""
    return call_one(db, "drain", **arguments)


def move_clock(db: Db, offset: str) -> None:
    """Let notify.now() of this session lie `offset` ahead, as '2 hours'."""
    db.execute("select set_config('notify.clock_offset', %s, false)", (offset,))


def soon(db: Db, delay: str = "1 hour") -> Any:
    """The instant so far ahead of the session's clock."""
    return value(db, "select notify.now() + %s::interval", delay)


def statuses(db: Db, ids: Iterable[int | None]) -> list[str]:
    """Where these stand, in the order given."""
    found: dict[int | None, str] = dict(
        db.execute("select id, status from notify.notification where id = any (%s)", (list(ids),)).fetchall()
    )
    return [found.get(id, "gone") for id in ids]


def mailbox(db: Db, recipient: str) -> tuple[int, int, int, int]:
    """last_seq, unread, acked_seq, floor_seq."""
    row = one(db, "select last_seq, unread, acked_seq, floor_seq from notify.mailbox where recipient = %s", recipient)
    return (row["last_seq"], row["unread"], row["acked_seq"], row["floor_seq"])


def ack(db: Db, recipients: list[str], seqs: list[int]) -> dict[str, int]:
    """Acknowledge in the mailboxes' present generation; acked_seq of those that were handled."""
    generations = column(
        db,
        "select coalesce(m.generation, 0) from unnest(%s::text[]) with ordinality as r (id, place)"
        " left join notify.mailbox m on m.recipient = r.id order by r.place",
        recipients,
    )
    handled = call(db, "ack", p_recipients=recipients, p_generations=generations, p_seqs=seqs)
    return {row["recipient"]: row["acked_seq"] for row in handled}


def stored(db: Db) -> tuple[int, int, int]:
    """How many batches, notifications and idempotency answers there are."""
    row = one(
        db,
        "select (select count(*) from notify.batch) as b, (select count(*) from notify.notification) as n,"
        " (select count(*) from notify.idempotency) as i",
    )
    return (row["b"], row["n"], row["i"])


@contextmanager
def refused(sqlstate: str, field: str | None = None) -> Iterator[pytest.ExceptionInfo[psycopg.Error]]:
    """The block must raise this SQLSTATE, naming this field. Inside a transaction only the block is undone."""
    with pytest.raises(psycopg.Error) as caught:
        yield caught
    diag = caught.value.diag
    assert (diag.sqlstate, diag.column_name or None) == (sqlstate, field), str(caught.value)


class Line(NamedTuple):
    """One notification in a signal."""

    recipient: str
    generation: int
    seq: int
    id: int
    batch_id: int
    late_us: int


def listen(db: Db) -> None:
    """Hear the drain's signals on this autocommit connection."""
    db.execute(sql.SQL("listen {}").format(sql.Identifier(_channel(db))))


def heard(listener: Db, db: Db) -> list[str]:
    """The payloads that came since the last call. A mark sent through `db` says where to stop, as signals arrive
    in the order of the commits; so `db` must be in autocommit mode."""
    db.execute("select pg_notify(%s, 'mark')", (_channel(db),))
    payloads: list[str] = []
    for notify in listener.notifies(timeout=10):
        if notify.payload == "mark":
            return payloads
        payloads.append(notify.payload)
    raise AssertionError("the mark did not come within 10 s")


def lines(payload: str) -> list[Line]:
    """What a payload announces; its first line is checked."""
    header, *rest = payload.split("\n")
    kind, microseconds = header.split("\t")
    assert kind == "sent"
    assert int(microseconds) > 1_600_000_000_000_000
    return [_line(text.split("\t")) for text in rest]


def _line(fields: list[str]) -> Line:
    recipient, *numbers = fields
    generation, seq, id, batch_id, late_us = map(int, numbers)
    return Line(recipient, generation, seq, id, batch_id, late_us)


def _channel(db: Db) -> str:
    return str(value(db, "select value from notify.secret where name = 'signal_channel'"))
