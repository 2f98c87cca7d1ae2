"""Turns a credential into a principal, or refuses it.

Keys are looked up at most every two seconds, once for all who show the same one meanwhile. Whether a key has expired
is the database's to say, by its own clock. Keys that nobody has shown here lately may be guesses: they are looked up a
few at a time, and what is remembered of them takes no room from keys that hold, which never stand in that line.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import OrderedDict

import msgspec
import structlog

from notify.access import (
    SCOPES,
    Principal,
    find_api_key,
    get_unsubscribe_key,
    is_well_formed,
    key_hash,
    read_token,
    token_key,
)
from notify.config import Settings
from notify.errors import Busy, TooManyRequests, Unauthenticated
from notify.places import Places
from notify.postgres.pool import Pool
from notify.supervise import describe

log = structlog.stdlib.get_logger(__name__)

# A revoked key is refused after that many seconds at the latest.
_FRESH_SECONDS = 2.0
_HELD_KEYS = 10_000
_REFUSED_KEYS = 1_000
_STRANGERS_AT_A_TIME = 2
_STRANGERS_WAITING = 400
_STRANGERS_WAITING_EACH = 100


class _Found(msgspec.Struct, frozen=True):
    """What the database said of a key, and until when that is believed."""

    principal: Principal | None
    until: float


class Gatekeeper:
    """The one of a process, with what it remembers of keys."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._token_key: str | None = None
        self._unsubscribe_key: str | None = None
        self._fixed = key_hash(settings.api_key) if settings.api_key else None
        # Those that held when they were last looked up, and the others.
        self._held: OrderedDict[bytes, _Found] = OrderedDict()
        self._refused: OrderedDict[bytes, _Found] = OrderedDict()
        self._looking: dict[bytes, asyncio.Task[Principal | None]] = {}
        self._strangers = asyncio.Semaphore(max(1, min(_STRANGERS_AT_A_TIME, pool.max_size // 2)))
        self._line = Places(_STRANGERS_WAITING, _STRANGERS_WAITING_EACH)
        self.lookups = 0

    async def signing_key(self) -> str:
        """The key that signs recipient tokens."""
        if self._token_key is not None:
            return self._token_key
        async with self._pool.connection() as connection:
            found = await token_key(self._settings, connection)
        self._token_key = found
        return found

    async def unsubscribe_key(self) -> str:
        """The key that signs links to unsubscribe."""
        if self._unsubscribe_key is None:
            async with self._pool.connection() as connection:
                self._unsubscribe_key = await get_unsubscribe_key(connection)
        return self._unsubscribe_key

    async def admit(self, credential: str, address: str = "") -> Principal:
        """The principal of an API key or a recipient token, shown by a peer of this address.

        Raises Unauthenticated if it is neither, Busy when too many unknown keys wait, and what the database raises.
        """
        hashed = key_hash(credential)
        if self._fixed is not None and hmac.compare_digest(hashed, self._fixed):
            return Principal("key:environment", frozenset(SCOPES))
        if credential.count(".") == 2:
            return read_token(await self.signing_key(), credential)
        if not is_well_formed(credential):
            raise Unauthenticated("this is no API key and no token; keys look like ntf_…")
        principal = await self._principal(hashed, address)
        if principal is None:
            raise Unauthenticated("the key is unknown, expired or revoked")
        return principal

    async def _principal(self, hashed: bytes, address: str) -> Principal | None:
        found = self._held.get(hashed) or self._refused.get(hashed)
        if found is not None and found.until > time.monotonic():
            return found.principal
        looking = self._looking.get(hashed)
        if looking is None:
            work = self._look_up(hashed) if hashed in self._held else self._queue(hashed, address)
            looking = asyncio.create_task(work)
            self._looking[hashed] = looking
            looking.add_done_callback(lambda task: self._looked(hashed, task))
        # Shielded: who is cancelled must not take the lookup away from the others.
        return await asyncio.shield(looking)

    async def _queue(self, hashed: bytes, address: str) -> Principal | None:
        """Look up a key that may be anything, when it is its turn."""
        try:
            with self._line.place(address):
                async with asyncio.timeout(self._settings.connect_timeout):
                    await self._strangers.acquire()
        except (TooManyRequests, TimeoutError) as error:
            raise Busy("too many credentials wait to be checked; repeat the request") from error
        try:
            return await self._look_up(hashed)
        finally:
            self._strangers.release()

    async def _look_up(self, hashed: bytes) -> Principal | None:
        async with self._pool.connection() as connection:
            row = await find_api_key(connection, hashed)
        self.lookups += 1
        principal = None if row is None else Principal(f"key:{row.id}", frozenset(row.scopes))
        self._keep(hashed, _Found(principal, time.monotonic() + _FRESH_SECONDS))
        return principal

    def _keep(self, hashed: bytes, found: _Found) -> None:
        self._held.pop(hashed, None)
        self._refused.pop(hashed, None)
        kept, most = (self._refused, _REFUSED_KEYS) if found.principal is None else (self._held, _HELD_KEYS)
        kept[hashed] = found
        if len(kept) > most:
            kept.popitem(last=False)

    def _looked(self, hashed: bytes, task: asyncio.Task[Principal | None]) -> None:
        del self._looking[hashed]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("key not looked up", error=describe(error))  # who waits for it is told, if anybody still does
