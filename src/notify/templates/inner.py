"""What `language` puts into templates, as filters that no template can name, for the names have spaces in them.

They stand around what a loop goes over, what is assigned, what is compared or cut, what `~` joins, and what a block's
filter makes: so these pay as filters do, refuse what is missing, and tell what is wrong in words.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import Undefined, pass_eval_context
from jinja2.nodes import EvalContext
from markupsafe import escape

from notify.templates.faults import Fault
from notify.templates.meter import charge, fit, spend
from notify.templates.values import kind_of, printed

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}


class _Rounds:
    """What a loop goes over; each round pays."""

    def __init__(self, items: list[Any], steps: int, names: int) -> None:
        self._items = items
        self._steps = steps
        self._names = names

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            spend(self._steps)
            yield _assigned(item, self._names)


def _rounds(value: Any, steps: int, names: int) -> _Rounds:
    if isinstance(value, Undefined):
        str(value)  # raises Absent
    if not isinstance(value, str | dict | list | tuple):
        raise Fault(f"{kind_of(value)} cannot be looped over")
    spend(len(value))
    return _Rounds(list(value), steps, names)


def _assigned(value: Any, names: int) -> Any:
    """What is given to so many names; 0: to one, as it is."""
    if isinstance(value, Undefined):
        str(value)  # raises Absent
    if names and not (isinstance(value, str | dict | list | tuple) and len(value) == names):
        items = f" of {len(value)}" if isinstance(value, dict | list | tuple) else ""
        raise Fault(f"{kind_of(value)}{items} cannot be unpacked into {names} names")
    return value


def _compared(left: Any, *rest: Any) -> bool:
    """Comparisons and values in turn, as in `1 < x <= 3`."""
    charge(left)
    for symbol, right in zip(rest[::2], rest[1::2], strict=True):
        charge(right)
        try:
            holds = _COMPARISONS[symbol](left, right)
        except TypeError as error:
            how = "be searched for" if symbol in ("in", "notin") else "be compared with"
            one, other = (right, left) if symbol in ("in", "notin") else (left, right)
            raise Fault(f"{kind_of(one)} cannot {how} {kind_of(other)}") from error
        if not holds:
            return False
        left = right
    return True


def _cut(value: Any, *bounds: Any) -> Any:
    for part in (value, *bounds):
        charge(part)
    if not isinstance(value, str | list | tuple):
        raise Fault(f"{kind_of(value)} cannot be cut, texts and lists can")
    if not all(bound is None or isinstance(bound, int) for bound in bounds) or bounds[2] == 0:
        raise Fault(f"{kind_of(value)} is cut by whole numbers, and in steps other than 0")
    return value[slice(*bounds)]


@pass_eval_context
def output(context: EvalContext, value: object) -> str:
    """What is printed, escaped in HTML. Escaping can make five characters of one, and pays for them."""
    if not context.autoescape:
        return printed(value)
    escaped = escape(printed(value))
    fit(len(escaped))
    return escaped


ROUNDS = "rounds of a loop"
ASSIGNED = "assigned value"
COMPARED = "compared values"
CUT = "cut value"
PRINTED = "printed value"
OUTPUT = "output of a block"
INNER: Mapping[str, Callable[..., Any]] = {
    ROUNDS: _rounds,
    ASSIGNED: _assigned,
    COMPARED: _compared,
    CUT: _cut,
    PRINTED: printed,
    OUTPUT: output,
}
