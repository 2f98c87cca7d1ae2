"""`notify api --workers N`: one parent that holds the sockets, N children that serve on them.

A child that dies is started again. A child whose parent is gone, even killed, sees the end of its stdin and stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial

from notify.cli.common import say
from notify.errors import NotifyError
from notify.process import PARTS_SECONDS, Stop, together
from notify.serve import StartFailed
from notify.supervise import supervise

_START_SECONDS = 60.0
# A child leaves hanging parts behind after PARTS_SECONDS; one that is still there then hangs as a whole.
_KILL_SECONDS = PARTS_SECONDS + 2.0


class ChildEnded(NotifyError):
    """A child has ended though nobody told it to."""


async def parent(stop: Stop, sockets: Sequence[socket.socket], count: int, ready: Callable[[], None]) -> None:
    """Run `count` children until told to stop; `ready` is called once all of them serve.

    Raises StartFailed if that takes more than a minute.
    """
    serving = {number: asyncio.Event() for number in range(1, count + 1)}
    parts = {
        f"api {number}": supervise(f"api {number}", partial(_child, sockets, event))
        for number, event in serving.items()
    }
    started = _started(list(serving.values()), ready)
    await together(stop, {**parts, "start": started}, grace=_KILL_SECONDS + 0.5)


def tell_parent() -> None:
    """Said by a child once it serves."""
    say("ready")


def stop_with_parent(stop: Stop) -> None:
    """In a child's loop: stop when stdin ends, as the parent is gone then."""
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def look() -> None:
        if not os.read(stdin, 1024):
            loop.remove_reader(stdin)
            stop.order()

    loop.add_reader(stdin, look)


async def _started(events: list[asyncio.Event], ready: Callable[[], None]) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS):
            for event in events:
                await event.wait()
    except TimeoutError as error:
        raise StartFailed(f"not all processes serve after {_START_SECONDS:.0f} s; the log says why") from error
    ready()
    await asyncio.Event().wait()


async def _child(sockets: Sequence[socket.socket], serving: asyncio.Event) -> None:
    numbers = [held.fileno() for held in sockets]
    options = [part for number in numbers for part in ("--fd", str(number))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "notify.cli", "api", *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=numbers,
    )
    assert process.stdout is not None
    try:
        if await process.stdout.readline():
            serving.set()
        await process.stdout.read()
        raise ChildEnded(f"status {await process.wait()}")
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Tell it to stop, and kill it if it does not."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _KILL_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
