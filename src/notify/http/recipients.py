"""The registry of recipients, their tokens, and their addresses that failed."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from psycopg import AsyncConnection

from notify import calls, control
from notify.access import new_token
from notify.calls import perform
from notify.errors import Busy, NotFound
from notify.http.bodies import offload, path_text, read_body
from notify.http.database import connection_for
from notify.http.idempotency import once
from notify.http.outside_shapes import EnableRequest
from notify.http.recipients_input import ids_and_rows, row
from notify.http.replies import Enabled, Recipient, RecipientCounts, Token
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.services import services
from notify.http.shapes import MOST_RECIPIENT_BYTES, RecipientFields, RecipientsRequest, TokenRequest
from notify.http.show import show
from notify.inputs import as_recipient
from notify.postgres import queries

_PATH = "/api/recipients/{id:str}"
_TAG = "recipients"
_LARGE = 1_000


@route(
    "PUT",
    _PATH,
    access="admin",
    tag=_TAG,
    body=RecipientFields,
    most_bytes=MOST_RECIPIENT_BYTES,
    answers={200: Recipient, 201: Recipient},
    errors=(400,),
)
async def put_recipient(request: HttpRequest) -> Answer:
    """Register a recipient, or replace what is known of one. What is not given is forgotten."""
    id = _id(request)
    fields = await read_body(request, RecipientFields)
    async with connection_for(request) as connection, connection.transaction():
        (upserted,) = await perform(connection, calls.upsert_recipients([row(id, fields)], replace=True))
        found = await get_recipient(connection, id)
    if found is None:
        raise Busy("the recipient was deleted meanwhile; repeat the request")
    return answer(201 if upserted.created else 200, found)


@route("GET", _PATH, access="admin", tag=_TAG, answers={200: Recipient}, errors=(400, 404))
async def show_recipient(request: HttpRequest) -> Answer:
    """Get what is known of a recipient, and which of its addresses are disabled."""
    return await show(request, get_recipient, _id(request), _absent())


@route(
    "DELETE",
    _PATH,
    access="admin",
    tag=_TAG,
    answers={204: None},
    errors=(400, 404, 409),
    idempotent=True,
)
async def delete_recipient(request: HttpRequest) -> Answer:
    """Delete a recipient, with the inbox and all that was pending."""
    id = _id(request)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        if not await perform(connection, calls.delete_recipient(id)):
            raise _absent()
        return answer(204)

    return await once(request, work)


@route(
    "POST",
    "/api/recipients",
    access="admin",
    tag=_TAG,
    body=RecipientsRequest,
    most_bytes=None,
    answers={200: RecipientCounts},
    errors=(400, 409),
    idempotent=True,
)
async def post_recipients(request: HttpRequest) -> Answer:
    """Register or update many recipients. What is not given stays as it is."""
    body = await read_body(request, RecipientsRequest)
    _, rows = await offload(len(body.recipients) > _LARGE, ids_and_rows, body.recipients)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        upserted = await perform(connection, calls.upsert_recipients(rows, replace=False))
        created = sum(one.created for one in upserted)
        return answer(200, RecipientCounts(len(upserted), created, len(upserted) - created))

    return await once(request, work)


@route(
    "POST",
    _PATH + "/enable",
    access="admin",
    tag=_TAG,
    body=EnableRequest,
    answers={200: Enabled},
    errors=(400, 404, 409),
    idempotent=True,
)
async def enable_address(request: HttpRequest) -> Answer:
    """Use an address again that failed for so long, or so finally, that it was disabled.

    Registering another address does so as well.
    """
    id = _id(request)
    channel = (await read_body(request, EnableRequest)).channel

    async def work(connection: AsyncConnection[Any]) -> Answer:
        enabled = await perform(connection, control.enable_address(id, channel))
        if not enabled and not await is_recipient(connection, id):
            raise _absent()
        return answer(200, Enabled(channel, enabled))

    return await once(request, work)


@route(
    "POST",
    _PATH + "/tokens",
    access="admin",
    tag=_TAG,
    body=TokenRequest,
    body_required=False,
    answers={201: Token},
    errors=(400, 404),
)
async def post_token(request: HttpRequest) -> Answer:
    """Issue a token with which a recipient opens its own websocket and inbox, and nothing else.

    Nothing is stored: an `Idempotency-Key` is ignored here, and a repeated request gets another token, as keeping
    the first answer would mean keeping a secret.
    """
    id = _id(request)
    body = await read_body(request, TokenRequest, required=False)
    serving = services(request)
    async with connection_for(request) as connection:
        if not await is_recipient(connection, id):
            raise _absent()
    ttl = serving.settings.token_ttl if body.ttl is None else body.ttl
    return answer(201, Token(*new_token(await serving.gatekeeper.signing_key(), id, ttl)))


async def get_recipient(connection: AsyncConnection[Any], id: str) -> Recipient | None:
    """What is known of a recipient."""
    found = await queries.maybe(connection, "get_recipient", Recipient, id=id)
    if found is None:
        return None
    return msgspec.structs.replace(
        found, addresses=Raw(found.addresses.encode()), preferences=Raw(found.preferences.encode())
    )


async def is_recipient(connection: AsyncConnection[Any], id: str) -> bool:
    """Whether there is such a recipient."""
    return await queries.one(connection, "is_recipient", bool, id=id)


def _id(request: HttpRequest) -> str:
    return as_recipient(path_text(request), "id")


def _absent() -> NotFound:
    return NotFound("there is no such recipient")
