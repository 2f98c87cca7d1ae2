"""What a websocket asks for when it opens, read from its URL and headers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from notify.errors import Forbidden, InvalidValue, Unauthenticated
from notify.gateway import cursor
from notify.gateway.cursor import Cursor

SUBPROTOCOL = "notify.v1"

_SCHEMES = ("bearer", "token")
_IN_SUBPROTOCOL = "bearer."
_PARAMETERS = frozenset({"since", "recipient"})
_CREDENTIALS = frozenset({"token", "access_token", "api_key", "apikey", "key", "auth", "authorization", "bearer"})


class Query(msgspec.Struct, frozen=True):
    """Whose stream (None: the token's), and from where."""

    recipient: str | None
    cursor: Cursor


def query(scope: Any) -> Query:
    """Read the URL's query. Raises InvalidValue for what is malformed, unknown, or a credential."""
    try:
        text = scope["query_string"].decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=10)
    except ValueError as error:
        raise InvalidValue("the query of the URL cannot be read") from error
    names = [name for name, _ in pairs]
    if any(name.lower() in _CREDENTIALS for name in names):
        raise InvalidValue(
            "credentials are never taken from the URL, where logs would keep them: use the header Authorization, "
            "the subprotocol bearer.TOKEN or a first message of type auth"
        )
    if len(set(names)) < len(names) or not _PARAMETERS.issuperset(names):
        raise InvalidValue("the URL may have the parameters since and recipient, each once")
    given = dict(pairs)
    return Query(given.get("recipient"), cursor.parse(given.get("since")))


def subprotocol(scope: Any) -> str | None:
    """The subprotocol to answer; never the one that carries a token."""
    return SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None


def credential(scope: Any) -> str | None:
    """The credential of the header, else of the subprotocol, else None. Raises Unauthenticated for a bad header."""
    header = _header(scope["headers"], b"authorization")
    if header is not None:
        scheme, _, value = header.strip().partition(" ")
        if scheme.lower() not in _SCHEMES or not value.strip():
            raise Unauthenticated("the header Authorization should read: Bearer TOKEN")
        return value.strip()
    offered = (name for name in scope["subprotocols"] if name.startswith(_IN_SUBPROTOCOL))
    return next((name.removeprefix(_IN_SUBPROTOCOL) for name in offered), None)


def check_origin(scope: Any, allowed: str) -> None:
    """Let in who is no browser, and pages of this host or of the allowlist. Raises Forbidden for other pages."""
    origin = _header(scope["headers"], b"origin")
    if origin is None or origin.lower() in _origins(allowed):
        return
    host = _header(scope["headers"], b"host")
    if host is None or _host_of(origin) != host.lower():
        raise Forbidden("pages of this origin may not connect; NOTIFY_ALLOWED_ORIGINS lists those that may")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # it is no URL
        return None


def _origins(allowed: str) -> frozenset[str]:
    return frozenset(item.strip().rstrip("/").lower() for item in allowed.split(",") if item.strip())


def _header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == wanted), None)
