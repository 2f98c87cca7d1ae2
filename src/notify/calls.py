"""Every call an application can make, as data: which statement, which parameters, which shape comes back.

HTTP, the sync and the async Python client all run these, so each thing is said once. `perform` and `perform_sync`
run a call on a connection, inside whatever transaction it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from psycopg import AsyncConnection, Connection

from notify.model import Accepted, Notification, Priority, ScheduleStatus, Status, UnknownPolicy
from notify.postgres import queries

Row = TypeVar("Row")
Result = TypeVar("Result")


class Call(msgspec.Struct, Generic[Row, Result], frozen=True):
    """One statement of sql/queries, the struct of its rows, and what becomes of them."""

    statement: str
    row: type[Row]
    parameters: Mapping[str, Any]
    shape: Callable[[list[Row]], Result]


async def perform(connection: AsyncConnection[Any], call: Call[Row, Result]) -> Result:
    """Run a call. Raises the NotifyError that a named SQLSTATE stands for."""
    return call.shape(await queries.many(connection, call.statement, call.row, **call.parameters))


def perform_sync(connection: Connection[Any], call: Call[Row, Result]) -> Result:
    """As `perform`, for code without an event loop."""
    return call.shape(queries.many_sync(connection, call.statement, call.row, **call.parameters))


class Changed(msgspec.Struct, frozen=True):
    """What a change did. `status` is where the notification stands now, None if there is no such one."""

    done: bool
    status: Status | None


class Upserted(msgspec.Struct, frozen=True):
    """One recipient of an upsert, and whether it was new."""

    id: str
    created: bool


def schedule(
    recipients: Sequence[str],
    title: str,
    message: str,
    scheduled_at: datetime | None = None,
    *,
    type: str = "system",
    priority: Priority | str = "normal",
    data: str = "{}",
    channels: Sequence[str] = ("inbox",),
    idempotency_key: str | None = None,
    reference: str | None = None,
    expires_at: datetime | None = None,
    unknown_recipients: UnknownPolicy | str = "skip",
    past_is_now: bool = False,
    options: str | None = None,
) -> Call[Accepted, list[Accepted]]:
    """Store a batch and a notification a recipient; a row a recipient, in their order, doubles once.

    `scheduled_at` None means now, and so does a past one with `past_is_now`. `data` is the JSON text of an
    object, and so are `options`: see the comment of notify.schedule().
    """
    return Call(
        "schedule",
        Accepted,
        {
            "recipients": list(recipients),
            "title": title,
            "message": message,
            "scheduled_at": scheduled_at,
            "type": type,
            "priority": priority,
            "data": data,
            "channels": list(channels),
            "idempotency_key": idempotency_key,
            "reference": reference,
            "expires_at": expires_at,
            "unknown_recipients": unknown_recipients,
            "past_is_now": past_is_now,
            "options": options,
        },
        every,
    )


def cancel(id: int) -> Call[Changed, Changed]:
    """Cancel a pending notification."""
    return Call("cancel", Changed, {"id": id}, first)


def reschedule(id: int, scheduled_at: datetime) -> Call[Changed, Changed]:
    """Move a pending notification to another time."""
    return Call("reschedule", Changed, {"id": id, "scheduled_at": scheduled_at}, first)


def retry(id: int, delay_minutes: float = 10) -> Call[Changed, Changed]:
    """Make a failed or overdue notification pending again, due in `delay_minutes`."""
    return Call("retry", Changed, {"id": id, "delay_minutes": delay_minutes}, first)


def send(id: int, *, wait: bool) -> Call[Changed, Changed]:
    """Send a pending notification now; without `wait` it is only made due, and goes out after the commit."""
    return Call("send", Changed, {"id": id, "wait": wait}, first)


def cancel_reference(reference: str) -> Call[int, int]:
    """Cancel all that is pending under a reference; how many."""
    return Call("cancel_reference", int, {"reference": reference}, first)


def cancel_batch(id: int) -> Call[int, int]:
    """Cancel all that is pending of a batch; how many."""
    return Call("cancel_batch", int, {"id": id}, first)


def upsert_recipients(rows: Sequence[Mapping[str, Any]], *, replace: bool) -> Call[Upserted, list[Upserted]]:
    """Register or update recipients: id, time_zone, locale, addresses, preferences. `replace` drops what a row
    does not give; else it stays."""
    text = msgspec.json.encode(list(rows)).decode()
    return Call("upsert_recipients", Upserted, {"rows": text, "replace": replace}, every)


def delete_recipient(id: str) -> Call[bool, bool]:
    """Delete a recipient with the whole stream; whether there was one."""
    return Call("delete_recipient", bool, {"id": id}, first)


def schedule_status(id: int) -> Call[ScheduleStatus, ScheduleStatus | None]:
    """Where a notification stands; None if there is no such one."""
    return Call("schedule_status", ScheduleStatus, {"id": id}, first_or_none)


def pending_notifications(
    limit: int, after: tuple[datetime, int] | None = None
) -> Call[Notification, list[Notification]]:
    """Pending notifications, the next due first; `after` is the (scheduled_at, id) of the last one seen."""
    due_at, id = after if after is not None else (None, None)
    return Call("pending_notifications", Notification, {"limit": limit, "due_at": due_at, "id": id}, every)


def every(rows: list[Row]) -> list[Row]:
    """All rows."""
    return rows


def first(rows: list[Row]) -> Row:
    """The only row."""
    return rows[0]


def first_or_none(rows: list[Row]) -> Row | None:
    """The only row, or None where there is none."""
    return rows[0] if rows else None
