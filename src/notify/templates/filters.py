"""The filters and tests of templates: Jinja's, without those that reach for more than values, and bounded.

Each pays for what it is given before it works (see `meter`), and a generator's items come as a list, so that nothing
is left to be done unpaid. Those whose result can be far larger than what they are given are written anew here.
Left out are `attr`, `batch`, `pprint`, `random`, `slice`, `striptags`, `urlize`, `wordwrap`, `xmlattr`, and the tests
`callable`, `filter` and `test`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, cast

from jinja2 import Environment, Undefined, pass_context, pass_environment, pass_eval_context
from jinja2.filters import FILTERS as JINJA
from jinja2.filters import do_indent, do_replace, do_round, make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.tests import TESTS as JINJA_TESTS
from markupsafe import Markup, escape

from notify.templates.faults import Excess, Fault
from notify.templates.meter import charge, fit, spend
from notify.templates.values import compute, kind_of, number, printed

Work = Callable[..., Any]

_TEXTS = "capitalize e escape forceescape lower trim truncate upper"
# What these do to each character is done in Python.
_SLOW_TEXTS = "title urlencode wordcount"
_LISTS = "dictsort groupby max min reject rejectattr select selectattr sort unique"
_PLAIN = "abs count d default filesizeformat first float int items last length list reverse"
_LEFT_OUT_TESTS = frozenset({"callable", "filter", "test"})
_MOST_WIDTH = 200
_MOST_DIGITS = 15
_SPEC = re.compile(r"%(?:\((\w*)\))?([-#0 +]*\d{0,3}(?:\.\d{0,3})?[diouxXeEfFgGs%])?", re.ASCII)


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


def _string(value: str) -> str:
    return value


def _safe(value: str) -> Markup:
    return Markup(value)  # noqa: S704  # the template's author says so


def _center(value: str, width: int = 80) -> str:
    return value.center(_bounded("center", width))


def _indent(value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    each = _bounded("indent", len(width) if isinstance(width, str) else width)
    fit(len(value) + each * (len(value.splitlines()) + 1))
    return do_indent(value, width, first, blank)


def _bounded(name: str, width: object) -> int:
    if not isinstance(width, int) or width > _MOST_WIDTH:
        raise Excess(f"gives `{name}` a width that is no number up to {_MOST_WIDTH}")
    return max(width, 0)


def _round(value: object, precision: object = 0, method: Any = "common") -> float:
    if not isinstance(precision, int) or abs(precision) > _MOST_DIGITS:
        raise Fault(f"`round` takes a precision of -{_MOST_DIGITS} to {_MOST_DIGITS}")
    return do_round(number(value), precision, method)


def _format(value: str, *args: object, **kwargs: object) -> str:
    """As `%` in Python, one place after the other, with widths of at most three digits."""
    given = list(reversed(args))
    marked = isinstance(value, Markup)
    pieces: list[str] = []
    end = 0
    for spec in _SPEC.finditer(value):
        piece = _formatted(spec, given, kwargs)
        pieces += [str(value[end : spec.start()]), str(escape(piece)) if marked else piece]
        end = spec.end()
    if given:
        raise Fault("`format` has more values than places for them")
    made = "".join([*pieces, str(value[end:])])
    return Markup(made) if marked else made  # noqa: S704  # what was filled in is escaped


def _formatted(spec: re.Match[str], args: list[object], kwargs: Mapping[str, object]) -> str:
    name, form = spec.groups()
    if form == "%":
        return "%"
    if form is None or form.endswith("%"):
        raise Fault("`format` knows %d, %f, %s and their like, with widths of up to three digits")
    if name is None and not args:
        raise Fault("`format` has fewer values than places for them")
    if name is not None and name not in kwargs:
        raise Fault(f"`format` is not given a value for {name}")
    value = args.pop() if name is None else kwargs[name]
    piece = f"%{form}" % (value if isinstance(value, int | float) else printed(value),)
    charge(piece)
    return piece


@pass_eval_context
def _join(context: EvalContext, value: Any, d: object = "", attribute: Any = None) -> str:
    items = value if attribute is None else map(make_attrgetter(context.environment, attribute), value)
    texts, between = [printed(item) for item in items], printed(d)
    fit(sum(map(len, texts)) + len(between) * len(texts))
    joined: str = JINJA["join"](context, texts, between)
    return joined


@pass_context
def _map(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
    if args and args[0] not in FILTERS:
        raise Fault(f"there is no filter named {args[0]!r}")
    return JINJA["map"](context, value, *args, **kwargs)


@pass_eval_context
def _replace(context: EvalContext, value: str, old: object, new: object, count: int | None = None) -> str:
    before, after = printed(old), printed(new)
    fit(len(value) + value.count(before) * len(after))
    return do_replace(context, value, before, after, count)


@pass_eval_context
def _tojson(context: EvalContext, value: object) -> str:
    made: str = JINJA["tojson"](context, value)
    return made


@pass_environment
def _sum(environment: Environment, value: Any, attribute: Any = None, start: object = 0) -> Any:
    total: Any = number(start)
    for item in value if attribute is None else map(make_attrgetter(environment, attribute), value):
        total = compute("+", total, number(item))
    return total


def _odd(value: object) -> bool:
    return number(value) % 2 == 1


def _even(value: object) -> bool:
    return number(value) % 2 == 0


def _divisible(value: object, by: object) -> bool:
    return number(value) % number(by) == 0


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
def _output(context: EvalContext, value: object) -> str:
    return escape(printed(value)) if context.autoescape else printed(value)


FILTERS: dict[str, Work] = {
    **{name: _charged(JINJA[name], text=True) for name in _TEXTS.split()},
    **{name: _charged(JINJA[name], text=True, slow=True) for name in _SLOW_TEXTS.split()},
    **{name: _charged(JINJA[name], listed=True) for name in _LISTS.split()},
    **{name: _charged(JINJA[name]) for name in _PLAIN.split()},
    "center": _charged(_center, text=True),
    "format": _charged(_format, text=True, slow=True),
    "indent": _charged(_indent, text=True, slow=True),
    "join": _charged(_join, listed=True),
    "map": _charged(_map, listed=True),
    "replace": _charged(_replace, text=True),
    "round": _charged(_round),
    "safe": _charged(_safe, text=True),
    "string": _charged(_string, text=True),
    "sum": _charged(_sum, listed=True),
    "tojson": _charged(_tojson),
}
TESTS: dict[str, Work] = {
    **{name: _charged(cast(Work, work)) for name, work in JINJA_TESTS.items() if name not in _LEFT_OUT_TESTS},
    "odd": _charged(_odd),
    "even": _charged(_even),
    "divisibleby": _charged(_divisible),
}
# What `language` puts around what a loop goes over, around what is compared or cut, around what `~` joins, and around
# what a block's filter makes. With spaces in their names, as no template can write those.
ROUNDS = "rounds of a loop"
WEIGHED = "weighed value"
PRINTED = "printed value"
OUTPUT = "output of a block"
INNER: dict[str, Work] = {ROUNDS: _rounds, WEIGHED: _weighed, PRINTED: printed, OUTPUT: _output}
