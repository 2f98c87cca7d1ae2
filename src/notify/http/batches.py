"""A batch: what was asked for, where it stands, cancelling what is left of it, and replaying what failed."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from psycopg import AsyncConnection

from notify import calls, control
from notify.calls import perform
from notify.errors import NotFound
from notify.http.bodies import path_id, read_body
from notify.http.idempotency import once
from notify.http.outside_shapes import BatchReplayRequest
from notify.http.replies import Batch, CancelledMany
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.show import show
from notify.model import Replayed
from notify.postgres import queries

_PATH = "/api/batches/{id:str}"
_TAG = "batches"


@route("GET", _PATH, access="read", tag=_TAG, answers={200: Batch}, errors=(400, 404))
async def show_batch(request: HttpRequest) -> Answer:
    """Get a batch: its content, and how many of its notifications and deliveries have each status."""
    return await show(request, get_batch, path_id(request), _absent())


@route(
    "DELETE",
    _PATH,
    access="schedule",
    tag=_TAG,
    answers={200: CancelledMany},
    errors=(400, 404, 409),
    idempotent=True,
)
async def cancel_batch(request: HttpRequest) -> Answer:
    """Cancel all that is pending of a batch. The batch itself stays, to be looked at."""
    id = path_id(request)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        count = await perform(connection, calls.cancel_batch(id))
        if count == 0 and not await is_batch(connection, id):
            raise _absent()
        return answer(200, CancelledMany(count))

    return await once(request, work)


@route(
    "POST",
    _PATH + "/replay",
    access="schedule",
    tag=_TAG,
    body=BatchReplayRequest,
    body_required=False,
    answers={200: Replayed},
    errors=(400, 404, 409),
    idempotent=True,
)
async def replay_batch(request: HttpRequest) -> Answer:
    """Make failed deliveries of a batch due again, with all their retries before them."""
    id = path_id(request)
    body = await read_body(request, BatchReplayRequest, required=False)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        replayed = await perform(connection, control.replay_failed(batch_id=id, limit=body.limit))
        if replayed.replayed == 0 and not await is_batch(connection, id):
            raise _absent()
        return answer(200, replayed)

    return await once(request, work)


async def get_batch(connection: AsyncConnection[Any], id: int) -> Batch | None:
    """One batch with its counts."""
    row = await queries.maybe(connection, "get_batch", Batch, id=id)
    return None if row is None else msgspec.structs.replace(row, data=Raw(row.data.encode()))


async def is_batch(connection: AsyncConnection[Any], id: int) -> bool:
    """Whether there is such a batch."""
    return await queries.one(connection, "is_batch", bool, id=id)


def _absent() -> NotFound:
    return NotFound("there is no such batch")
