"""Group commit: small schedule requests that come at the same time share a transaction and its round trip.

A commit costs the database, and this process, several times what the rows of one request do. So a request that comes
while others are being stored waits for them, and then goes together with all that came meanwhile; one that comes
alone goes at once. Nobody waits on purpose.

What is shared is only what succeeds at once. Anything else (refused, repeated under its key, a recipient unknown or
locked) leaves no trace in the shared transaction and is repeated by its own handler, alone, as if nothing had been:
there every error and every wait is its own. Group commit as in D. J. DeWitt et al., "Implementation Techniques for
Main Memory Database Systems", 1984.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection

from notify.errors import NotifyError, TooManyRequests
from notify.http.claims import Claim, idempotency_finish
from notify.http.routes import Answer
from notify.model import Accepted
from notify.postgres import queries
from notify.postgres.pool import Pool
from notify.supervise import describe

log = structlog.stdlib.get_logger("notify.http")

# Each goes in a subtransaction, of which the server keeps 64 at hand.
_MOST_TOGETHER = 50
_MOST_BYTES = 1_000_000
_WAITING_EACH = 500

MakeAnswer = Callable[[list[Accepted], datetime], Answer]


class Stored(msgspec.Struct, frozen=True):
    """One row of what was stored; `place` counts the requests of the group from 1."""

    place: int
    recipient: str
    notification_id: int | None
    batch_id: int | None
    due_at: datetime


class _Entry(msgspec.Struct, eq=False):
    request: bytes
    claim: Claim | None
    make: MakeAnswer
    answered: asyncio.Future[Answer | None]


class Together:
    """The group commit of one process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: OrderedDict[str, deque[_Entry]] = OrderedDict()
        self._claims: set[tuple[str, str]] = set()
        self._task: asyncio.Task[None] | None = None
        self.groups = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return sum(map(len, self._waiting.values()))

    async def schedule(
        self, caller: str, parameters: Mapping[str, Any], claim: Claim | None, make: MakeAnswer
    ) -> Answer | None:
        """Store a request with those of others; None: it is to go alone.

        `parameters` are those of notify.schedule(), `data` as JSON text; `make` makes the answer of what was
        stored, and is kept under the claim. Raises TooManyRequests, and what the database raises when it is out of
        reach.
        """
        if claim is None:
            return await self._put(caller, parameters, None, make)
        if (claim.owner, claim.key) in self._claims:
            return None  # the same one is on its way: the database says so
        self._claims.add((claim.owner, claim.key))
        try:
            claimed = {"owner": claim.owner, "key": claim.key, "hash": claim.hash.hex()}
            return await self._put(caller, {**parameters, **claimed}, claim, make)
        finally:
            self._claims.remove((claim.owner, claim.key))

    async def _put(
        self, caller: str, parameters: Mapping[str, Any], claim: Claim | None, make: MakeAnswer
    ) -> Answer | None:
        waiting = self._waiting.setdefault(caller, deque())
        if len(waiting) >= _WAITING_EACH:
            raise TooManyRequests("too many of your requests are waiting already")
        answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        waiting.append(_Entry(msgspec.json.encode(parameters), claim, make, answered))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="together")
        return await answered

    async def _run(self) -> None:
        """Store group after group until nobody waits. Whatever happens, everybody is answered."""
        try:
            async with self._pool.connection() as connection:
                await asyncio.sleep(0)  # requests that were read in this round of the loop come along
                # As the pool looks at a connection that it hands out, this does at one that it keeps.
                while not connection.closed and connection.just_answered and (group := self._take()):
                    await self._serve(connection, group)
                    await asyncio.sleep(0)
        except BaseException as error:
            _fail(self._take_all(), error)
            if not isinstance(error, psycopg.Error):
                raise
        finally:
            # Who came while the connection was given back, or was lost, waits for the next round.
            self._task = asyncio.create_task(self._run(), name="together") if self._waiting else None

    async def _serve(self, connection: AsyncConnection[Any], group: Sequence[_Entry]) -> None:
        try:
            answers = await self._store(connection, group)
        except BaseException as error:
            _fail(group, error)
            if not isinstance(error, psycopg.Error):
                raise
            return
        for entry, answer in zip(group, answers, strict=True):
            if not entry.answered.done():
                entry.answered.set_result(answer)

    async def _store(self, connection: AsyncConnection[Any], group: Sequence[_Entry]) -> list[Answer | None]:
        """The answers of a group, None for who is to go alone. Raises what leaves open what has been stored."""
        self.groups += 1
        try:
            if any(entry.claim for entry in group):
                async with connection.transaction():
                    answers = await _store_together(connection, group)
                    await _keep(connection, group, answers)
            else:
                answers = await _store_together(connection, group)
        except (psycopg.Error, NotifyError) as error:
            if connection.closed:
                raise
            # The server has said that nothing of it was stored.
            log.info("a group of requests goes one by one", count=len(group), error=describe(error))
            return [None] * len(group)
        return answers

    def _take(self) -> list[_Entry]:
        """The next group: one of each caller in turn, as far as there is room."""
        group: list[_Entry] = []
        room = _MOST_BYTES
        while self._waiting and len(group) < _MOST_TOGETHER and room > 0:
            caller, waiting = self._waiting.popitem(last=False)
            entry = waiting.popleft()
            if waiting:
                self._waiting[caller] = waiting
            if not entry.answered.done():  # else who asked is gone
                group.append(entry)
                room -= len(entry.request)
        return group

    def _take_all(self) -> list[_Entry]:
        entries = [entry for waiting in self._waiting.values() for entry in waiting]
        self._waiting.clear()
        return entries


async def schedule_together(connection: AsyncConnection[Any], requests: bytes) -> list[Stored]:
    """Store those requests of a JSON array that can be stored at once; see the comment of the SQL function."""
    return await queries.many(connection, "schedule_together", Stored, requests=requests.decode())


async def _store_together(connection: AsyncConnection[Any], group: Sequence[_Entry]) -> list[Answer | None]:
    requests = b"[" + b",".join(entry.request for entry in group) + b"]"
    stored: dict[int, list[Stored]] = {}
    for row in await schedule_together(connection, requests):
        stored.setdefault(row.place, []).append(row)
    return [_made(entry, stored.get(place)) for place, entry in enumerate(group, 1)]


def _made(entry: _Entry, stored: list[Stored] | None) -> Answer | None:
    if stored is None:
        return None
    return entry.make(
        [Accepted(row.recipient, row.notification_id, row.batch_id, False) for row in stored], stored[0].due_at
    )


async def _keep(connection: AsyncConnection[Any], group: Sequence[_Entry], answers: Sequence[Answer | None]) -> None:
    kept = [
        (entry.claim, answer)
        for entry, answer in zip(group, answers, strict=True)
        if entry.claim is not None and answer is not None
    ]
    if kept:
        await idempotency_finish(connection, kept)


def _fail(entries: Sequence[_Entry], error: BaseException) -> None:
    """Tell everybody; whether their requests were stored may be unknown."""
    for entry in entries:
        if not entry.answered.done():
            entry.answered.set_exception(_told(error))


def _told(error: BaseException) -> Exception:
    """An error of one's own, as each is raised by itself and would add to the trace of one that all share."""
    if isinstance(error, psycopg.Error | NotifyError):
        told: Exception = copy(error)
    elif isinstance(error, Exception):
        told = RuntimeError("a group of requests failed")
    else:
        told = psycopg.OperationalError("this server stops")
    told.__cause__ = error
    return told
