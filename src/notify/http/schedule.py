"""POST /api/notifications/schedule/: the one way in over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import structlog
from msgspec import Raw
from psycopg import AsyncConnection

from notify import calls
from notify.calls import Call, perform
from notify.errors import InvalidValue, LimitExceeded
from notify.http.bodies import as_utc, check_depth, offload, read_body
from notify.http.idempotency import once
from notify.http.recipients_input import ids_and_rows
from notify.http.replies import Placed, Scheduled
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.services import services
from notify.http.shapes import ScheduleRequest
from notify.inputs import MOST_DATA_BYTES
from notify.model import Accepted, UnknownPolicy
from notify.postgres import queries

log = structlog.get_logger("notify.http")

_LOGGED_IDS = 10
_LARGE = 1_000


@route(
    "POST",
    "/api/notifications/schedule/",
    access="schedule",
    tag="notifications",
    body=ScheduleRequest,
    answers={201: Scheduled},
    errors=(400, 409),
    idempotent=True,
)
async def schedule(request: HttpRequest) -> Answer:
    """Schedule a notification for each recipient.

    Everything is stored in one transaction, or nothing. The ids come in the order of the recipients. Who is not
    registered is left out and listed in `skipped`, unless `unknown_recipients` says otherwise. When all are unknown
    the answer is 201 with `count` 0, and nothing is stored. Without `scheduled_at` it is sent now.
    """
    body = await read_body(request, ScheduleRequest)
    large = len(body.recipients) > _LARGE
    ids, rows = await offload(large, ids_and_rows, body.recipients)
    at = None if body.scheduled_at is None else as_utc("scheduled_at", body.scheduled_at)
    wanted = _call(body, ids, at, body.unknown_recipients or services(request).settings.unknown_recipients)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        accepted = await _store(connection, rows, wanted)
        due = at
        if due is None or body.if_past == "send":
            due = await get_accepted_at(connection, _batch(accepted))
        return await offload(large, _answer, accepted, due)

    return await once(request, work)


async def get_accepted_at(connection: AsyncConnection[Any], batch_id: int | None) -> datetime:
    """When a batch is due as it was first stored; for None the time it is now, by the database's clock."""
    return await queries.one(connection, "get_accepted_at", datetime, batch_id=batch_id)


def data_text(data: Raw) -> str:
    """The JSON text of a data object, as it was sent. Raises InvalidValue or LimitExceeded."""
    try:
        value = msgspec.json.decode(data)
    except msgspec.ValidationError as error:
        raise InvalidValue("data has a number that is out of range", field="data") from error
    if not isinstance(value, dict):
        raise InvalidValue("data must be a JSON object", field="data")
    if len(msgspec.json.encode(value)) > MOST_DATA_BYTES:
        raise LimitExceeded(f"data has more than {MOST_DATA_BYTES} bytes", field="data")
    check_depth("data", value)
    return bytes(data).decode()


def _call(
    body: ScheduleRequest, ids: list[str], at: datetime | None, unknown: UnknownPolicy
) -> Call[Accepted, list[Accepted]]:
    return calls.schedule(
        ids,
        body.title,
        body.message,
        at,
        type=body.type,
        priority=body.priority,
        data=data_text(body.data),
        channels=body.channels,
        reference=body.reference,
        expires_at=None if body.expires_at is None else as_utc("expires_at", body.expires_at),
        unknown_recipients=unknown,
        past_is_now=body.if_past == "send",
    )


async def _store(
    connection: AsyncConnection[Any], rows: list[dict[str, Any]], wanted: Call[Accepted, list[Accepted]]
) -> list[Accepted]:
    if not rows:
        return await perform(connection, wanted)
    async with connection.transaction():
        await perform(connection, calls.upsert_recipients(rows, replace=False))
        return await perform(connection, wanted)


def _batch(accepted: list[Accepted]) -> int | None:
    return next((row.batch_id for row in accepted if row.batch_id is not None), None)


def _answer(accepted: list[Accepted], at: datetime) -> Answer:
    placed = [Placed(row.notification_id, row.recipient) for row in accepted if row.notification_id is not None]
    skipped = [row.recipient for row in accepted if row.notification_id is None]
    if skipped:
        log.warning("recipients_skipped", count=len(skipped), recipients=skipped[:_LOGGED_IDS])
    return answer(
        201,
        Scheduled(
            notification_ids=[one.id for one in placed],
            count=len(placed),
            scheduled_at=at,
            batch_id=_batch(accepted),
            skipped=skipped,
            notifications=placed,
        ),
    )
