"""Callers in SQL: notify.schedule() in transactions of their own that commit, roll back, come late, or are cut off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from faults.chaos import outside
from faults.chaos.clients import Names, content
from faults.chaos.history import Call, History
from faults.chaos.pace import pause

_PATIENCE_SECONDS = 8.0
_ENDINGS = {"commit": 50, "rollback": 15, "late": 15, "cut before commit": 8, "cut at commit": 12}
_SCHEDULE = """
select recipient, notification_id from notify.schedule(%(recipients)s, %(title)s, %(message)s, %(at)s,
  priority => %(priority)s, reference => %(reference)s, idempotency_key => %(key)s, channels => %(channels)s,
  options => %(options)s)
"""


class SqlCaller:
    """One application with a connection of its own."""

    def __init__(self, dsns: Sequence[str], names: Names, history: History) -> None:
        self._dsns, self._names, self._history = dsns, names, history
        self._rng = random.Random(names.rng.random())
        self.stopping = False

    def stop(self) -> None:
        """Begin no further transaction."""
        self.stopping = True

    async def run(self, pace: float) -> None:
        while not self.stopping:
            with contextlib.suppress(psycopg.OperationalError):
                async with await self._connect() as connection:
                    while not self.stopping:
                        await self._transact(connection)
                        await pause(self._rng.uniform(0, 2 * pace))
            await pause(self._rng.uniform(0, 2 * pace))

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        dsn = self._rng.choice(self._dsns)
        return await psycopg.AsyncConnection.connect(dsn, connect_timeout=3, application_name="chaos-caller")

    async def _transact(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """One transaction. Raises psycopg.OperationalError when the connection was lost."""
        (ending,) = self._rng.choices(list(_ENDINGS), list(_ENDINGS.values()))
        call = Call("sql_schedule", time.time(), reference=self._names.fresh("sql"), recipients=self._names.audience())
        self._history.begin(call)
        # Until the commit is sent nothing can be stored.
        call.outcome, call.why = "failed", f"{ending}: not committed"
        try:
            ids = await patiently(connection, self._schedule(connection, call, ending))
            if await self._end(connection, call, ending):
                call.ids = ids
                self._names.remember(call)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:  # a trigger that fails
            call.why = repr(error)
            await patiently(connection, connection.rollback())

    async def _schedule(self, connection: psycopg.AsyncConnection[Any], call: Call, ending: str) -> dict[str, int]:
        delay = 0.3 if ending == "late" else self._rng.choice((None, self._rng.uniform(0.2, 4), 3600))
        call.due_at = None if delay is None else round(time.time() + delay, 3)
        at = None if call.due_at is None else datetime.fromtimestamp(call.due_at, UTC)
        call.key = self._names.fresh("sql-key") if self._rng.random() < 0.3 else None
        outside.choose(call, self._rng)
        retry = outside.policy(call)
        given = content(call) | {"recipients": list(call.recipients), "at": at, "key": call.key}
        given |= {"channels": list(call.channels), "options": Jsonb({"retry": retry}) if retry else None}
        cursor = await connection.execute(_SCHEDULE, given)
        return dict(await cursor.fetchall())

    async def _end(self, connection: psycopg.AsyncConnection[Any], call: Call, ending: str) -> bool:
        """Whether it was committed."""
        if ending == "late":
            await pause(self._rng.uniform(0.5, 2))
        if ending == "rollback":
            await patiently(connection, connection.rollback())
            return False
        if ending == "cut before commit":
            shut(connection)
            raise psycopg.OperationalError("cut off")
        call.outcome, call.why = "unknown", ending
        committing = patiently(connection, connection.commit())
        if ending == "cut at commit":
            task = asyncio.create_task(committing)
            await pause(self._rng.uniform(0, 0.003))
            shut(connection)
            await task
        else:
            await committing
        # A commit that was answered was done, whatever became of the connection.
        call.outcome, call.ended = "ok", time.time()
        return True


async def patiently(connection: psycopg.AsyncConnection[Any], work: Coroutine[Any, Any, Any]) -> Any:
    """Its result; when it takes too long the connection is shut, as a cancelled statement waits for a dead link."""
    alarm = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, shut, connection)
    try:
        return await work
    finally:
        alarm.cancel()


def shut(connection: psycopg.AsyncConnection[Any]) -> None:
    """Cut the connection off from this end."""
    with (
        contextlib.suppress(OSError, psycopg.OperationalError),
        socket.socket(fileno=os.dup(connection.fileno())) as twin,
    ):
        twin.shutdown(socket.SHUT_RDWR)
