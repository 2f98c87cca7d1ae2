"""What is wrong with an input, in words: each refusal names the field and the reason."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

import msgspec

from notify.errors import InvalidValue, LimitExceeded

MOST_DEPTH = 64
ERROR_CODE = "[a-z0-9-]{1,64}"
_AT = re.compile(r" - at `(?:key in )?\$\.?(.*)`$", re.DOTALL)
_LENGTH = re.compile(r"Expected `(str|array|object)` of length (<=|>=) (\d+)")
_NAMED = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)
# Possessive throughout: what is matched is never tried again, so nothing has to be remembered for it.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},:]', re.DOTALL)
# Up to the first escape of a NUL, or of a surrogate that is not one of a pair.
_STORABLE = re.compile(
    rb"(?:[^\\]++|\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?!u0000|u[dD][89a-fA-F]).))*+",
    re.DOTALL,
)
# Requests have five levels at most above their free objects.
_MOST_PATH = MOST_DEPTH + 5
_MOST_LOOKED = 1_000_000


def refuse(message: str, kind: type[Any]) -> NoReturn:
    """Raise what a validation message of msgspec says, in words of our own."""
    at = _AT.search(message)
    field = at[1] if at else ""
    message = message[: at.start()] if at else message
    if named := _NAMED.match(message):
        field = f"{field}.{named[2]}".lstrip(".")
        reason = _unknown(kind, at[1] if at else "") if "unknown" in named[1] else "must be given"
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
    if "matching regex" in message:
        return _form(message, field)
    if message.startswith("Expected `str | object`"):
        return "must be a text or an object"
    return message[:1].lower() + message[1:].replace("`", "")


def _form(message: str, field: str) -> str:
    if field.endswith("email"):
        return "must be an email address"
    if ERROR_CODE in message:
        return "must be an error code such as http-404, or http-4xx for all of them: lower case, digits and hyphens"
    return f"must have the form {message.partition('regex ')[2]}"


def _unknown(kind: type[Any], path: str) -> str:
    info = _type_info(kind)  # type: ignore[arg-type]  # a type is hashable
    known = _fields(info, [part for part in re.split(r"\.|(?=\[)", path) if part])
    return "is not known here" + (f"; known are {', '.join(known)}" if known else "")


@cache
def _type_info(kind: type[Any]) -> msgspec.inspect.Type:
    return msgspec.inspect.type_info(kind)


def _fields(node: Any, path: list[str]) -> list[str]:
    """What an object in a request may have, by its path, as `recipients` and `[0]`; nothing where that is free."""
    if isinstance(node, msgspec.inspect.Metadata):
        return _fields(node.type, path)
    if isinstance(node, msgspec.inspect.UnionType):
        return next((found for one in node.types if (found := _fields(one, path))), [])
    if isinstance(node, msgspec.inspect.ListType):
        return _fields(node.item_type, path[1:]) if path else []
    if isinstance(node, msgspec.inspect.DictType):
        return _fields(node.value_type, path[1:]) if path else []
    if not isinstance(node, msgspec.inspect.StructType):
        return []
    if not path:
        return [field.encode_name for field in node.fields]
    return next((_fields(field.type, path[1:]) for field in node.fields if field.encode_name == path[0]), [])


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
    """Raise for the first text in a JSON body that Postgres cannot store: with a NUL or a lone surrogate.

    A pattern finds it, in time linear in the body and without memory of its own; only then is its field looked for.
    """
    if b"\\u" not in body:
        return
    storable = _STORABLE.match(body)
    assert storable is not None
    if storable.end() == len(body) or body[storable.end() + 1 : storable.end() + 2] != b"u":
        return
    field = field_of(body, storable.end())
    if body.startswith(b"\\u0000", storable.end()):
        raise InvalidValue(f"{shown(field)} must not contain NUL characters", field=field or None)
    raise InvalidValue(f"{shown(field)} must be UTF-8 without lone surrogates", field=field or None)


def refuse_encoding(body: bytes) -> None:
    """Raise for the first byte of a JSON body that is not UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        field = field_of(body, error.start)
        message = f"{shown(field)} must be UTF-8 without lone surrogates"
        raise InvalidValue(message, field=field or None) from error


def field_of(body: bytes, at: int) -> str:
    """As `field_at`; none far behind in a large body, where looking for it would take seconds."""
    return field_at(body, at) if at < _MOST_LOOKED else ""


def field_at(body: bytes, at: int) -> str:
    """Where a byte of a JSON text lies, as `data.a[0]`; a key counts to the object that it is in.

    Of what is nested deeper than any request may be, the path stops there: it needs no memory for each level.
    """
    path: list[bytes | int | None] = []  # of each open array the index; of each open object the key, None at first
    depth, last = 0, b""
    for token in _TOKENS.finditer(body):
        if token.end() > at:
            break
        mark = token[0]
        if mark in b"[{":
            depth += 1
            if depth <= _MOST_PATH:
                path.append(0 if mark == b"[" else None)
        elif mark in b"]}":
            if depth == len(path) and path:
                path.pop()
            depth = max(depth - 1, 0)
        elif depth == len(path) and path:
            path[-1] = _moved(path[-1], mark, last)
        last = mark
    return "".join(_step(place) for place in path if place is not None).lstrip(".")


def _moved(place: bytes | int | None, mark: bytes, last: bytes) -> bytes | int | None:
    """The place in an array or object after a token: `last` is the token before it."""
    if mark == b",":
        return place + 1 if isinstance(place, int) else None
    if mark == b":" and not isinstance(place, int):
        return last
    return place


def _step(place: bytes | int) -> str:
    if isinstance(place, int):
        return f"[{place}]"
    try:
        key = json.loads(place.decode("utf-8", "surrogateescape"))
    except ValueError:
        key = place.decode("utf-8", "replace").strip('"')
    return f".{key}"


def too_deep(field: str) -> LimitExceeded:
    """The refusal of a JSON value that is nested too deeply."""
    return LimitExceeded(f"{shown(field)} is nested deeper than {MOST_DEPTH} levels", field=field or None)


def deep_field(body: bytes) -> str:
    """The field of the body's object in which the nesting gets too deep."""
    depth, field, last = 0, b"", b""
    for token in _TOKENS.finditer(body):
        mark = token[0]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        elif depth == 1 and mark == b":":
            field = last
        if depth > MOST_DEPTH:
            break
        last = mark
    return field.strip(b'"').decode("utf-8", "replace")


def shown(field: str) -> str:
    """A field's name as it may stand in a text: callers may name fields as they like."""
    return field[:100].encode("utf-8", "replace").decode() or "the body"
