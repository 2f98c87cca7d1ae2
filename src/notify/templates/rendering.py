"""Templates as a whole: checked, asked for their variables, rendered in every locale.

What is wrong is told with its place: InvalidValue, or LimitExceeded where there is a limit, with the field
`locales.de.html`, or `variables.name` for a variable that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from jinja2 import TemplateError

from notify.errors import InvalidValue, LimitExceeded
from notify.templates.contents import Contents, Template, Texts, plain
from notify.templates.faults import Absent, Excess, Fault
from notify.templates.meter import metered, spend
from notify.templates.sandbox import Compiled, compiled

Part = Literal["title", "message", "html"]

MOST_LOCALES = 20
MOST_SOURCE_BYTES = 65_536
"""Of one part."""
MOST_TEMPLATE_BYTES = 1_048_576
"""Of all sources of a template, and of all that they are rendered to."""
MOST_NODES = 20_000
"""Of all parts together: names, values and operations."""
MOST_TITLE_CHARS = 200
MOST_MESSAGE_BYTES = 16_384
MOST_HTML_BYTES = 65_536
NAME = r"[a-z][a-z0-9_.-]{0,63}"

_PARTS: tuple[Part, ...] = ("title", "message", "html")
# Characters are counted while it is rendered, and in the end bytes.
_MOST: Mapping[Part, int] = {"title": MOST_TITLE_CHARS, "message": MOST_MESSAGE_BYTES, "html": MOST_HTML_BYTES}
_NAME = re.compile(NAME)
_TAG = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,4}")
_MOST_TOLD = 200
# What templates make Jinja and Python raise: wrong types and values, a division by zero, and so on.
_ODD = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def check_name(name: str, field: str = "name") -> str:
    """The name, if it can be a template's. Raises InvalidValue."""
    if not _NAME.fullmatch(name):
        raise InvalidValue(
            f"{field} must have up to 64 characters of a-z, 0-9, _, . and -, and begin with a letter", field=field
        )
    return name


def check_locale(tag: str, field: str) -> str:
    """The tag, if it can be a locale. Raises InvalidValue."""
    if not _TAG.fullmatch(tag):
        raise InvalidValue(f"{field} must be a language tag such as de or pt-BR", field=field)
    return tag


def check(template: Template) -> None:
    """Refuse what can never be rendered: bad syntax, unknown filters and tests, what is forbidden or too large."""
    if template.name:
        check_name(template.name)
    _check_locales(template)
    size = 0
    for tag, part, source in _sources(template):
        with _told(template, tag, part):
            if not source:
                raise Fault("must not be empty")
            if (length := len(source.encode())) > MOST_SOURCE_BYTES:
                raise Excess(f"has more than {MOST_SOURCE_BYTES} bytes")
            size += length
    if size > MOST_TEMPLATE_BYTES:
        raise LimitExceeded(f"locales has more than {MOST_TEMPLATE_BYTES} bytes", field="locales")
    _compiled(template)


def variables_of(template: Template) -> set[str]:
    """The variables that any part uses; those with a default, or in a branch that is not taken, need not be given."""
    return set().union(*(part.variables for part in _compiled(template).values()))


def render(template: Template, variables: Mapping[str, Any]) -> Contents:
    """Every locale with these variables, which are JSON values. Takes a second at most: not for the event loop.

    A bad template, a variable that is missing and is used, and a text that is too long or empty, are refused whichever
    locale they are in.
    """
    parts = _compiled(template)
    made: dict[str, dict[Part, str]] = {tag: {} for tag in template.locales}
    with metered():
        for (tag, part), compiled in parts.items():
            with _told(template, tag, part):
                made[tag][part] = _rendered(compiled, variables, part)
    if sum(len(text.encode()) for texts in made.values() for text in texts.values()) > MOST_TEMPLATE_BYTES:
        raise LimitExceeded(f"all locales together have more than {MOST_TEMPLATE_BYTES} bytes", field="locales")
    return Contents(template.default_locale, {tag: Texts(**texts) for tag, texts in made.items()})


def _check_locales(template: Template) -> None:
    tags = template.locales
    if not tags:
        raise InvalidValue("locales must not be empty", field="locales")
    if len(tags) > MOST_LOCALES:
        raise LimitExceeded(f"locales has more than {MOST_LOCALES} entries", field="locales")
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise InvalidValue("the keys of locales must be language tags such as de or pt-BR", field="locales")
    if len({plain(tag) for tag in tags}) < len(tags):
        raise InvalidValue("two of locales are the same language tag", field="locales")
    if template.default_locale not in tags:
        raise InvalidValue("default_locale must be one of locales", field="default_locale")


def _sources(template: Template) -> Iterator[tuple[str, Part, str]]:
    for tag, texts in template.locales.items():
        for part in _PARTS:
            source: str | None = getattr(texts, part)
            if source is not None:
                yield tag, part, source


def _compiled(template: Template) -> dict[tuple[str, Part], Compiled]:
    parts: dict[tuple[str, Part], Compiled] = {}
    count = 0
    for tag, part, source in _sources(template):
        with _told(template, tag, part):
            parts[tag, part] = compiled(source, html=part == "html")
            count += parts[tag, part].nodes
            if count > MOST_NODES:
                raise Excess(f"together with those before it has more than {MOST_NODES} names, values and operations")
    return parts


def _rendered(compiled: Compiled, variables: Mapping[str, Any], part: Part) -> str:
    spend(compiled.nodes)
    pieces: list[str] = []
    left = _MOST[part]
    for piece in compiled.template.generate(variables):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise _too_long(part)
    text = "".join(pieces)
    _check_text(text, part)
    return text


def _check_text(text: str, part: Part) -> None:
    if not text:
        raise Fault("is empty when it is rendered")
    if "\x00" in text:
        raise Fault("must not contain NUL characters")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Fault("must not contain lone surrogates") from error
    if part != "title" and size > _MOST[part]:
        raise _too_long(part)
    if part == "title" and text.splitlines() != [text]:
        raise Fault("must be a single line when it is rendered")


def _too_long(part: Part) -> Excess:
    return Excess(f"has more than {_MOST[part]} {'characters' if part == 'title' else 'bytes'} when it is rendered")


@contextmanager
def _told(template: Template, tag: str, part: Part) -> Iterator[None]:
    """Tell of a fault where it is."""
    field = f"locales.{tag}.{part}"
    where = f"{field} of template {template.name}" if template.name else field
    try:
        yield
    except Absent as error:
        name = f"variables.{error.variable}" if error.variable else "variables"
        raise InvalidValue(f"{where}: {error}", field=name) from error
    except Excess as error:
        raise LimitExceeded(f"{where}: {error}", field=field) from error
    except Fault as error:
        raise InvalidValue(f"{where}: {error}", field=field) from error
    except RecursionError as error:
        raise LimitExceeded(f"{where}: is nested too deeply", field=field) from error
    except UnicodeError as error:
        raise InvalidValue(f"{where}: must not contain lone surrogates", field=field) from error
    except TemplateError as error:
        raise InvalidValue(f"{where}: {str(error)[:_MOST_TOLD]}", field=field) from error
    except _ODD as error:
        # What can be told of has been told as a Fault; the words of Python would tell of its own insides.
        raise InvalidValue(f"{where}: has values that do not fit what is done with them", field=field) from error
