"""Keeping a background task alive: restarted with growing, random pauses, and never failing silently."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import structlog

from notify.errors import NotifyError

_log = structlog.stdlib.get_logger("notify.supervise")

# A run that lasted so long was healthy: what ends it is a new failure, not the old one going on.
HEALTHY_SECONDS = 10.0
_CANCEL_AGAIN_SECONDS = 1.0
_CAUSES = 3


class GaveUp(NotifyError):
    """A task kept failing for longer than its supervisor was told to bear."""


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    *,
    base: float = 0.1,
    cap: float = 5.0,
    give_up_after: float | None = None,
) -> None:
    """Run `run` for ever, again whenever it raises or returns, since a background task has no reason to end.

    The pause before the n-th restart in a row is random between 0 and `base` * 2^n seconds, `cap` at most, so
    that many processes do not return to a restarted database all at once. After HEALTHY_SECONDS of one run
    the count starts anew. Each end is logged once. With `give_up_after`, failing for so many seconds without
    a healthy run raises GaveUp from the last failure. Cancellation passes through at once.
    """
    failures = 0
    failing_since = 0.0
    while True:
        started = time.monotonic()
        error = await _run_once(name, run)
        ended = time.monotonic()
        if failures == 0 or ended - started >= HEALTHY_SECONDS:
            failures, failing_since = 0, ended
        failures += 1
        if give_up_after is not None and ended - failing_since >= give_up_after:
            raise GaveUp(f"{name} kept failing for {ended - failing_since:.0f} s: {describe(error)}") from error
        pause = backoff(failures, base, cap)
        _log.warning("task ended", task=name, error=describe(error), failures=failures, restart_in=round(pause, 3))
        await asyncio.sleep(pause)


def backoff(failures: int, base: float, cap: float) -> float:
    """Seconds to wait after so many failures in a row: full jitter, so at least 0 and at most `cap`."""
    return random.uniform(0, min(cap, base * 2.0 ** min(failures, 30)))  # noqa: S311 - no secret


async def rest(soon: asyncio.Event, seconds: float) -> None:
    """Sleep for so long, or until `soon` is set, which this takes back."""
    # A timeout would end the wait by an exception, at each turn of loops that mostly wait.
    timer = asyncio.get_running_loop().call_later(seconds, soon.set)
    try:
        await soon.wait()
    finally:
        timer.cancel()
        soon.clear()


def describe(error: BaseException | None) -> str:
    """One line of an error for the log. Of libpq's texts only the first line, as later ones repeat hints; of a group
    the errors in it, a few and the number of the others, as its own text says only that there are some."""
    if error is None:
        return "it returned"
    if isinstance(error, BaseExceptionGroup):
        said = list(dict.fromkeys(map(describe, _causes(error))))
        more = [f"and {len(said) - _CAUSES} more"] if len(said) > _CAUSES else []
        return "; ".join(said[:_CAUSES] + more)
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _causes(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors of a group and of the groups in it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _causes(error)
        else:
            yield error


async def _run_once(name: str, run: Callable[[], Awaitable[None]]) -> Exception | None:
    """Why it ended: its exception, or None if it returned."""
    task = asyncio.ensure_future(run())
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await end(task)
        raise
    if task.cancelled():
        return None
    error = task.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    _log.debug("task failed", task=name, exc_info=error)
    return error


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do what has to be done before a task ends, however often that is cancelled meanwhile (see `end`). The work has
    to have a bound of its own. Raises what it raises."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    task.result()


async def end(task: asyncio.Future[None]) -> None:
    """Cancel a task until it is done, whatever it ends with.

    Once is not enough: asyncio.wait_for of Python 3.11 loses a cancellation that comes together with what it
    waits for, and psycopg_pool waits for a free connection by it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_SECONDS)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.debug("task failed while it was cancelled", exc_info=error)
