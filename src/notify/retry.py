"""When to try a delivery again, and when to give it up: pure, as all it needs is passed in.

A policy is what the channel, the type and the batch say, the later ones first; what none of them says is the default,
which is the reference's: 5, 10 and 20 minutes after a failure, then no more.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

import msgspec

from notify.channels.protocol import Outcome


class Policy(msgspec.Struct, frozen=True):
    """How failures are dealt with. Times are seconds."""

    delays: tuple[float, ...] = (300.0, 600.0, 1200.0)
    """The pause after the first failure, the second, …; as many retries as there are."""
    jitter: float = 0.1
    """Up to so large a part of a delay is added to it at random, so that what failed together does not return so."""
    max_age: float = 172_800.0
    """A try that would come so long after the first one, since it was made or last replayed, is not made. Two days, as
    a provider may ask to be left alone for one."""
    final: tuple[str, ...] = ()
    """Error codes after which there is no retry, besides what the channel calls final; http-4xx is all of them."""


# Leases that may be lost beyond all retries before it is not tried again: what was lost may never have been sent, and
# what kills every worker is not to be tried for ever.
_MOST_LOST = 3
# Seconds between tries to reach a channel that is down, where the policy has no retries.
_OUTAGE_DELAY = 60.0


class Verdict(msgspec.Struct, frozen=True):
    """What is done about an attempt. `delay` is seconds until the next one, where there is one."""

    kind: Literal["sent", "retry", "failed"]
    delay: float = 0.0
    why: str = ""
    """Why there is no further try although the failure may pass."""


def judge(
    policy: Policy, outcome: Outcome, *, tries: int, age: float, chance: Callable[[], float] = random.random
) -> Verdict:
    """What becomes of a delivery after its try number `tries` + 1, `age` seconds after it was first tried.

    `chance` gives a number from 0 up to 1 for the jitter. Delays with a random part keep those who failed together
    from coming back together (M. Brooker, "Exponential Backoff And Jitter", 2015).
    """
    if outcome.kind == "sent":
        return Verdict("sent")
    if outcome.kind == "final" or outcome.disable:
        return Verdict("failed")
    if any(_matches(pattern, outcome.code) for pattern in policy.final):
        return Verdict("failed", why=f"{outcome.code} is final here")
    if outcome.outage:
        # It was no try, so that it uses up no retry, not even the last: only its age ends it.
        delay = policy.delays[min(tries, len(policy.delays) - 1)] if policy.delays else _OUTAGE_DELAY
    elif _is_exhausted(policy, tries):
        return Verdict("failed", why=f"after {tries + 1} tries")
    else:
        delay = policy.delays[tries]
    delay *= 1 + policy.jitter * chance()
    delay = max(delay, outcome.retry_after or 0.0)
    if age + delay > policy.max_age:
        return Verdict("failed", why=f"the next try would come later than {policy.max_age:g} s after the first")
    return Verdict("retry", delay)


def give_up(policy: Policy, *, tries: int, age: float) -> Outcome | None:
    """Why a delivery that was tried so often, first `age` seconds ago, is not tried once more; or None.

    What is due may have waited since: for the end of a pause, of quiet hours, or of its channel's or address's rest.
    """
    if _is_exhausted(policy, tries - _MOST_LOST):
        return Outcome(kind="final", code="lease-lost", detail="workers that took it never told what came of it")
    if age > policy.max_age:
        return Outcome(kind="final", code="too-old", detail=f"it waited until {policy.max_age:g} s after its first try")
    return None


def _is_exhausted(policy: Policy, tries: int) -> bool:
    """Whether no try may follow the one after `tries`."""
    return tries >= len(policy.delays)


def _matches(pattern: str, code: str) -> bool:
    """Whether a code is meant by a pattern, in which a trailing xx stands for any two digits."""
    if pattern.endswith("xx"):
        return len(code) == len(pattern) and code[-2:].isdigit() and code.startswith(pattern[:-2])
    return pattern == code
