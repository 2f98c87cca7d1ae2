"""The life of a process: told to stop by SIGINT or SIGTERM, it ends in time whatever hangs.

    with until_told() as stop:                    signals from here on; before the loop they raise Stopped
        prepare()
        run(stop, lambda: together(stop, parts))  in a uvloop, until told or until one part fails

Ten seconds is what a supervisor usually waits before it kills. The parts get PARTS_SECONDS to end in good order:
one that hangs, on a database that does not answer for example, is left behind, as the rows are the truth and no
part has anything to save. Should even the rest hang, the process ends itself with an error after EXIT_SECONDS.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import structlog
import uvloop

from notify.errors import NotifyError
from notify.supervise import describe

_log = structlog.stdlib.get_logger("notify.process")

EXIT_SECONDS = 9.3
"""From the signal to the end that nothing can hold up."""
PARTS_SECONDS = 5.0
"""Of these, what the parts get to end in good order; the rest is for the embedded server."""
_REST_SECONDS, _REST_TRIES = 0.1, 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The process was told to stop before its loop ran: what is under way is to be dropped. No error."""


class PartFailed(NotifyError):
    """A part that the process cannot do without has ended."""


class Stop:
    """Whether the process was told to stop, and the event that tells its loop."""

    def __init__(self) -> None:
        self.told = False
        self.hanging = False
        """Whether parts were left behind that did not end in time."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From here on an order goes to the loop's `wait`, and nothing is interrupted any more."""
        self._loop = loop

    async def wait(self) -> None:
        """Return once told."""
        if not self.told:
            await self._event.wait()

    def order(self) -> None:
        """As a signal does. From a signal handler or the main thread; a second time it does nothing."""
        if self.told:
            return
        self.told = True
        end_in(EXIT_SECONDS)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    def handle(self, _: int, __: FrameType | None) -> None:
        """The signal handler."""
        first, before_loop = not self.told, self._loop is None
        self.order()
        if first and before_loop:
            raise Stopped


@contextmanager
def until_told() -> Iterator[Stop]:
    """Handle SIGINT and SIGTERM from here on; a stop before the loop runs ends the block quietly.

    Both stay handled after the block, as nothing may disturb the process while it tidies up. With parts left
    behind the process ends here with status 0, since it did what it was told.
    """
    stop = Stop()
    for number in _SIGNALS:
        signal.signal(number, stop.handle)
    try:
        yield stop
    except Stopped:
        return
    if stop.hanging:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def run(stop: Stop, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run what `main` makes in a uvloop, to its end; what goes on behind it then is cancelled."""

    async def to_the_end() -> None:
        try:
            await main()
        finally:
            await _clear(stop)

    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    stop.attach(runner.get_loop())
    try:
        runner.run(to_the_end())
    finally:
        if not stop.hanging:
            runner.close()


async def together(stop: Stop, parts: Mapping[str, Coroutine[Any, Any, None]], *, grace: float = PARTS_SECONDS) -> None:
    """Run all parts until told to stop, then cancel them and wait `grace` seconds for them to end.

    A part that ends by itself ends all: raises its NotifyError, or PartFailed from what it raised.
    """
    tasks = {asyncio.create_task(part, name=name) for name, part in parts.items()}
    told = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({told, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in tasks if task.done()]
    for task in (told, *tasks):
        task.cancel()
    done, hanging = await asyncio.wait({told, *tasks}, timeout=grace)
    for task in done - set(ended):
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("failed while stopping", part=task.get_name(), error=describe(error))
    if hanging:
        stop.hanging = True
        _log.warning("left behind", parts=sorted(task.get_name() for task in hanging))
    if ended and not stop.told:
        _raise_for(ended[0])


async def _clear(stop: Stop) -> None:
    """Cancel what still runs, more than once as a cancellation may get lost: the runner would wait for ever."""
    for _ in range(_REST_TRIES):
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        if not rest:
            return
        for task in rest:
            task.cancel()
        await asyncio.wait(rest, timeout=_REST_SECONDS)
    stop.hanging = True


def _raise_for(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, NotifyError):
        raise error
    if error is not None:
        _log.error("part failed", part=task.get_name(), exc_info=error)
    raise PartFailed(f"{task.get_name()} ended: {describe(error)}") from error


def end_in(seconds: float) -> None:
    """End this process with status 1 after so many seconds, if it is still there, whatever its threads do."""

    def end() -> None:
        sys.stderr.write(f"notify: still not stopped after {seconds} s, giving up\n")
        sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
