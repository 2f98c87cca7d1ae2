"""What templates may do with values: print them, and count with them. Values are what JSON knows, and texts."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Undefined
from jinja2.runtime import LoopContext

from notify.templates.faults import Excess, Fault
from notify.templates.meter import charge, fit, spend

MOST_BITS = 4_096
"""Of an integer that is printed or counted with."""
_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_ADVICE = {
    "null": "; `default('…', true)` gives it a text",
    "a list": "; `join` or `tojson` makes a text of it",
    "an object": "; `tojson` makes a text of it",
}


def kind_of(value: object) -> str:
    """What a value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, Undefined):
        return "nothing"
    return "`loop`" if isinstance(value, LoopContext) else "this"


def printed(value: object) -> str:
    """The text that a value is printed as. Raises Fault for what has none, and Absent for what is missing.

    Jinja would print `None`, and lists as Python writes them: nobody wants to read that in a notification.
    """
    if isinstance(value, Undefined):
        return str(value)  # raises, but for an `if` without `else`, which prints nothing
    if not isinstance(value, str | int | float):
        kind = kind_of(value)
        raise Fault(f"{kind} cannot be printed{_ADVICE.get(kind, '')}")
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise Excess(f"an integer of more than {MOST_BITS} bits cannot be printed")
    charge(value)
    if isinstance(value, str):
        return value
    text = str(value)
    fit(len(text))
    return text


def number(value: object) -> int | float:
    """The value, if it is a number that one may count with. Raises Fault or Excess."""
    if isinstance(value, Undefined):
        str(value)
    if not isinstance(value, int | float):
        raise Fault(f"{kind_of(value)} is used as a number; `int` or `float` makes one of a text")
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise Excess(f"counts with an integer of more than {MOST_BITS} bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise Excess("counts with a number that is out of range")
    return value


def signed(symbol: str, value: object) -> int | float:
    """A number with a sign before it."""
    spend(1)
    return -number(value) if symbol == "-" else +number(value)


def compute(symbol: str, left: object, right: object) -> Any:
    """The result of an operator. Texts can be added, and repeated by `*`; all else is for numbers."""
    spend(1)
    for value in (left, right):
        if isinstance(value, Undefined):
            str(value)
    if isinstance(left, str) and isinstance(right, str) and symbol == "+":
        fit(len(left) + len(right))
        return left + right
    if isinstance(left, str) and isinstance(right, int) and symbol == "*":
        fit(len(left) * max(right, 0))
        return left * right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _counted(symbol, number(left), number(right))
    hint = "; `~` joins texts and numbers, and `format` fills them in" if isinstance(left, str) else ""
    raise Fault(f"{kind_of(left)} {symbol} {kind_of(right)} is not possible{hint}")


def _counted(symbol: str, left: int | float, right: int | float) -> int | float:
    try:
        result: int | float = _OPERATORS[symbol](left, right)
    except ZeroDivisionError as error:
        raise Fault(f"{symbol} is a division by zero") from error
    except OverflowError as error:
        raise Excess(f"{symbol} makes a number that is out of range") from error
    if isinstance(result, float) and not math.isfinite(result):
        raise Excess(f"{symbol} makes a number that is out of range")
    return result
