"""POST /api/notifications/schedule/: the one way in over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog
from msgspec import Raw
from psycopg import AsyncConnection

from notify import calls
from notify.calls import Call, perform
from notify.errors import Busy
from notify.http.auth import principal_of
from notify.http.bodies import LARGE_BYTES, as_utc, offload, read_body, read_bytes
from notify.http.content import Content, content_of, settled
from notify.http.idempotency import claim_of, once
from notify.http.objects import json_object
from notify.http.recipients_input import ids_and_rows
from notify.http.replies import Placed, Scheduled
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.services import services
from notify.http.shapes import ScheduleRequest
from notify.model import Accepted, UnknownPolicy
from notify.postgres import queries

log = structlog.get_logger("notify.http")

_LOGGED_IDS = 10
_LARGE = 1_000
# A request with so few recipients shares its transaction with others.
_FEW = 20
_NO_DATA = Raw(b"{}")
_TRIES = 3


@route(
    "POST",
    "/api/notifications/schedule/",
    access="schedule",
    tag="notifications",
    body=ScheduleRequest,
    most_bytes=None,
    answers={201: Scheduled},
    errors=(400, 409),
    idempotent=True,
)
async def schedule(request: HttpRequest) -> Answer:
    """Schedule a notification for each recipient.

    Everything is stored in one transaction, or nothing. The ids come in the order of the recipients. Who is not
    registered is left out and listed in `skipped`, unless `unknown_recipients` says otherwise. When all are unknown
    the answer is 201 with `count` 0, and nothing is stored. Without `scheduled_at` it is sent now.

    An object among the recipients registers or updates its recipient, as `POST /api/recipients` does.

    A `template` makes title and message of `variables`, here and in all its locales; what becomes of it later changes
    nothing. Whatever is wrong with any of them is refused.
    """
    body = await read_body(request, ScheduleRequest)
    many = len(body.recipients) > _LARGE
    large = many or len(await read_bytes(request)) > LARGE_BYTES
    ids, rows = await offload(large, ids_and_rows, body.recipients)
    at = None if body.scheduled_at is None else as_utc("scheduled_at", body.scheduled_at)
    data = await offload(large, data_text, body.data)
    unknown = body.unknown_recipients or services(request).settings.unknown_recipients
    content = await content_of(request, body)

    def wanted() -> Call[Accepted, list[Accepted]]:
        return _call(body, settled(content), ids, at, data, unknown)

    plain = body.template is None and body.retry is None and body.spread_over is None
    if plain and not rows and not large and len(ids) <= _FEW:
        answered = await _together(request, wanted())
        if answered is not None:
            return answered

    async def work(connection: AsyncConnection[Any]) -> Answer:
        accepted = await _store(connection, rows, wanted())
        due = at
        if due is None or body.if_past == "send":
            due = await get_accepted_at(connection, _batch(accepted))
        return await offload(many, _answer, accepted, due)

    return await once(request, work)


async def _together(request: HttpRequest, wanted: Call[Accepted, list[Accepted]]) -> Answer | None:
    """Store it with what others ask for at this moment; None: it is to go alone."""
    claim = await claim_of(request)
    return await services(request).together.schedule(principal_of(request).name, wanted.parameters, claim, _answer)


async def get_accepted_at(connection: AsyncConnection[Any], batch_id: int | None) -> datetime:
    """When a batch is due as it was first stored; for None the time it is now, by the database's clock."""
    return await queries.one(connection, "get_accepted_at", datetime, batch_id=batch_id)


async def hold_mailboxes(connection: AsyncConnection[Any], ids: Sequence[str]) -> int:
    """Keep these recipients from being deleted until the transaction ends; how many of them there are."""
    return await queries.one(connection, "hold_mailboxes", int, ids=list(ids))


def data_text(data: Raw) -> str:
    """The JSON text of a data object, as it was sent. Raises InvalidValue or LimitExceeded.

    Its size is looked at before anything is made of it, as Python's objects need many times as much.
    """
    if data == _NO_DATA:
        return "{}"
    json_object("data", data)
    return bytes(data).decode()


def _call(
    body: ScheduleRequest, content: Content, ids: list[str], at: datetime | None, data: str, unknown: UnknownPolicy
) -> Call[Accepted, list[Accepted]]:
    return calls.schedule(
        ids,
        content.title,
        content.message,
        at,
        type=body.type,
        priority=body.priority,
        data=data,
        channels=body.channels,
        reference=body.reference,
        expires_at=None if body.expires_at is None else as_utc("expires_at", body.expires_at),
        unknown_recipients=unknown,
        past_is_now=body.if_past == "send",
        options=_options(body, content),
    )


def _options(body: ScheduleRequest, content: Content) -> str | None:
    """What few requests have, as JSON; None: none of it."""
    given = {"retry": body.retry, "spread_over": body.spread_over, "contents": content.contents}
    given = {name: value for name, value in given.items() if value is not None}
    return msgspec.json.encode(given).decode() if given else None


async def _store(
    connection: AsyncConnection[Any], rows: list[dict[str, Any]], wanted: Call[Accepted, list[Accepted]]
) -> list[Accepted]:
    if not rows:
        return await perform(connection, wanted)
    async with connection.transaction():
        await _register(connection, rows)
        return await perform(connection, wanted)


async def _register(connection: AsyncConnection[Any], rows: list[dict[str, Any]]) -> None:
    """Register or update recipients and keep them there: none of them may be answered as unknown.

    Writing one who is already as wanted locks nothing, so a deletion may come in between; then once more.
    """
    ids = {row["id"] for row in rows}
    for _ in range(_TRIES):
        await perform(connection, calls.upsert_recipients(rows, replace=False))
        if await hold_mailboxes(connection, sorted(ids)) == len(ids):
            return
    raise Busy("recipients are being deleted meanwhile; repeat the request")


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
