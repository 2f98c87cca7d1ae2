"""The filters whose result can be far larger than what they are given, or that reach for more than values: anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, pass_environment, pass_eval_context
from jinja2.filters import FILTERS as JINJA
from jinja2.filters import do_indent, do_round, make_attrgetter
from jinja2.nodes import EvalContext
from markupsafe import Markup, escape

from notify.templates.faults import Excess, Fault, shown
from notify.templates.meter import charge, fit
from notify.templates.values import compute, kind_of, number, printed

_MOST_WIDTH = 200
_MOST_DIGITS = 15
_MOST_TRIMMED = 64
# What JSON makes of a text can be twelve times as long, and is paid for only when it is there: so before, some of it.
_AS_JSON = 4
_SPEC = re.compile(r"%(?:\((\w*)\))?([-#0 +]*\d{0,3}(?:\.\d{0,3})?[diouxXeEfFgGs%])?", re.ASCII)


def string(value: str) -> str:
    """What it is given has been made a text."""
    return value


def safe(value: str) -> Markup:
    """A text that is HTML."""
    return Markup(value)  # noqa: S704  # the template's author says so


def trim(value: str, chars: object = None) -> str:
    """Without these characters at both ends, or without spaces."""
    if chars is None:
        return value.strip()
    # Each character of the text is looked for among these.
    if len(trimmed := printed(chars)) > _MOST_TRIMMED:
        raise Excess(f"gives `trim` more than {_MOST_TRIMMED} characters to take away")
    return value.strip(trimmed)


def center(value: str, width: int = 80) -> str:
    """In the middle of so many characters."""
    return value.center(_bounded("center", width))


def indent(value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Each line but the first after so many spaces, or after a text."""
    if isinstance(value, Markup) and isinstance(width, str):
        width = escape(width)  # it would be taken for HTML as it is
    each = _bounded("indent", len(width) if isinstance(width, str) else width)
    fit(len(value) + each * (len(value.splitlines()) + 1))
    return do_indent(value, width, first, blank)


def _bounded(name: str, width: object) -> int:
    if not isinstance(width, int) or width > _MOST_WIDTH:
        raise Excess(f"gives `{name}` a width that is no number up to {_MOST_WIDTH}")
    return max(width, 0)


def rounded(value: object, precision: object = 0, method: Any = "common") -> float:
    """To so many digits."""
    if not isinstance(precision, int) or abs(precision) > _MOST_DIGITS:
        raise Fault(f"`round` takes a precision of -{_MOST_DIGITS} to {_MOST_DIGITS}")
    return do_round(number(value), precision, method)


def filled(value: str, *args: object, **kwargs: object) -> str:
    """As `%` in Python, one place after the other, with widths of at most three digits."""
    given = list(reversed(args))
    marked = isinstance(value, Markup)
    pieces: list[str] = []
    end = 0
    for spec in _SPEC.finditer(value):
        piece = _piece(spec, given, kwargs)
        pieces += [str(value[end : spec.start()]), str(escape(piece)) if marked else piece]
        end = spec.end()
    if given:
        raise Fault("`format` has more values than places for them")
    made = "".join([*pieces, str(value[end:])])
    return Markup(made) if marked else made  # noqa: S704  # what was filled in is escaped


def _piece(spec: re.Match[str], args: list[object], kwargs: Mapping[str, object]) -> str:
    name, form = spec.groups()
    if form == "%":
        return "%"
    if form is None or form.endswith("%"):
        raise Fault("`format` knows %d, %f, %s and their like, with widths of up to three digits")
    if name is None and not args:
        raise Fault("`format` has fewer values than places for them")
    if name is not None and name not in kwargs:
        raise Fault(f"`format` is not given a value for {shown(name)}")
    value = args.pop() if name is None else kwargs[name]
    if not form.endswith("s") and not isinstance(value, int | float):
        raise Fault(f"`format` fills %{form} in with a number, not with {kind_of(value)}")
    piece = f"%{form}" % (number(value) if isinstance(value, int | float) else printed(value),)
    charge(piece)
    return piece


@pass_eval_context
def join(context: EvalContext, value: Any, d: object = "", attribute: Any = None) -> str:
    """All items as one text."""
    items = value if attribute is None else map(make_attrgetter(context.environment, attribute), value)
    texts, between = [printed(item) for item in items], printed(d)
    fit(sum(map(len, texts)) + len(between) * len(texts))
    joined: str = JINJA["join"](context, texts, between)
    return joined


@pass_eval_context
def replace(context: EvalContext, value: str, old: object, new: object, count: int | None = None) -> str:
    """One text instead of another. Where one of the three is HTML, the others are escaped first: so it is known what
    will be replaced by how much."""
    before, after = printed(old), printed(new)
    if not context.autoescape:
        value, before, after = str(value), str(before), str(after)
    elif any(isinstance(text, Markup) for text in (value, before, after)):
        value, after = escape(value), escape(after)
    fit(len(value) + value.count(before) * len(after))
    return value.replace(before, after, -1 if count is None else count)


@pass_eval_context
def tojson(context: EvalContext, value: object) -> str:
    """The value as JSON: in HTML it is escaped like all else, for Jinja's would end an attribute in double quotes. With
    `safe` after it, it can stand in a script: what is special in HTML is written as JSON can."""
    charge(value, _AS_JSON)
    return str(JINJA["tojson"](context, value))


@pass_environment
def total(environment: Environment, value: Any, attribute: Any = None, start: object = 0) -> Any:
    """The sum of all items."""
    found: Any = number(start)
    for item in value if attribute is None else map(make_attrgetter(environment, attribute), value):
        found = compute("+", found, number(item))
    return found


def odd(value: object) -> bool:
    """Whether a number is odd."""
    return number(value) % 2 == 1


def even(value: object) -> bool:
    """Whether a number is even."""
    return number(value) % 2 == 0


def divisible(value: object, by: object) -> bool:
    """Whether one number divides the other."""
    return number(value) % number(by) == 0
