"""From bytes, query strings and paths to structs and values. What does not fit is refused, as `refusals` words it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from notify.errors import BodyTooLarge, InvalidValue
from notify.http.problems import UnsupportedMediaType
from notify.http.refusals import MOST_DEPTH, deep_field, refuse, refuse_encoding, refuse_unstorable, shown, too_deep
from notify.http.routes import Doc, HttpRequest
from notify.http.services import services

T = TypeVar("T")
P = ParamSpec("P")

MOST_ID = 2**63 - 1
# From so many bytes on a body is worked on in a thread.
LARGE_BYTES = 65_536
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_INTEGERS = frozenset({"limit", "after", "version", "batch_id", "notification_id"})
_JSON_TYPE = re.compile(r"application/([a-z0-9.+-]+\+)?json", re.IGNORECASE)


async def read_body(request: HttpRequest, kind: type[T], *, required: bool = True) -> T:
    """The JSON body as a struct; without one, and not `required`, the struct's defaults.

    Raises InvalidValue, LimitExceeded, BodyTooLarge or UnsupportedMediaType.
    """
    body = await read_bytes(request)
    if not body and not required:
        return kind()
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if not _JSON_TYPE.fullmatch(content_type):
        raise UnsupportedMediaType("the body should be JSON: send Content-Type: application/json")
    return await offload(len(body) > LARGE_BYTES, decode, body, kind)


async def read_bytes(request: HttpRequest) -> bytes:
    """The body as it came. Raises BodyTooLarge, naming the limit, before it is all here."""
    doc: Doc = request.route_handler.opt["doc"]
    setting = services(request).settings.max_body_bytes
    most = setting if doc.most_bytes is None else min(setting, doc.most_bytes)
    try:
        body = await request.body()
    except RequestEntityTooLarge as error:
        raise _too_large(most, most == setting) from error
    if len(body) > most:  # only where the setting is below what the route would take
        raise _too_large(most, True)
    return body


def _too_large(most: int, by_setting: bool) -> BodyTooLarge:
    name = ", as NOTIFY_MAX_BODY_BYTES says" if by_setting else ""
    return BodyTooLarge(f"the body may have {most} bytes here{name}")


async def offload(large: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do the work: if it is large in a thread, so that the loop goes on serving websockets meanwhile."""
    return await asyncio.to_thread(work, *args, **kwargs) if large else work(*args, **kwargs)


def decode(body: bytes, kind: type[T]) -> T:
    """A JSON text as a struct. NUL characters and lone surrogates are refused, as Postgres stores neither."""
    refuse_unstorable(body)
    try:
        decoded: T = _decoder(kind).decode(body)  # type: ignore[arg-type]  # a type is hashable
    except msgspec.ValidationError as error:
        refuse(str(error), kind)
    except RecursionError as error:
        raise too_deep(deep_field(body)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        refuse_encoding(body)
        raise InvalidValue("the body is not JSON in UTF-8") from error
    return decoded


def read_query(request: HttpRequest, kind: type[T]) -> T:
    """The query string as a struct; a parameter that is unknown or given twice is refused."""
    text = request.scope["query_string"].decode("latin-1")
    values: dict[str, Any] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise InvalidValue("the query string is not percent-encoded UTF-8") from error
    for name, value in pairs:
        if name in values:
            raise InvalidValue(f"{shown(name)} is given twice", field=name)
        if "\x00" in value:
            raise InvalidValue(f"{shown(name)} must not contain NUL characters", field=name)
        values[name] = _integer(name, value) if name in _INTEGERS else value
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        refuse(str(error), kind)


def path_id(request: HttpRequest) -> int:
    """The id in the path. Raises InvalidValue for what can be none."""
    text = request.path_params["id"]
    if not _INTEGER.fullmatch(text) or not 1 <= int(text) <= MOST_ID:
        raise InvalidValue(f"id must be an integer from 1 to {MOST_ID}", field="id")
    return int(text)


def path_text(request: HttpRequest, name: str = "id") -> str:
    """A text in the path. It is still percent-encoded there, so that it may contain a slash."""
    try:
        return unquote(request.path_params[name], errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{name} is not percent-encoded UTF-8", field=name) from error


def as_utc(field: str, value: datetime) -> datetime:
    """The time in UTC. Raises InvalidValue at the ends of the calendar, where that is in no year 1 to 9999."""
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidValue(f"{field} is out of range", field=field) from error


def read_time(field: str, text: str) -> datetime:
    """An RFC 3339 time with an offset, as a query string has it."""
    try:
        value = msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"{field} must be a time such as 2030-12-28T10:00:00Z", field=field) from error
    if value.utcoffset() is None:
        raise InvalidValue(f"{field} must carry an offset, as 2030-12-28T10:00:00Z", field=field)
    return as_utc(field, value)


def check_depth(field: str, value: Any) -> None:
    """Raise LimitExceeded for a JSON value nested deeper than MOST_DEPTH levels."""
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise too_deep(field)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise InvalidValue(f"{name} must be an integer", field=name)
    return int(text)


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)
