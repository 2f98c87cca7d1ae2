"""The filters and tests of templates: Jinja's, without those that reach for more than values, and bounded.

Each pays for what it is given before it works (see `meter`), and a generator's items come as a list, so that nothing
is left to be done unpaid. Those whose result can be far larger than what they are given are written anew in `works`.
Left out are `attr`, `batch`, `pprint`, `random`, `slice`, `striptags`, `urlize`, `wordwrap`, `xmlattr`, and the tests
`callable`, `filter` and `test`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, cast

from jinja2 import Undefined, pass_context, pass_eval_context
from jinja2.filters import FILTERS as JINJA
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.tests import TESTS as JINJA_TESTS
from markupsafe import escape

from notify.templates import works
from notify.templates.faults import Fault
from notify.templates.meter import charge, fit, spend
from notify.templates.values import kind_of, printed

Work = Callable[..., Any]

_TEXTS = "capitalize e escape forceescape lower truncate upper"
# What these do to each character is done in Python.
_SLOW_TEXTS = "title urlencode wordcount"
_LISTS = "dictsort groupby max min reject rejectattr select selectattr sort unique"
_PLAIN = "abs count d default filesizeformat first float int items last length list reverse"
_LEFT_OUT_TESTS = frozenset({"callable", "filter", "test"})


def _charged(work: Work, *, text: bool = False, slow: bool = False, listed: bool = False) -> Work:
    """The filter or test, paying. `text`: it takes one; `slow`: each character costs a step; `listed`: each item does,
    and looking at all arguments or along the path that one of them is, once for each."""
    contexts = int(hasattr(work, "jinja_pass_arg"))

    @wraps(work)
    def charged(*args: Any, **kwargs: Any) -> Any:
        value, rest = args[contexts], args[contexts + 1 :]
        if text:
            value = printed(value)
        else:
            charge(value)
        times = len(value) if (slow or listed) and isinstance(value, str | list | tuple | dict) else 0
        spend(times)
        for given in (*rest, *kwargs.values()):
            charge(given, max(times if listed else 0, 1))
            if listed and isinstance(given, str):
                spend(times * (given.count(".") + given.count(",")))
        result = work(*args[:contexts], value, *rest, **kwargs)
        if isinstance(result, Iterator):
            return list(result)
        if isinstance(result, str):
            fit(len(result))
        return result

    return charged


@pass_context
def _map(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
    if args and args[0] not in FILTERS:
        raise Fault(f"there is no filter named {args[0]!r}")
    return JINJA["map"](context, value, *args, **kwargs)


class _Rounds:
    """What a loop goes over; each round pays."""

    def __init__(self, items: list[Any], steps: int) -> None:
        self._items = items
        self._steps = steps

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            spend(self._steps)
            yield item


def _rounds(value: Any, steps: int) -> _Rounds:
    if isinstance(value, Undefined):
        str(value)  # raises Absent
    if not isinstance(value, str | dict | list | tuple):
        raise Fault(f"{kind_of(value)} cannot be looped over")
    spend(len(value))
    return _Rounds(list(value), steps)


def _weighed(value: Any) -> Any:
    charge(value)
    return value


@pass_eval_context
def output(context: EvalContext, value: object) -> str:
    """What is printed, escaped in HTML. Escaping can make five characters of one, and pays for them."""
    if not context.autoescape:
        return printed(value)
    escaped = escape(printed(value))
    fit(len(escaped))
    return escaped


FILTERS: dict[str, Work] = {
    **{name: _charged(JINJA[name], text=True) for name in _TEXTS.split()},
    **{name: _charged(JINJA[name], text=True, slow=True) for name in _SLOW_TEXTS.split()},
    **{name: _charged(JINJA[name], listed=True) for name in _LISTS.split()},
    **{name: _charged(JINJA[name]) for name in _PLAIN.split()},
    "center": _charged(works.center, text=True),
    "format": _charged(works.filled, text=True, slow=True),
    "indent": _charged(works.indent, text=True, slow=True),
    "join": _charged(works.join, listed=True),
    "map": _charged(_map, listed=True),
    "replace": _charged(works.replace, text=True),
    "round": _charged(works.rounded),
    "safe": _charged(works.safe, text=True),
    "string": _charged(works.string, text=True),
    "sum": _charged(works.total, listed=True),
    "tojson": _charged(works.tojson),
    "trim": _charged(works.trim, text=True),
}
TESTS: dict[str, Work] = {
    **{name: _charged(cast(Work, work)) for name, work in JINJA_TESTS.items() if name not in _LEFT_OUT_TESTS},
    "odd": _charged(works.odd),
    "even": _charged(works.even),
    "divisibleby": _charged(works.divisible),
}
# What `language` puts around what a loop goes over, around what is compared or cut, around what `~` joins, and around
# what a block's filter makes. With spaces in their names, as no template can write those.
ROUNDS = "rounds of a loop"
WEIGHED = "weighed value"
PRINTED = "printed value"
OUTPUT = "output of a block"
INNER: dict[str, Work] = {ROUNDS: _rounds, WEIGHED: _weighed, PRINTED: printed, OUTPUT: output}
