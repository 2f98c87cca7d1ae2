"""A fair share of the database for each caller.

Of the pool one caller holds about half at most, so that whoever waits for locked rows, or asks for much, leaves room
for others; and in the pool's own line stand no more of one caller either, so it moves in turns. The rest of a
caller's requests wait in a line of their own, which is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from psycopg import AsyncConnection

from notify.errors import TooManyRequests
from notify.postgres.pool import Pool

_WAITING_PER_PLACE = 50


class _Share:
    """One caller's places, for as long as somebody uses or waits for one."""

    __slots__ = ("places", "users")

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self.users = 0


class Shares:
    """Who holds how much of a pool. `patience`: the longest wait for a place, in seconds."""

    def __init__(self, pool: Pool, patience: float) -> None:
        self._pool = pool
        self._patience = patience
        self._each = max(1, pool.max_size // 2)
        self._shares: dict[str, _Share] = {}

    @contextlib.asynccontextmanager
    async def connection(self, caller: str) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection of the caller's share. Raises TooManyRequests when too many of theirs wait, or for too long."""
        share = self._shares.get(caller)
        if share is None:
            share = self._shares[caller] = _Share(self._each)
        if share.users >= self._each * (1 + _WAITING_PER_PLACE):
            raise TooManyRequests("too many of your requests are waiting already")
        share.users += 1
        try:
            await self._enter(share)
            try:
                async with self._pool.connection() as connection:
                    yield connection
            finally:
                share.places.release()
        finally:
            share.users -= 1
            if share.users == 0:
                del self._shares[caller]

    async def _enter(self, share: _Share) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await share.places.acquire()
        except TimeoutError as error:
            raise TooManyRequests("your other requests take all connections that you may have") from error
