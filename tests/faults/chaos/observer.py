"""Looks at the service from outside, ten times a second: is something overdue, is every API ready."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import httpx
import psycopg
from psycopg.rows import dict_row

from faults.chaos.callers import patiently
from faults.chaos.pace import pause
from faults.chaos.world import World

_EVERY_SECONDS = 0.1
_OVERDUE = """
select (select count(*) from notify.notification n where n.status = 'pending' and n.due_at < s.ago) as overdue,
  (select count(*) from notify.delivery d where d.status = 'pending' and d.due_at < s.ago) as "overdue outside",
  (select count(*) from notify.delivery d where d.status = 'leased' and d.leased_until < s.ago) as "leases over"
from (select clock_timestamp() - interval '1 second' as ago) s
"""


class Recovery:
    """How long things are not well while no fault lasts, from the end of the first fault until they are well again."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.spell = 0.0
        self.reason = ""
        self._before: float | None = None

    def note(self, now: float, *, lasting: int, ill: str) -> None:
        """What is wrong now, if anything, and how many faults last at the moment: their own time does not count."""
        if not ill:
            self.spell = 0.0
        elif self._before is not None and not lasting:
            self.spell += now - self._before
        if self.spell > self.longest:
            self.longest, self.reason = self.spell, ill
        self._before = now


class Observer:
    """`well` is what the last look showed; `why` says what was wrong then."""

    def __init__(self, world: World, lasting: Callable[[], int]) -> None:
        self._world, self._lasting = world, lasting
        self.recovery = Recovery()
        self.well = False
        self.why = ""
        self.overdue: dict[str, int] | None = None
        self._ready: dict[str, str] = {}

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await pause(_EVERY_SECONDS)
            unready = [f"{api.name} {self._ready.get(api.name)}" for api in self._world.apis]
            reasons = [reason for reason in unready if not reason.endswith(" ready")]
            if self.overdue is None:
                reasons.append("the database is away")
            else:
                reasons += [f"{count} {what}" for what, count in self.overdue.items() if count]
            self.why = "; ".join(reasons)
            self.well = not self.why
            self.recovery.note(time.monotonic(), lasting=self._lasting(), ill=self.why)

    async def count_overdue(self) -> None:
        """Keep `overdue` true; None while the database does not answer."""
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                async with await _connect(self._world) as connection:
                    while True:
                        cursor = await patiently(connection, connection.execute(_OVERDUE))
                        (self.overdue,) = await cursor.fetchall()
                        await pause(_EVERY_SECONDS)
            self.overdue = None
            await pause(_EVERY_SECONDS)

    async def ask_ready(self) -> None:
        """Keep asking each API whether it is ready."""
        async with httpx.AsyncClient(timeout=2) as client:
            while True:
                for api in self._world.apis:
                    self._ready[api.name] = await _state(client, api.url)
                await pause(_EVERY_SECONDS)


async def _connect(world: World) -> psycopg.AsyncConnection[dict[str, int]]:
    return await psycopg.AsyncConnection.connect(world.dsn, autocommit=True, row_factory=dict_row)


async def _state(client: httpx.AsyncClient, url: str) -> str:
    try:
        answer = await client.get(f"{url}/health/ready")
    except httpx.TransportError as error:
        return type(error).__name__
    return "ready" if answer.status_code == 200 else str(answer.json().get("detail"))
