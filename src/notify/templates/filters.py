"""The filters and tests of templates: Jinja's, without those that reach for more than values, and bounded.

Each pays for what it is given before it works (see `meter`), and a generator's items come as a list, so that nothing
is left to be done unpaid. Those whose result can be far larger than what they are given are written anew in `works`.
Left out are `attr`, `batch`, `pprint`, `random`, `slice`, `striptags`, `urlize`, `wordwrap`, `xmlattr`, and the tests
`callable`, `filter` and `test`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from inspect import signature
from typing import Any, cast

from jinja2 import TemplateRuntimeError
from jinja2.filters import FILTERS as JINJA
from jinja2.runtime import Context
from jinja2.tests import TESTS as JINJA_TESTS

from notify.templates import works
from notify.templates.faults import Fault, shown
from notify.templates.meter import charge, fit, spend
from notify.templates.values import kind_of, number, printed

Work = Callable[..., Any]

_TEXTS = "capitalize e escape forceescape lower truncate upper"
# What these do to each character is done in Python.
_SLOW_TEXTS = "title urlencode wordcount"
_LISTS = "dictsort groupby list max min sort unique"
_PLAIN = "abs count d default filesizeformat first float int items last length reverse"
# They apply a filter or test, and where its name is among their arguments.
_APPLYING: Mapping[str, int] = {"map": 0, "reject": 0, "rejectattr": 1, "select": 0, "selectattr": 1}
# These ask whether something is missing, and nothing else may.
_ASKING = frozenset({"d", "default", "defined", "undefined"})
_ASKING_ONES = [(name,) for name in _ASKING]
# What cannot be done with these values, as Jinja and Python tell it: in words of their own.
_ODD = (TemplateRuntimeError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
_ALIKE = "; what is compared must be all numbers or all texts"
_HINTS: Mapping[str, str] = {
    **dict.fromkeys(["groupby", "max", "min", "sort"], _ALIKE),
    **dict.fromkeys(["<", "<=", ">", ">=", "ge", "gt", "greaterthan", "le", "lessthan", "lt"], _ALIKE),
    "dictsort": "; it is for objects, with keys or values that are all numbers or all texts",
    "items": "; it is for objects",
    "unique": "; it compares numbers and texts, or the `attribute` that is one",
    "truncate": "; it takes a length, which is at least that of what is put at the end",
}
_MOST_ARGUMENTS = 5
"""That are told."""
_LEFT_OUT_TESTS = frozenset({"callable", "filter", "test"})


def _charged(name: str, work: Work, *, text: bool = False, slow: bool = False, listed: bool = False) -> Work:
    """The filter or test, paying. `text`: it takes one; `slow`: each character costs a step; `listed`: each item does,
    and looking at all arguments or along the path that one of them is, once for each.

    What is missing is refused here, but by those that ask whether it is, and what Jinja and Python cannot do is told.
    """
    contexts = int(hasattr(work, "jinja_pass_arg"))

    @wraps(work)
    def charged(*args: Any, **kwargs: Any) -> Any:
        value, rest = args[contexts], args[contexts + 1 :]
        asked = name in _ASKING or (name in _APPLYING and rest[:1] in _ASKING_ONES)
        if text:
            value = printed(value)
        else:
            charge(value, absent=asked)
        times = len(value) if (slow or listed) and isinstance(value, str | list | tuple | dict) else 0
        spend(times)
        for given in (*rest, *kwargs.values()):
            charge(given, max(times if listed else 0, 1), absent=asked)
            if listed and isinstance(given, str):
                spend(times * (given.count(".") + given.count(",")))
        try:
            return _made(work(*args[:contexts], value, *rest, **kwargs))
        except _ODD as error:
            raise Fault(_misused(name, work, value, rest, kwargs)) from error

    return charged


def _made(result: Any) -> Any:
    """What a filter or test makes, so that nothing is left to be done, and paid for."""
    if isinstance(result, Iterator):
        result = list(result)
    if isinstance(result, list):
        spend(len(result))
    elif isinstance(result, str):
        fit(len(result))
    elif isinstance(result, int | float):
        number(result)  # no longer than one may count with
    return result


def _misused(name: str, work: Work, value: object, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """Why a filter or test could not work, as far as its arguments tell."""
    unknown = [] if name in _APPLYING else [key for key in kwargs if key not in signature(work).parameters]
    if unknown:
        return f"`{name}` takes no argument named `{shown(unknown[0])}`"
    given = [kind_of(each) for each in args] + [f"{kind_of(each)} as `{shown(key)}`" for key, each in kwargs.items()]
    arguments = f" with {', '.join(given[:_MOST_ARGUMENTS])}" if given else ""
    return f"`{name}` of {kind_of(value)}{arguments} is not supported{_HINTS.get(name, '')}"


def _applying(name: str, place: int) -> Work:
    """`map` and its like: they apply the filter or test that is named at this place among their arguments."""
    work = JINJA[name]

    @wraps(work)
    def applied(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        kind, known = ("filter", FILTERS) if name == "map" else ("test", TESTS)
        if len(args) > place and args[place] not in known:
            raise Fault(f"there is no {kind} named {shown(args[place])!r}")
        return work(context, value, *args, **kwargs)

    return applied


FILTERS: dict[str, Work] = {
    **{name: _charged(name, JINJA[name], text=True) for name in _TEXTS.split()},
    **{name: _charged(name, JINJA[name], text=True, slow=True) for name in _SLOW_TEXTS.split()},
    **{name: _charged(name, JINJA[name], listed=True) for name in _LISTS.split()},
    **{name: _charged(name, JINJA[name]) for name in _PLAIN.split()},
    **{name: _charged(name, _applying(name, place), listed=True) for name, place in _APPLYING.items()},
    "center": _charged("center", works.center, text=True),
    "format": _charged("format", works.filled, text=True, slow=True),
    "indent": _charged("indent", works.indent, text=True, slow=True),
    "join": _charged("join", works.join, listed=True),
    "replace": _charged("replace", works.replace, text=True),
    "round": _charged("round", works.rounded),
    "safe": _charged("safe", works.safe, text=True),
    "string": _charged("string", works.string, text=True),
    "sum": _charged("sum", works.total, listed=True),
    "tojson": _charged("tojson", works.tojson),
    "trim": _charged("trim", works.trim, text=True),
}
TESTS: dict[str, Work] = {
    **{name: _charged(name, cast(Work, work)) for name, work in JINJA_TESTS.items() if name not in _LEFT_OUT_TESTS},
    "odd": _charged("odd", works.odd),
    "even": _charged("even", works.even),
    "divisibleby": _charged("divisibleby", works.divisible),
}
