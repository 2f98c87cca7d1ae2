"""The one door through which handlers get a connection: for their caller, out of the caller's share."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg import AsyncConnection

from notify.http.auth import principal_of
from notify.http.routes import HttpRequest
from notify.http.services import services


def connection_for(request: HttpRequest) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
    """A connection while the block lasts. Raises TooManyRequests, and what the pool raises."""
    return services(request).shares.connection(principal_of(request).name)
