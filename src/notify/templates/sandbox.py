"""Where templates are compiled: a Jinja sandbox without globals, loaders and attributes of Python's objects.

Variables are JSON values. `a.b` is the entry b of the object a, and never a method, though Jinja would prefer one: so
`order.items` is what the application called items, and there is no way from a value to the code behind it. Of `loop`
what it tells of the round can be read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Any

import jinja2
import msgspec
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, meta, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from notify.templates.faults import Absent, Fault, shown
from notify.templates.filters import FILTERS, TESTS
from notify.templates.inner import INNER, output
from notify.templates.language import examine, priced
from notify.templates.meter import fit
from notify.templates.values import compute, kind_of, signed

_OF_LOOPS = frozenset(
    {"cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem"}
    | {"revindex", "revindex0"}
)
# What a template may be so odd as to raise in Jinja, or in Python, which compiles what Jinja makes of it.
_ODD = (TemplateError, SyntaxError, ValueError, AssertionError, OverflowError, RecursionError, MemoryError)
# Bytes, roughly: what is kept compiled.
_MOST_KEPT = 32_000_000
_BYTES_A_NODE = 500
_MOST_TOLD = 200


class Compiled(msgspec.Struct, frozen=True):
    """One part of a template, ready to be rendered; how many nodes it has, and which variables it uses."""

    template: jinja2.Template
    nodes: int
    variables: frozenset[str]


class _Unknown(StrictUndefined):
    """What is used though it is not there."""

    __slots__ = ()

    def __init__(self, hint: str | None = None, obj: Any = missing, name: Any = None, exc: Any = None) -> None:
        # What is in a value that is no name may be too much to be told.
        told = shown(name) if isinstance(name, str) else name if isinstance(name, int) else kind_of(name)
        variable = told if obj is missing and hint is None else None
        super().__init__(hint, obj, told, partial(Absent, variable=variable))  # type: ignore[arg-type]  # raised alike

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint is not None:
            return self._undefined_hint
        if self._undefined_obj is missing:
            return f"the variable `{self._undefined_name}` is missing"
        return f"there is no `{self._undefined_name}` in {kind_of(self._undefined_obj)}"


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    intercepted_unops = frozenset({"+", "-"})

    @staticmethod
    def concat(pieces: Sequence[str]) -> str:  # type: ignore[override]  # Jinja has a method of a text here
        """What a `set` or `filter` block makes, which is a text on the way like those of filters."""
        fit(sum(map(len, pieces)))
        return "".join(pieces)

    def __init__(self, *, html: bool) -> None:
        super().__init__(autoescape=html, undefined=_Unknown, finalize=_finalize, optimized=False, cache_size=0)
        self.globals.clear()
        self.filters = {**FILTERS, **INNER}
        self.tests = {**TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`."""
        if isinstance(obj, LoopContext) and attribute in _OF_LOOPS:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`."""
        if isinstance(obj, Undefined):
            return obj[argument]  # raises
        if isinstance(obj, dict) and isinstance(argument, str | int | float) and argument in obj:
            return obj[argument]
        if isinstance(obj, str | list | tuple) and isinstance(argument, int) and -len(obj) <= argument < len(obj):
            return obj[argument]
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`."""
        return compute(operator, left, right)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        """`operator arg`."""
        return signed(operator, arg)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """`obj(…)`, of `loop.cycle` alone. Named as Jinja names them, since templates may name arguments."""
        if getattr(__obj, "__func__", None) is not LoopContext.cycle:
            raise Fault("`loop.cycle` can be called inside of a loop only")
        return __context.call(__obj, *args, **kwargs)


@pass_context
def _finalize(context: Context, value: Any) -> str:
    """What is printed. That it takes a context keeps Jinja from evaluating constants while it compiles."""
    return output(context.eval_ctx, value)


_TEXT, _HTML = _Environment(html=False), _Environment(html=True)


def compiled(source: str, *, html: bool) -> Compiled:
    """One part of a template, compiled; `html`: values are escaped. Raises Fault for what cannot be one."""
    key = (source, html)
    if (kept := _KEPT.get(key)) is None:
        kept = _compile(source, _HTML if html else _TEXT)
        _KEPT.put(key, kept)
    return kept


def _compile(source: str, environment: _Environment) -> Compiled:
    try:
        tree = environment.parse(source)
        count = examine(tree)
        variables = meta.find_undeclared_variables(tree)
        return Compiled(environment.from_string(priced(tree, environment)), count, frozenset(variables))
    except _ODD as error:
        raise Fault(_told(error)) from error


def _told(error: Exception) -> str:
    if isinstance(error, TemplateSyntaxError):
        words = " ".join(map(shown, str(error.message).split(" ")))
        return f"{words[:_MOST_TOLD]} (line {error.lineno})"
    if isinstance(error, UnicodeError):
        return "must not contain lone surrogates"
    if isinstance(error, ValueError):
        return "has a number of too many digits"
    # Python knows how deep loops and branches can be in one another.
    if isinstance(error, RecursionError | MemoryError | SyntaxError):
        return "is nested too deeply"
    return "cannot be compiled: something stands in it where it cannot stand"


class _Kept:
    """The parts that were used last, as far as there is room: by bytes, since parts differ a thousandfold."""

    def __init__(self, most: int) -> None:
        self._room = most
        self._parts: OrderedDict[tuple[str, bool], Compiled] = OrderedDict()
        self._lock = Lock()  # rendering is done in threads

    def get(self, key: tuple[str, bool]) -> Compiled | None:
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
            return self._parts.get(key)

    def put(self, key: tuple[str, bool], part: Compiled) -> None:
        with self._lock:
            if key not in self._parts:
                self._room -= _size(key, part)
                self._parts[key] = part
            while self._room < 0:
                self._room += _size(*self._parts.popitem(last=False))


def _size(key: tuple[str, bool], part: Compiled) -> int:
    return 4 * len(key[0]) + _BYTES_A_NODE * part.nodes


_KEPT = _Kept(_MOST_KEPT)
