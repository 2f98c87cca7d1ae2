"""GET /api/notifications: pages, newest first; with status=pending the next due first.

Each way of looking has a statement of its own, so that the server's plan for one cannot be a bad plan for another.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta
from psycopg import AsyncConnection

from notify import cursor
from notify.http.bodies import MOST_ID, as_utc, read_query, read_time
from notify.http.notifications import shown
from notify.http.replies import NotificationPage, Shown
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.services import services
from notify.http.shapes import ListQuery
from notify.inputs import as_recipient
from notify.postgres.queries import many


class _ById(msgspec.Struct, array_like=True, tag="id", forbid_unknown_fields=True, frozen=True):
    """The cursor of a list by id: its last one."""

    id: Annotated[int, Meta(ge=1, le=MOST_ID)]


class _ByDue(msgspec.Struct, array_like=True, tag="due", forbid_unknown_fields=True, frozen=True):
    """The cursor of a list by due time: its last one."""

    at: Annotated[datetime, Meta(tz=True)]
    id: Annotated[int, Meta(ge=1, le=MOST_ID)]


@route(
    "GET",
    "/api/notifications",
    access="read",
    tag="notifications",
    query=ListQuery,
    answers={200: NotificationPage},
    errors=(400,),
)
async def list_notifications(request: HttpRequest) -> Answer:
    """List notifications, newest first; with `status=pending`, the next due first."""
    query = read_query(request, ListQuery)
    by_due = query.status == "pending"
    filters = {**_filters(query), **_position(query, by_due), "limit": query.limit + 1}
    async with services(request).pool.connection() as connection:
        rows = await _read(connection, filters, by_due)
    items = rows[: query.limit]
    more = len(rows) > query.limit
    return answer(
        200,
        NotificationPage([shown(row) for row in items], _cursor(items[-1], by_due) if more else None),
    )


def _filters(query: ListQuery) -> dict[str, Any]:
    """The filters as parameters; None where there is none."""
    recipient = None if query.recipient is UNSET else as_recipient(query.recipient, "recipient")
    due_before = None if query.due_before is UNSET else read_time("due_before", query.due_before)
    return {
        "status": None if query.status is UNSET else query.status,
        "recipient": recipient,
        "type": None if query.type is UNSET else query.type,
        "reference": None if query.reference is UNSET else query.reference,
        "due_before": due_before,
    }


def _position(query: ListQuery, by_due: bool) -> dict[str, Any]:
    """Where the page starts. Raises InvalidValue for a cursor of another list."""
    start: dict[str, Any] = {"before": None, "after_due": None, "after_id": None}
    if query.cursor is UNSET:
        return start
    if by_due:
        due = cursor.decode(query.cursor, _ByDue)
        return start | {"after_due": as_utc("cursor", due.at), "after_id": due.id}
    return start | {"before": cursor.decode(query.cursor, _ById).id}


def _cursor(last: Shown, by_due: bool) -> str:
    return cursor.encode(_ByDue(last.scheduled_at, last.id) if by_due else _ById(last.id))


async def _read(connection: AsyncConnection[Any], filters: Mapping[str, Any], by_due: bool) -> list[Shown]:
    if filters["reference"] is not None:
        return await list_of_reference(connection, filters, by_due)
    if filters["recipient"] is not None:
        return await list_of_recipient(connection, filters, by_due)
    if by_due:
        return await list_pending(connection, filters)
    if filters["status"] == "failed":
        return await list_failed(connection, filters)
    return await list_newest(connection, filters)


async def list_newest(connection: AsyncConnection[Any], filters: Mapping[str, Any]) -> list[Shown]:
    """Along the primary key."""
    return await many(connection, "list_newest", Shown, **filters)


async def list_failed(connection: AsyncConnection[Any], filters: Mapping[str, Any]) -> list[Shown]:
    """Those that failed."""
    return await many(connection, "list_failed", Shown, **filters)


async def list_pending(connection: AsyncConnection[Any], filters: Mapping[str, Any]) -> list[Shown]:
    """Pending ones, the next due first."""
    return await many(connection, "list_pending", Shown, **filters)


async def list_of_recipient(connection: AsyncConnection[Any], filters: Mapping[str, Any], by_due: bool) -> list[Shown]:
    """Those of one recipient."""
    return await many(connection, "list_of_recipient", Shown, **filters, by_due=by_due)


async def list_of_reference(connection: AsyncConnection[Any], filters: Mapping[str, Any], by_due: bool) -> list[Shown]:
    """Those of one reference."""
    return await many(connection, "list_of_reference", Shown, **filters, by_due=by_due)
