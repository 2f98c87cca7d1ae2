"""Deliveries on outside channels: looked at, counted, replayed.

What a filter wants may be rare among millions of rows. So a page is looked for among so many of them at most: it may
have fewer items than asked for, or none, and a cursor all the same, from which the next request goes on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta
from psycopg import AsyncConnection

from notify import calls, control, cursor
from notify.calls import perform
from notify.control import Wanted
from notify.errors import InvalidValue, NotFound, NotifyError, WrongStatus
from notify.http.bodies import MOST_ID, as_utc, path_id, read_body, read_query
from notify.http.database import connection_for
from notify.http.idempotency import once
from notify.http.outside_shapes import DeliveryQuery, ReplayRequest
from notify.http.replies import DeliveryPage
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.show import show
from notify.inputs import as_recipient
from notify.model import DeliveryCount, ListedDelivery, Replayed, ShownDelivery

_PATH = "/api/deliveries"
_ONE = _PATH + "/{id:str}"
_TAG = "deliveries"


class _Place(msgspec.Struct, array_like=True, tag="delivery", forbid_unknown_fields=True, frozen=True):
    """Where a page ended: the cursor continues below this id."""

    id: Annotated[int, Meta(ge=1, le=MOST_ID)]


@route("GET", _PATH, access="read", tag=_TAG, query=DeliveryQuery, answers={200: DeliveryPage}, errors=(400,))
async def list_deliveries(request: HttpRequest) -> Answer:
    """List deliveries on outside channels, newest first.

    A page may have fewer items than `limit`, or none, though there are more: what is rare is looked for piece by piece.
    Go on as long as there is a `next_cursor`.
    """
    query = read_query(request, DeliveryQuery)
    wanted = _wanted(query)
    before = None if query.cursor is UNSET else cursor.decode(query.cursor, _Place).id
    async with connection_for(request) as connection:
        rows, end = await _read(connection, wanted, before, query.limit + 1)
    items = rows[: query.limit]
    if len(rows) > query.limit:
        end = items[-1].id
    return answer(200, DeliveryPage(items, None if end is None else cursor.encode(_Place(end))))


@route("GET", _PATH + "/counts", access="read", tag=_TAG, answers={200: list[DeliveryCount]})
async def count_deliveries(request: HttpRequest) -> Answer:
    """Count deliveries by channel, status and error code.

    Every row is read for it: for people, and not for what polls.
    """
    async with connection_for(request) as connection:
        return answer(200, await perform(connection, control.count_deliveries()))


@route("GET", _ONE, access="read", tag=_TAG, answers={200: ShownDelivery}, errors=(400, 404))
async def get_delivery(request: HttpRequest) -> Answer:
    """Get a delivery with all its attempts."""
    return await show(request, show_delivery, path_id(request), _absent())


@route(
    "POST",
    _ONE + "/replay",
    access="schedule",
    tag=_TAG,
    answers={200: ShownDelivery},
    errors=(400, 404, 409),
    idempotent=True,
)
async def replay_delivery(request: HttpRequest) -> Answer:
    """Make a failed delivery due again, with all its retries before it.

    409 tells in `delivery_status` what it is where it did not fail, and in `notification_status` where its notification
    was cancelled, or is to be sent anew.
    """
    id = path_id(request)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        replayed = await perform(connection, control.replay_deliveries([id]))
        found = await show_delivery(connection, id)
        if found is None:
            raise _absent()
        if not replayed:
            raise await _refusal(connection, found)
        return answer(200, found)

    return await once(request, work)


@route(
    "POST",
    _PATH + "/replay",
    access="schedule",
    tag=_TAG,
    body=ReplayRequest,
    answers={200: Replayed},
    errors=(400, 409),
    idempotent=True,
)
async def replay_deliveries(request: HttpRequest) -> Answer:
    """Make many failed deliveries due again, the oldest first.

    At least one filter is needed, or `all`. Ask again as long as there are `more`; with `failed_to`, what fails again
    meanwhile is not replayed for ever.
    """
    body = await read_body(request, ReplayRequest)
    call = control.replay_failed(
        channel=body.channel,
        code=body.code,
        batch_id=body.batch_id,
        failed_from=_time("failed_from", body.failed_from),
        failed_to=_time("failed_to", body.failed_to),
        limit=body.limit,
    )
    filters = ("channel", "code", "batch_id", "failed_from", "failed_to")
    if not body.all and all(call.parameters[name] is None for name in filters):
        raise InvalidValue(f"all must be true where none of {', '.join(filters)} is given", field="all")

    async def work(connection: AsyncConnection[Any]) -> Answer:
        return answer(200, await perform(connection, call))

    return await once(request, work)


async def show_delivery(connection: AsyncConnection[Any], id: int) -> ShownDelivery | None:
    """One delivery with all its attempts."""
    return await perform(connection, control.show_delivery(id))


async def _refusal(connection: AsyncConnection[Any], delivery: ShownDelivery) -> NotifyError:
    """Why a delivery was not replayed."""
    if delivery.status != "failed":
        return WrongStatus(f"the delivery is {delivery.status} and has not failed", delivery_status=delivery.status)
    notification = await perform(connection, calls.schedule_status(delivery.notification_id))
    if notification is None:
        return _absent()
    status = notification.scheduled_status
    return WrongStatus(f"its notification is {status}: nothing of it is replayed", notification_status=status)


async def _read(
    connection: AsyncConnection[Any], wanted: Wanted, before: int | None, limit: int
) -> tuple[list[ListedDelivery], int | None]:
    """The rows, and the id at which looking for them ended; None: with the last one there is."""
    bound = control.delivery_floor(wanted, before)
    floor = None if bound is None else await perform(connection, bound)
    call = control.list_deliveries(wanted, before=before, floor=floor, limit=limit)
    return await perform(connection, call), floor


def _wanted(query: DeliveryQuery) -> Wanted:
    return Wanted(
        status=None if query.status is UNSET else query.status,
        channel=None if query.channel is UNSET else query.channel,
        code=None if query.code is UNSET else query.code,
        recipient=None if query.recipient is UNSET else as_recipient(query.recipient, "recipient"),
        batch_id=None if query.batch_id is UNSET else query.batch_id,
        notification_id=None if query.notification_id is UNSET else query.notification_id,
    )


def _time(field: str, value: datetime | None) -> datetime | None:
    return None if value is None else as_utc(field, value)


def _absent() -> NotFound:
    return NotFound("there is no such delivery")
