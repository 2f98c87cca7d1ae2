"""The keeper of the Postgres of `notify up`: when it is gone, it is started again where it was.

All else in the process finds its way back by itself once there is a server, and would wait for one for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import psycopg
import structlog

from notify.errors import EmbeddedError
from notify.postgres import embedded
from notify.postgres.embedded import Deadline, Embedded
from notify.supervise import HEALTHY_SECONDS, backoff, describe, supervise, to_the_end

_log = structlog.stdlib.get_logger("notify.postgres")

# So much later the return begins; asking costs a worker that idles next to nothing.
_LOOK_SECONDS = 1.0
_TRIES = 5
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0
# A recovery takes its time.
_START_SECONDS = 300.0
_LOG_SECONDS = 60.0


def parts(server: Embedded) -> dict[str, Coroutine[Any, Any, None]]:
    """What has to run for as long as the server is ours."""
    return {"postgres": keep(server), "log": supervise("log", lambda: _keep_log(server.data_dir))}


async def keep(server: Embedded) -> None:
    """Start the server again whenever it is gone, until cancelled; once this has ended, none is being started.

    Raises EmbeddedError after _TRIES in a row of which none led to a server that stayed.
    """
    failures = 0
    while True:
        since = time.monotonic()
        while server.alive:  # noqa: ASYNC110 - a process that is not our child has no event
            await asyncio.sleep(_LOOK_SECONDS)
        if time.monotonic() - since >= HEALTHY_SECONDS:
            failures = 0
        reason = f"process {server.pid} ended"
        while not server.alive:
            if failures == _TRIES:
                raise EmbeddedError(_advice(server, reason))
            _log.warning("Postgres is gone, starting it again", reason=reason, failures=failures)
            await asyncio.sleep(backoff(failures, _PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS))
            failures += 1
            try:
                await _start_again(server)
            except (EmbeddedError, psycopg.Error, OSError) as error:
                reason = str(error) if isinstance(error, EmbeddedError) else describe(error)
            else:
                reason = f"process {server.pid} ended"
                _log.warning("Postgres runs again", process=server.pid)


async def _start_again(server: Embedded) -> None:
    """In a thread, whose end is waited for also by who is cancelled: a server that it brought up later, nobody would
    stop."""
    deadline = Deadline(_START_SECONDS)
    # Not a task: what the end of the process cancels must not hide a thread that goes on.
    starting = asyncio.get_running_loop().run_in_executor(None, server.start_again, deadline)
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        deadline.end()
        await to_the_end(_ended(starting))
        raise


async def _ended(starting: asyncio.Future[None]) -> None:
    await asyncio.wait({starting})
    if (error := starting.exception()) is not None:
        _log.debug("Postgres is not started again", error=describe(error))


def _advice(server: Embedded, reason: str) -> str:
    return (
        f"Postgres does not stay up, after {_TRIES} tries in a row to start it again: "
        f"mend what {server.data_dir / 'postgres.log'} complains of, then start notify up again. Last: {reason.strip()}"
    )


async def _keep_log(data_dir: Path) -> None:
    """Keep the server's log within bounds, for as long as it runs."""
    while True:
        await asyncio.to_thread(embedded.trim_log, data_dir)
        await asyncio.sleep(_LOG_SECONDS)
