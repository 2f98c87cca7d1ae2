"""What a rendering may cost: its work is counted in steps, and ends at the limit.

Who writes templates and who sends variables may both be mistaken or hostile, and a thread cannot be killed. So nothing
is done whose cost was not counted before: a loop pays for each round, with as many steps as its body has nodes, and
for the text that stands there; whatever looks at a value pays for all that is in it, as often as it is in it. (Lists
that are built of lists can be exponentially larger than the memory they need.) A step takes two microseconds at most,
mostly a tenth of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jinja2 import Undefined

from notify.templates.faults import Excess

MOST_STEPS = 500_000
"""Of all locales of a template together: a second at most."""
MOST_TEXT = 262_144
"""Characters of any text on the way, as a result of a filter."""
_CHARS_A_STEP = 16


class _Meter:
    def __init__(self, steps: int) -> None:
        self.left = steps


# Not there while a template is compiled: so nothing can be evaluated then.
_METER: ContextVar[_Meter] = ContextVar("meter")


@contextmanager
def metered() -> Iterator[None]:
    """Count the steps of what is rendered inside."""
    token = _METER.set(_Meter(MOST_STEPS))
    try:
        yield
    finally:
        _METER.reset(token)


def spend(steps: int) -> None:
    """Pay for what is about to be done. Raises Excess, then and ever after, when nothing is left."""
    meter = _METER.get()
    meter.left -= steps
    if meter.left < 0:
        raise Excess(f"takes more than {MOST_STEPS} steps with these variables")


def charge(value: object, times: int = 1, *, absent: bool = False) -> None:
    """Pay for looking at all of a value, so many times. Raises Absent where something in it is missing, unless it may
    be `absent`."""
    if not isinstance(value, dict | list | tuple):
        spend(times * _weight(value, absent))
        return
    pending: list[object] = [value]
    while pending:
        item = pending.pop()
        spend(times * _weight(item, absent))
        if isinstance(item, dict):
            pending += item.keys()
            pending += item.values()
        elif isinstance(item, list | tuple):
            pending += item


def weight_of_text(characters: int) -> int:
    """The steps of a text of this length."""
    return 1 + characters // _CHARS_A_STEP


def fit(characters: int) -> None:
    """Pay for making a text of this length. Raises Excess where it would be too long."""
    if characters > MOST_TEXT:
        raise Excess(f"makes a text of more than {MOST_TEXT} characters on the way")
    spend(characters // _CHARS_A_STEP)


def _weight(value: object, absent: bool) -> int:
    """The steps of a value without what is in it."""
    if isinstance(value, str):
        return weight_of_text(len(value))
    if isinstance(value, dict | list | tuple):
        return 1 + len(value)
    if isinstance(value, int):
        return 1 + value.bit_length() // 1_024
    if isinstance(value, Undefined) and not absent:
        str(value)  # raises, but for an `if` without `else`
    return 1
