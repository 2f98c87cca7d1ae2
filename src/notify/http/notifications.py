"""One notification: looked at, cancelled, moved, sent, retried."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from psycopg import AsyncConnection

from notify import calls
from notify.calls import Call, Changed, perform
from notify.errors import NotFound, WrongStatus
from notify.http.bodies import as_utc, path_id, read_body, read_query
from notify.http.database import connection_for
from notify.http.idempotency import once
from notify.http.replies import CancelledMany, CancelledOne, Shown
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.shapes import ReferenceQuery, RescheduleRequest, RetryRequest
from notify.http.show import show
from notify.model import ScheduleStatus
from notify.postgres import queries

_TAG = "notifications"


@route(
    "GET",
    "/api/notifications/{id:str}",
    access="read",
    tag=_TAG,
    answers={200: Shown},
    errors=(400, 404),
)
async def get_notification(request: HttpRequest) -> Answer:
    """Get a notification with its content."""
    return await show(request, show_notification, path_id(request), _absent())


@route(
    "GET",
    "/api/notifications/{id:str}/schedule_status/",
    access="read",
    tag=_TAG,
    answers={200: ScheduleStatus},
    errors=(400, 404),
)
async def get_schedule_status(request: HttpRequest) -> Answer:
    """Get where a notification stands."""
    id = path_id(request)
    async with connection_for(request) as connection:
        return await _status(connection, id)


@route(
    "DELETE",
    "/api/notifications/{id:str}/cancel_scheduled/",
    access="schedule",
    tag=_TAG,
    answers={200: CancelledOne},
    errors=(400, 404, 409),
    idempotent=True,
)
async def cancel_scheduled(request: HttpRequest) -> Answer:
    """Cancel a pending notification.

    200 means that it was pending and is never sent. 409 tells in `notification_status` what it was instead.
    """
    id = path_id(request)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        await _change(connection, calls.cancel(id), "cancelled")
        return answer(200, CancelledOne("Notification cancelled successfully", id))

    return await once(request, work)


@route(
    "DELETE",
    "/api/notifications",
    access="schedule",
    tag=_TAG,
    query=ReferenceQuery,
    answers={200: CancelledMany},
    errors=(400, 409),
    idempotent=True,
)
async def cancel_by_reference(request: HttpRequest) -> Answer:
    """Cancel all that is pending under a reference."""
    reference = read_query(request, ReferenceQuery).reference

    async def work(connection: AsyncConnection[Any]) -> Answer:
        return answer(200, CancelledMany(await perform(connection, calls.cancel_reference(reference))))

    return await once(request, work)


@route(
    "PATCH",
    "/api/notifications/{id:str}",
    access="schedule",
    tag=_TAG,
    body=RescheduleRequest,
    answers={200: ScheduleStatus},
    errors=(400, 404, 409),
    idempotent=True,
)
async def reschedule(request: HttpRequest) -> Answer:
    """Move a pending notification to another time."""
    id = path_id(request)
    body = await read_body(request, RescheduleRequest)
    return await _changed(request, id, calls.reschedule(id, as_utc("scheduled_at", body.scheduled_at)), "rescheduled")


@route(
    "POST",
    "/api/notifications/{id:str}/send",
    access="schedule",
    tag=_TAG,
    answers={200: ScheduleStatus},
    errors=(400, 404, 409),
    idempotent=True,
)
async def send(request: HttpRequest) -> Answer:
    """Send a pending notification now.

    It is sent when this answers; over outside channels it is on its way (`sending`).
    """
    id = path_id(request)
    return await _changed(request, id, calls.send(id, wait=True), "sent")


@route(
    "POST",
    "/api/notifications/{id:str}/retry",
    access="schedule",
    tag=_TAG,
    body=RetryRequest,
    body_required=False,
    answers={200: ScheduleStatus},
    errors=(400, 404, 409),
    idempotent=True,
)
async def retry(request: HttpRequest) -> Answer:
    """Make a failed or overdue notification pending again."""
    id = path_id(request)
    body = await read_body(request, RetryRequest, required=False)
    return await _changed(request, id, calls.retry(id, body.delay_minutes), "retried")


async def show_notification(connection: AsyncConnection[Any], id: int) -> Shown | None:
    """One notification with its content."""
    row = await queries.maybe(connection, "show_notification", Shown, id=id)
    return None if row is None else shown(row)


def shown(row: Shown) -> Shown:
    """A row as it is answered: `data` comes as JSON text, and goes out as it is."""
    return msgspec.structs.replace(row, data=Raw(row.data.encode()))


async def _changed(request: HttpRequest, id: int, call: Call[Changed, Changed], done: str) -> Answer:
    """Make a change and answer where the notification stands then."""

    async def work(connection: AsyncConnection[Any]) -> Answer:
        await _change(connection, call, done)
        return await _status(connection, id)

    return await once(request, work)


async def _change(connection: AsyncConnection[Any], call: Call[Changed, Changed], done: str) -> None:
    """Raises NotFound where there is no such notification, WrongStatus where its status forbids the change."""
    changed = await perform(connection, call)
    if changed.status is None:
        raise _absent()
    if not changed.done:
        raise WrongStatus(
            f"the notification is {changed.status} and cannot be {done}", notification_status=changed.status
        )


async def _status(connection: AsyncConnection[Any], id: int) -> Answer:
    found = await perform(connection, calls.schedule_status(id))
    if found is None:
        raise _absent()
    return answer(200, found)


def _absent() -> NotFound:
    return NotFound("there is no such notification")
