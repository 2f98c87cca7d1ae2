"""GET /api/notifications: pages, newest first; with status=pending the next due first.

Each way of looking has a statement of its own, so that the server's plan for one cannot be a bad plan for another.

What a filter wants may be rare among millions of rows. So a page is looked for among MOST_WALKED of them at most: it
may have fewer items than asked for, or none, and a cursor all the same, from which the next request goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, get_args

import msgspec
from msgspec import UNSET, Meta
from psycopg import AsyncConnection

from notify import cursor
from notify.http.bodies import MOST_ID, as_utc, read_query, read_time
from notify.http.database import connection_for
from notify.http.notifications import shown
from notify.http.replies import NotificationPage, Shown
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.shapes import ListQuery
from notify.inputs import as_recipient
from notify.model import Priority
from notify.postgres.queries import many, maybe

MOST_WALKED = 200_000


class _ById(msgspec.Struct, array_like=True, tag="id", forbid_unknown_fields=True, frozen=True):
    """The cursor of a list by id: its last one."""

    id: Annotated[int, Meta(ge=1, le=MOST_ID)]


class _ByDue(msgspec.Struct, array_like=True, tag="due", forbid_unknown_fields=True, frozen=True):
    """The cursor of a list by due time: its last one."""

    at: Annotated[datetime, Meta(tz=True)]
    id: Annotated[int, Meta(ge=1, le=MOST_ID)]


class _Due(msgspec.Struct, frozen=True):
    """A row's place in a list by due time."""

    at: datetime
    id: int


_Position = _ById | _ByDue


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
    """List notifications, newest first; with `status=pending`, the next due first.

    A page may have fewer items than `limit`, or none, though there are more: what is rare is looked for piece by piece.
    Go on as long as there is a `next_cursor`.
    """
    query = read_query(request, ListQuery)
    by_due = query.status == "pending"
    filters = {**_filters(query), **_position(query, by_due), "limit": query.limit + 1}
    async with connection_for(request) as connection:
        rows, end = await _read(connection, filters, by_due)
    items = rows[: query.limit]
    if len(rows) > query.limit:
        end = _ByDue(items[-1].scheduled_at, items[-1].id) if by_due else _ById(items[-1].id)
    next_cursor = None if end is None else cursor.encode(end)
    return answer(200, NotificationPage([shown(row) for row in items], next_cursor))


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


async def _read(
    connection: AsyncConnection[Any], filters: Mapping[str, Any], by_due: bool
) -> tuple[list[Shown], _Position | None]:
    """The rows, and where looking for them ended; None: with the last one there is."""
    if filters["reference"] is not None:
        return await list_of_reference(connection, filters, by_due), None
    if filters["recipient"] is not None:
        return await list_of_recipient(connection, filters, by_due), None
    if by_due:
        ceiling = await list_ceiling(connection, filters) if filters["type"] is not None else None
        return await list_pending(connection, filters, ceiling), ceiling
    if filters["status"] == "failed":
        return await list_failed(connection, filters), None
    filtered = any(filters[name] is not None for name in ("status", "type", "due_before"))
    floor = await list_floor(connection, filters) if filtered else None
    return await list_newest(connection, filters, floor), floor


async def list_floor(connection: AsyncConnection[Any], filters: Mapping[str, Any]) -> _ById | None:
    """Down to where list_newest may look; None: to the end."""
    found = await maybe(connection, "list_floor", int, before=filters["before"], rows=MOST_WALKED)
    return None if found is None else _ById(found)


async def list_newest(
    connection: AsyncConnection[Any], filters: Mapping[str, Any], floor: _ById | None = None
) -> list[Shown]:
    """Along the primary key."""
    return await many(connection, "list_newest", Shown, **filters, floor=None if floor is None else floor.id)


async def list_ceiling(connection: AsyncConnection[Any], filters: Mapping[str, Any]) -> _ByDue | None:
    """Up to where list_pending may look; None: to the end."""
    rows = -(-MOST_WALKED // len(get_args(Priority)))
    found = await maybe(connection, "list_ceiling", _Due, **filters, rows=rows)
    return None if found is None else _ByDue(found.at, found.id)


async def list_pending(
    connection: AsyncConnection[Any], filters: Mapping[str, Any], ceiling: _ByDue | None = None
) -> list[Shown]:
    """Pending ones, the next due first."""
    due, id = (None, None) if ceiling is None else (ceiling.at, ceiling.id)
    return await many(connection, "list_pending", Shown, **filters, ceiling_due=due, ceiling_id=id)


async def list_failed(connection: AsyncConnection[Any], filters: Mapping[str, Any]) -> list[Shown]:
    """Those that failed."""
    return await many(connection, "list_failed", Shown, **filters)


async def list_of_recipient(connection: AsyncConnection[Any], filters: Mapping[str, Any], by_due: bool) -> list[Shown]:
    """Those of one recipient."""
    return await many(connection, "list_of_recipient", Shown, **filters, by_due=by_due)


async def list_of_reference(connection: AsyncConnection[Any], filters: Mapping[str, Any], by_due: bool) -> list[Shown]:
    """Those of one reference."""
    return await many(connection, "list_of_reference", Shown, **filters, by_due=by_due)
