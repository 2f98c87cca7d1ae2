"""How a route is declared: its method, path, access and documentation in one place.

The gate reads `access` and lets nobody in where it is missing; the OpenAPI document is made of the rest. So a
route without a scope or without documentation cannot be.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Empty, Receive, Scope, Send

HttpRequest = Request[Any, Any, Any]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
# "inbox": the recipient's token, or a key with the scope read. "inbox-write": the token, or a key with the scope
# schedule, as what only reads changes nothing. "public": anybody.
Access = Literal["schedule", "read", "admin", "inbox", "inbox-write", "public"]

JSON = "application/json"
# More than any body here needs that has no list and nothing free in it.
SMALL_BODY = 16_384


class Answer(msgspec.Struct, frozen=True):
    """What a handler answers: a status, and the encoded body. The server sends it as it is."""

    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: Mapping[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as ASGI wants an application to."""
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        if self.status != 204:
            headers += [(b"content-type", self.media_type.encode()), (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


Handler = Callable[[HttpRequest], Awaitable[Answer]]


class Doc(msgspec.Struct, frozen=True, kw_only=True):
    """All that is to be said of one route."""

    method: Method
    path: str
    name: str
    access: Access
    summary: str
    description: str
    tag: str
    answers: Mapping[int, Any]
    """The struct of each good answer by its status; None: no body."""
    errors: tuple[int, ...]
    """Statuses of problems beyond those that every such route has."""
    body: Any
    body_required: bool
    query: type[msgspec.Struct] | None
    most_bytes: int | None
    """The largest body; None: as the setting says, which bounds the others too."""
    idempotent: bool
    media_type: str


def answer(status: int, content: Any = None) -> Answer:
    """An answer with a JSON body, or with none."""
    return Answer(status, b"" if content is None else msgspec.json.encode(content))


def route(
    method: Method,
    path: str,
    *,
    access: Access,
    tag: str,
    answers: Mapping[int, Any],
    errors: tuple[int, ...] = (),
    body: Any = None,
    body_required: bool = True,
    query: type[msgspec.Struct] | None = None,
    most_bytes: int | None = SMALL_BODY,
    idempotent: bool = False,
    media_type: str = JSON,
) -> Callable[[Handler], HTTPRouteHandler]:
    """Declare a route. The handler's docstring is its documentation: a summary line, then the description."""

    def register(handler: Handler) -> HTTPRouteHandler:
        summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n\n")
        doc = Doc(
            method=method,
            path=path,
            name=getattr(handler, "__name__", ""),
            access=access,
            summary=summary.rstrip("."),
            description=description,
            tag=tag,
            answers=answers,
            errors=errors,
            body=body,
            body_required=body_required,
            query=query,
            most_bytes=most_bytes,
            idempotent=idempotent,
            media_type=media_type,
        )

        async def respond(request: HttpRequest) -> ASGIApp:
            return await handler(request)

        # The status is the answer's own; the default of DELETE would forbid a body.
        declare = HTTPRouteHandler(
            path,
            http_method=method,
            status_code=200,
            opt={"doc": doc},
            name=doc.name,
            request_max_body_size=Empty if most_bytes is None else most_bytes,
        )
        return declare(respond)

    return register
