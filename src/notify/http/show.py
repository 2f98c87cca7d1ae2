"""One thing, looked up by its id and answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from psycopg import AsyncConnection

from notify.errors import NotFound
from notify.http.database import connection_for
from notify.http.routes import Answer, HttpRequest, answer

Id = TypeVar("Id", int, str)
Found = TypeVar("Found", bound=msgspec.Struct)


async def show(
    request: HttpRequest, get: Callable[[AsyncConnection[Any], Id], Awaitable[Found | None]], id: Id, absent: NotFound
) -> Answer:
    """The answer with what `get` finds. Raises `absent` where it finds none."""
    async with connection_for(request) as connection:
        found = await get(connection, id)
    if found is None:
        raise absent
    return answer(200, found)
