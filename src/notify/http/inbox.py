"""A recipient's inbox: the stored stream, and what of it was read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET
from psycopg import AsyncConnection

from notify.errors import InvalidValue, NotFound
from notify.gateway import frames
from notify.gateway.frames import Inbox, InboxItem
from notify.http.auth import inbox_owner, principal_of
from notify.http.bodies import read_body, read_query
from notify.http.database import connection_for
from notify.http.idempotency import once
from notify.http.replies import Read
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.shapes import MOST_READ_BYTES, InboxQuery, ReadRequest, RecipientQuery
from notify.model import Priority
from notify.postgres import queries

_TAG = "inbox"


class Row(msgspec.Struct, frozen=True):
    """Where the mailbox stands, with one item; or with none, when there is nothing behind the cursor."""

    epoch: str
    last_seq: int
    unread: int
    seq: int | None
    id: int | None
    batch_id: int | None
    scheduled_at: datetime | None
    sent_at: datetime | None
    read_at: datetime | None
    type: str | None
    priority: Priority | None
    title: str | None
    message: str | None
    data: str | None
    reference: str | None
    created_at: datetime | None
    expires_at: datetime | None


class Marked(msgspec.Struct, frozen=True):
    """What mark_read did; no `unread` where there is no such recipient."""

    marked: int
    unread: int | None
    last_seq: int | None


@route("GET", "/api/inbox", access="inbox", tag=_TAG, query=InboxQuery, answers={200: Inbox}, errors=(400, 404))
async def get_inbox(request: HttpRequest) -> Answer:
    """Read an inbox from a place on, oldest first.

    Items, `last_seq`, `unread` and `epoch` are of one moment. To go on, pass the last item's seq as `after`.
    """
    query = read_query(request, InboxQuery)
    owner = _owner(request, query)
    async with connection_for(request) as connection:
        rows = await read_inbox(connection, owner, query.after, query.limit)
    if not rows:
        raise _absent()
    items = [_item(owner, row) for row in rows if row.seq is not None]
    return answer(200, Inbox(items, rows[0].last_seq, rows[0].unread, rows[0].epoch))


@route(
    "POST",
    "/api/inbox/read",
    access="inbox-write",
    tag=_TAG,
    query=RecipientQuery,
    body=ReadRequest,
    most_bytes=MOST_READ_BYTES,
    answers={200: Read},
    errors=(400, 404, 409),
    idempotent=True,
)
async def post_read(request: HttpRequest) -> Answer:
    """Mark notifications read: by `ids`, or all up to a seq. Doing it again changes nothing.

    What is not in this inbox is passed over. What arrives later is never marked.
    """
    owner = _owner(request, read_query(request, RecipientQuery))
    body = await read_body(request, ReadRequest)
    ids, up_to_seq = _wanted(body)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        done = await mark_read(connection, owner, ids, up_to_seq)
        if done.unread is None or done.last_seq is None:
            raise _absent()
        return answer(200, Read(done.marked, done.unread, done.last_seq))

    return await once(request, work)


async def read_inbox(connection: AsyncConnection[Any], recipient: str, after: int, limit: int) -> list[Row]:
    """A page of a stream, of one snapshot; no row at all where there is no such recipient."""
    return await queries.many(connection, "read_inbox", Row, recipient=recipient, after=after, limit=limit)


async def mark_read(connection: AsyncConnection[Any], recipient: str, ids: list[int], up_to_seq: int | None) -> Marked:
    """Mark stored notifications of one recipient read."""
    return await queries.one(connection, "mark_read", Marked, recipient=recipient, ids=ids, up_to_seq=up_to_seq)


def _owner(request: HttpRequest, query: InboxQuery | RecipientQuery) -> str:
    return inbox_owner(principal_of(request), None if query.recipient is UNSET else query.recipient)


def _wanted(body: ReadRequest) -> tuple[list[int], int | None]:
    ids = [] if body.ids is UNSET else body.ids
    if body.ids is UNSET and body.up_to_seq is UNSET:
        raise InvalidValue("ids or up_to_seq must be given", field="ids")
    return ids, None if body.up_to_seq is UNSET else body.up_to_seq


def _item(owner: str, row: Row) -> InboxItem:
    """The item, out of the same pieces as the gateway's frames."""
    assert row.id is not None
    assert row.seq is not None
    assert row.scheduled_at is not None
    assert row.sent_at is not None
    content = frames.content(msgspec.convert(row, frames.ContentRow, from_attributes=True))
    times = frames.time(row.scheduled_at), frames.time(row.sent_at)
    text = frames.notification(row.id, frames.quoted(owner), content, *times)
    return frames.inbox_item(row.seq, row.read_at, text)


def _absent() -> NotFound:
    return NotFound("there is no such recipient")
