"""What one connection was sent of its stream, and what may follow. Pure: no clock, no database, no socket.

A connection is *live* while each signal brings exactly the next seq. Anything else makes it *behind*, until a look
at the rows has caught up. Nothing is ever dropped as "not newer", so nothing is lost.
"""

from __future__ import annotations

from notify.gateway.cursor import Cursor
from notify.gateway.stream import Box


class Position:
    """`last`: the seq that was sent, or stands in the outgoing queue; the next one is `last + 1`."""

    __slots__ = ("_rung", "_seen", "behind", "epoch", "generation", "last")

    def __init__(self) -> None:
        self.generation = -1
        self.epoch = ""
        self.last = 0
        self.behind = True
        # While behind: the highest seq signalled, and whether anything else asked for a look.
        self._seen = 0
        self._rung = False

    def take(self, generation: int, seq: int) -> bool:
        """A signal came. True: it is the next one, `last` has moved on to it, send it now."""
        if self.behind:
            self._note(generation, seq)
        elif generation != self.generation or seq > self.last + 1:
            self.fall_behind()
        elif seq == self.last + 1:
            self.last = seq
            return True
        return False

    def _note(self, generation: int, seq: int) -> None:
        if generation == self.generation:
            self._seen = max(self._seen, seq)
        else:
            self._rung = True

    def fall_behind(self) -> None:
        """The rows have to be looked at, again if that is under way."""
        self.behind = True
        self._rung = True

    def look(self) -> None:
        """The rows are being read: a snapshot taken after this shows all that was signalled before."""
        self._seen = 0
        self._rung = False

    def begin(self, cursor: Cursor, box: Box, limit: int) -> bool:
        """Start where the cursor says. False: that is impossible, or needs more than `limit` to replay."""
        self.generation, self.epoch = box.generation, box.epoch
        self.last = {"acked": box.acked_seq, "now": box.last_seq, "seq": cursor.seq}[cursor.start]
        return cursor.epoch in (None, box.epoch) and self.goes_on(box) and box.last_seq - self.last <= limit

    def goes_on(self, box: Box) -> bool:
        """Whether everything after `last` is still to be had: same history, and retention is not past it."""
        return box.epoch == self.epoch and box.floor_seq <= self.last <= box.last_seq

    def reset(self, box: Box) -> None:
        """Go on after the newest."""
        self.generation, self.epoch, self.last = box.generation, box.epoch, box.last_seq

    def settle(self, box: Box) -> None:
        """All rows of a look were sent: live again, unless there is more by now."""
        self.behind = self._rung or max(self._seen, box.last_seq) > self.last
