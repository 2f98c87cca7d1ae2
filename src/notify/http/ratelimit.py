"""How many requests a minute one caller may make: a bucket for each, which refills steadily (GCRA).

A bucket is one number: the instant at which it will be full again. It is counted in this process alone and by its
monotonic clock in nanoseconds, so that what a refusal says of the time to wait is exact.

The header fields are those of draft-ietf-httpapi-ratelimit-headers: `r` requests are left, and in `t` seconds the
whole quota is there again.
"""

from __future__ import annotations

import time
from collections import OrderedDict

import msgspec

_SECOND = 1_000_000_000
_MINUTE = 60
# Callers that are remembered; who was not heard of for the longest time is forgotten first.
_CALLERS = 50_000


class Verdict(msgspec.Struct, frozen=True):
    """Whether a request may go on, and what its caller is told of the limit; times in whole seconds."""

    limit: int
    remaining: int
    full_in: int
    retry_after: int
    """0: it may go on."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields for the answer, whatever it is."""
        policy = f'"minute";q={self.limit};w={_MINUTE}'
        left = f'"minute";r={self.remaining};t={self.full_in}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", left.encode())]


class RateLimit:
    """The buckets of one process. A limit of 0 is none."""

    def __init__(self, per_minute: int) -> None:
        self._limit = per_minute
        self._each = _MINUTE * _SECOND // per_minute if per_minute else 0
        self._most = self._each * per_minute
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def take(self, caller: str) -> Verdict | None:
        """Count a request; None where there is no limit. A refused one costs the caller nothing."""
        if not self._limit:
            return None
        now = time.monotonic_ns()
        spent = max(0, self._full_at.pop(caller, now) - now)
        lacking = spent + self._each - self._most
        if lacking <= 0:
            spent += self._each
        self._full_at[caller] = now + spent
        self._forget(now)
        return Verdict(
            limit=self._limit,
            remaining=(self._most - spent) // self._each,
            full_in=_seconds(spent),
            retry_after=_seconds(max(0, lacking)),
        )

    def _forget(self, now: int) -> None:
        """Two at most, so that no request pays for many; as one is added at a time, that is enough."""
        for _ in range(2):
            caller, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= _CALLERS:
                return
            del self._full_at[caller]


def _seconds(nanoseconds: int) -> int:
    """Rounded up: a second too early would be refused again."""
    return -(-nanoseconds // _SECOND)
