"""When a notification may be due, by all that was said about it."""

from __future__ import annotations

import math
from typing import NamedTuple

from faults.chaos.history import Batch, Call

# Of floats, and of the microseconds in which Postgres counts.
_ROUNDING = 1e-5


class Time(NamedTuple):
    """An instant, or a span where the service chose the instant and its answer is not known."""

    first: float
    last: float

    def holds(self, at: float) -> bool:
        return self.first - _ROUNDING <= at <= self.last + _ROUNDING


def due_times(schedule: Call, batch: Batch, changes: list[Call]) -> list[Time]:
    """The last acknowledged time, and each that an unanswered call may have set since.

    Of acknowledged ones that overlapped, any may be the last.
    """
    acknowledged = [call for call in changes if call.outcome == "ok"]
    last = [one for one in acknowledged if not any(other.started > one.ended for other in acknowledged)]
    times = [_asked(call) for call in last] or [_first(schedule, batch)]
    return times + [_asked(call) for call in changes if call.outcome == "unknown"]


def ever_due(schedule: Call, batch: Batch, changes: list[Call]) -> list[Time]:
    """As `due_times`, and also those before it failed and was retried: what was tried then was due then."""
    if any(call.kind == "retry" and call.outcome != "failed" for call in changes):
        return [_first(schedule, batch), *(_asked(call) for call in changes if call.outcome != "failed")]
    return due_times(schedule, batch, changes)


def is_early(at: float | None, times: list[Time]) -> bool:
    """Whether this instant lies before all of them."""
    return at is not None and at < min(time.first for time in times) - _ROUNDING


def _first(schedule: Call, batch: Batch) -> Time:
    if schedule.due_at is not None:
        return Time(schedule.due_at, schedule.due_at)
    # Now: the service says when that was, which cannot be before it was asked.
    return Time(max(batch.scheduled_at, schedule.started), batch.scheduled_at)


def _asked(call: Call) -> Time:
    if call.due_at is not None:
        return Time(call.due_at, call.due_at)
    # An unanswered send or retry: at some time from its beginning on. A send leaves an overdue one's time as it is.
    return Time(-math.inf if call.kind == "send" else call.started, math.inf)
