"""The pauses of a chaos run: between faults, between calls, before a process is started again. Nothing else sleeps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


async def pause(seconds: float) -> None:
    """Let so much time pass; it is part of what happens, no wait for something."""
    await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def meanwhile(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """These run while the block does and are ended with it; the first that fails fails the block at its end."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
