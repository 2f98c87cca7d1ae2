"""Whether a channel as a whole is out of reach, by what one courier has met: outages, or many addresses in a row of
which none could be reached.

One address that cannot be reached says nothing of its channel: it may be gone. Where many different ones cannot be, and
nobody answered in between, it is our network, our lookups of names, or the one service that all of them are at. From
then on such failures are outages, until anybody answers.
"""

from __future__ import annotations

from msgspec.structs import replace

from notify.channels.protocol import Outcome


class Tally:
    """What a courier has met since anybody answered. It keeps at most `threshold` addresses."""

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._unreached: set[str] = set()
        self._outages = 0

    @property
    def is_down(self) -> bool:
        """Whether the channel is about to rest: what its courier has taken is given back, and not tried for nothing."""
        return self._outages >= self._threshold

    def count(self, outcome: Outcome, address: str) -> Outcome:
        """The outcome, which is an outage where its channel is out of reach. `address` is its hash."""
        if not (outcome.outage or outcome.unreachable):
            self._outages = 0
            if self._unreached:
                self._unreached.clear()
            return outcome
        if outcome.outage:
            self._outages += 1
            return outcome
        if len(self._unreached) < self._threshold:
            self._unreached.add(address)
            if len(self._unreached) < self._threshold:
                return outcome
        self._outages = self._threshold
        return replace(outcome, outage=True)

    def told(self) -> None:
        """The database knows of the outages: it lets the channel rest, and says when one is to be tried. Addresses that
        were not reached still count then, as no answer has come."""
        self._outages = 0
