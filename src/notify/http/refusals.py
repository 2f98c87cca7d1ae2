"""What is wrong with an input, in words: each refusal names the field and the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from notify.errors import InvalidValue, LimitExceeded

MOST_DEPTH = 64
_AT = re.compile(r" - at `(?:key in )?\$\.?(.*)`$", re.DOTALL)
_LENGTH = re.compile(r"Expected `(str|array|object)` of length (<=|>=) (\d+)")
_NAMED = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:|"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def refuse(message: str, kind: type[Any]) -> NoReturn:
    """Raise what a validation message of msgspec says, in words of our own."""
    at = _AT.search(message)
    field = at[1] if at else ""
    message = message[: at.start()] if at else message
    if named := _NAMED.match(message):
        field = f"{field}.{named[2]}".lstrip(".")
        reason = "is not known here" if "unknown" in named[1] else "must be given"
        raise InvalidValue(f"{shown(field)} {reason}", field=field)
    subject = shown(field) if field else "the body"
    if length := _LENGTH.match(message):
        raise _length(subject, field, length)
    raise InvalidValue(f"{subject}: {_reason(message, field, kind)}", field=field or None)


def _length(subject: str, field: str, match: re.Match[str]) -> InvalidValue:
    unit = "characters" if match[1] == "str" else "entries"
    if match[2] == "<=":
        return LimitExceeded(f"{subject} has more than {match[3]} {unit}", field=field)
    if match[3] == "1":
        return InvalidValue(f"{subject} must not be empty", field=field)
    return InvalidValue(f"{subject} has fewer than {match[3]} {unit}", field=field)


def _reason(message: str, field: str, kind: type[Any]) -> str:
    if "timezone component" in message:
        return "must carry an offset, as 2030-12-28T10:00:00Z"
    if "RFC3339" in message:
        return "must be a time such as 2030-12-28T10:00:00Z"
    if message.startswith("Invalid enum value"):
        return "must be one of " + ", ".join(_allowed(kind, field))
    return message[:1].lower() + message[1:].replace("`", "")


def _allowed(kind: type[Any], field: str) -> list[str]:
    """The literals that a field of the struct may be."""
    pending = [get_type_hints(kind).get(field)]
    found: list[str] = []
    while pending:
        hint = pending.pop()
        if get_origin(hint) is Literal:
            found += get_args(hint)
        else:
            pending += get_args(hint)
    return found


def refuse_unstorable(body: bytes) -> None:
    """Raise for the first text in a JSON body that Postgres cannot store."""
    try:
        value = json.loads(body.decode("utf-8", "surrogateescape"))
    except RecursionError as error:
        raise too_deep(deep_field(body)) from error
    except ValueError:
        return
    for path, text in _texts(value):
        if "\x00" in text:
            raise InvalidValue(f"{shown(path)} must not contain NUL characters", field=path)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidValue(f"{shown(path)} must be UTF-8 without lone surrogates", field=path)


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Each text of a JSON value with its path; a key counts to the object that it is in."""
    pending = [("", value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, str):
            yield path, item
        elif isinstance(item, dict):
            yield path, "".join(item)
            pending += [(f"{path}.{key}".lstrip("."), child) for key, child in item.items()]
        elif isinstance(item, list):
            pending += [(f"{path}[{index}]", child) for index, child in enumerate(item)]


def too_deep(field: str) -> LimitExceeded:
    """The refusal of a JSON value that is nested too deeply."""
    return LimitExceeded(f"{shown(field)} is nested deeper than {MOST_DEPTH} levels", field=field or None)


def deep_field(body: bytes) -> str:
    """The field of the body's object in which the nesting gets too deep."""
    depth, field = 0, b""
    for token in _TOKENS.finditer(body):
        if token[0] in b"[{":
            depth += 1
        elif token[0] in b"]}":
            depth -= 1
        elif depth == 1 and token[0].endswith(b":"):
            field = token[0].rstrip(b": \t\r\n").strip(b'"')
        if depth > MOST_DEPTH:
            break
    return field.decode("utf-8", "replace")


def shown(field: str) -> str:
    """A field's name as it may stand in a text: callers may name fields as they like."""
    return field[:100].encode("utf-8", "replace").decode() or "the body"
