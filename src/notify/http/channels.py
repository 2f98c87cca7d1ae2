"""Outside channels, and types of notification: whether they are used, and how failures on them are dealt with."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from notify import control
from notify.calls import perform
from notify.errors import InvalidValue
from notify.http.bodies import path_text, read_body
from notify.http.database import connection_for
from notify.http.idempotency import once
from notify.http.outside_shapes import ChannelChanges, TypeChanges
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.inputs import as_text
from notify.model import ChannelState, TypeState

_MOST_TYPE = 100


@route("GET", "/api/channels", access="read", tag="channels", answers={200: list[ChannelState]})
async def list_channels(request: HttpRequest) -> Answer:
    """List all channels, and whether they are used."""
    async with connection_for(request) as connection:
        return answer(200, await perform(connection, control.list_channels()))


@route(
    "PATCH",
    "/api/channels/{name:str}",
    access="admin",
    tag="channels",
    body=ChannelChanges,
    answers={200: ChannelState},
    errors=(400, 404, 409),
    idempotent=True,
)
async def change_channel(request: HttpRequest) -> Answer:
    """Pause or resume a channel, bound its rate, or say how failures on it are dealt with.

    What is due on a paused channel waits; what is under way ends. Only outside channels can be changed.
    """
    name = as_text("name", path_text(request, "name"))
    body = await read_body(request, ChannelChanges)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        await perform(connection, control.set_channel(name, body))
        found = await perform(connection, control.get_channel(name))
        if found is None:
            raise control.no_channel(name, await perform(connection, control.list_channels()))
        return answer(200, found)

    return await once(request, work)


@route("GET", "/api/types", access="read", tag="types", answers={200: list[TypeState]})
async def list_types(request: HttpRequest) -> Answer:
    """List the types of notification about which something was said.

    All others have the defaults.
    """
    async with connection_for(request) as connection:
        return answer(200, await perform(connection, control.list_types()))


@route("GET", "/api/types/{name:str}", access="read", tag="types", answers={200: TypeState}, errors=(400,))
async def get_type(request: HttpRequest) -> Answer:
    """Get what holds for a type of notification; where nothing was said about it, the defaults."""
    name = _type(request)
    async with connection_for(request) as connection:
        return answer(200, await perform(connection, control.get_type(name)))


@route(
    "PATCH",
    "/api/types/{name:str}",
    access="admin",
    tag="types",
    body=TypeChanges,
    answers={200: TypeState},
    errors=(400, 409),
    idempotent=True,
)
async def change_type(request: HttpRequest) -> Answer:
    """Pause or resume a type of notification, make it required, or say how failures of it are dealt with.

    A type need not have been seen before. Deliveries of a paused type wait, and hold up no others; its notifications
    still come to the inbox. Recipients cannot opt out of a required one.
    """
    name = _type(request)
    body = await read_body(request, TypeChanges)

    async def work(connection: AsyncConnection[Any]) -> Answer:
        await perform(connection, control.set_type(name, body))
        return answer(200, await perform(connection, control.get_type(name)))

    return await once(request, work)


def _type(request: HttpRequest) -> str:
    name = as_text("name", path_text(request, "name"))
    if len(name) > _MOST_TYPE:
        raise InvalidValue(f"name must have 1 to {_MOST_TYPE} characters", field="name")
    return name
