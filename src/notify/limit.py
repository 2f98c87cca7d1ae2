"""A time limit for many things under way, by one timer: thousands a second that each set and cancel one of their own
spend as much time on that as on signing what they send."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Limit:
    """As `asyncio.timeout`, for whatever is to take no longer than so many seconds, the same for all."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: dict[asyncio.Timeout, float] = {}
        """When the time of what is under way is over, the earliest first."""
        self._timer: asyncio.TimerHandle | None = None

    async def of(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What the work returns. Raises TimeoutError, having cancelled it, when its time is over."""
        own = asyncio.timeout(None)
        try:
            async with own:
                self._watch(own)
                return await work
        finally:
            self._ends.pop(own, None)

    def _watch(self, own: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        self._ends[own] = ends = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(ends, self._end)

    def _end(self) -> None:
        """End what is late, and look again when the next may be."""
        self._timer = None
        loop = asyncio.get_running_loop()
        for own, ends in list(self._ends.items()):
            if ends > loop.time():
                self._timer = loop.call_at(ends, self._end)
                return
            del self._ends[own]
            own.reschedule(ends)
