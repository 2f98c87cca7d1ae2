"""How fast one client may send frames: a bucket that fills with time."""

from __future__ import annotations

# Who is replayed 10,000 notifications and acknowledges each is done within a minute; a frame costs some 10 µs.
_AT_ONCE = 1000.0
_PER_SECOND = 200.0


class Pace:
    """Times are the loop's, in seconds."""

    __slots__ = ("_left", "_since")

    def __init__(self, now: float) -> None:
        self._left = _AT_ONCE
        self._since = now

    def spend(self, frames: int, now: float) -> None:
        """Count frames; more than are left may be spent, and have to be waited for."""
        self._left = min(_AT_ONCE, self._left + (now - self._since) * _PER_SECOND) - frames
        self._since = now

    def pause(self, now: float) -> float:
        """How long to wait before more is read; 0: not at all."""
        return max(0.0, -self._left / _PER_SECOND - (now - self._since))
