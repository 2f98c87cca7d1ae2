"""The frames that wait for one connection: a queue with bounds, for one reader."""

from __future__ import annotations

import asyncio
from collections import deque


class Outbox:
    """Bounded by frames and by characters, which for most texts are bytes."""

    __slots__ = ("_chars", "_frames", "_max_chars", "_max_frames", "_waiter")

    def __init__(self, max_frames: int, max_chars: int) -> None:
        self._max_frames = max_frames
        self._max_chars = max_chars
        self._frames: deque[str] = deque()
        self._chars = 0
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def has_room(self) -> bool:
        """Whether one more frame may be put."""
        return len(self._frames) < self._max_frames and self._chars < self._max_chars

    @property
    def is_awaited(self) -> bool:
        """Whether the reader waits, and has not been woken."""
        return self._waiter is not None and not self._waiter.done()

    def put(self, frame: str) -> None:
        """Add a frame; the caller has seen that there is room, and wakes the reader, or reads in its place."""
        self._frames.append(frame)
        self._chars += len(frame)

    def pop(self) -> str:
        """Take the oldest frame."""
        frame = self._frames.popleft()
        self._chars -= len(frame)
        return frame

    def take(self, most_chars: int) -> list[str]:
        """Take the oldest frame, and of those behind it what fits into so many characters."""
        taken = [self.pop()]
        left = most_chars - len(taken[0])
        while self._frames and (left := left - len(self._frames[0])) >= 0:
            taken.append(self.pop())
        return taken

    def put_back(self, taken: list[str]) -> None:
        """Undo a `take`."""
        self._frames.extendleft(reversed(taken))
        self._chars += sum(map(len, taken))

    def wake(self) -> None:
        """Let the reader look around, as something else has changed."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait to be woken. Only the one reader may."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
