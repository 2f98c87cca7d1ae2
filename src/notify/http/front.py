"""The outermost layer: paths as they were sent, headers of every answer, and how long it took.

HEAD is GET without its body. A websocket where none is served is refused as a request would be.
"""

from __future__ import annotations

import time
from typing import cast
from urllib.parse import quote

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from notify.gateway import WEBSOCKET_PATH
from notify.http import problems
from notify.http.auth import limit_headers
from notify.http.metrics import Metrics

# Answers are for one caller only, and what they are not said to be they never are.
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
_SAFE = "/%:@!$&'()*+,;=~-._"


class Front:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; websockets pass through."""
        if scope["type"] == ScopeType.HTTP:
            await self._serve(scope, receive, send)
        elif scope["path"].rstrip("/") == WEBSOCKET_PATH:
            await self._app(scope, receive, send)
        else:
            await _refuse_websocket(receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        status = 500
        method = scope["method"]
        bare = method == "HEAD"
        # A copy: the server keeps its own, to know what it was asked for.
        inner = cast(HTTPScope, {**scope, "method": "GET" if bare else method, "path": _raw_path(scope)})

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS, *limit_headers(inner)]
            elif message["type"] == "http.response.body" and bare:
                message["body"] = b""
            await send(message)

        try:
            await self._app(inner, receive, send_on)
        finally:
            self._metrics.observe(method, _route(inner), status, time.monotonic() - started)


async def _refuse_websocket(receive: Receive, send: Send) -> None:
    await receive()
    headers = [(b"content-type", problems.MEDIA_TYPE.encode()), *_HEADERS]
    body = msgspec.json.encode(problems.no_such_path())
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


def _raw_path(scope: Scope) -> str:
    """The path still percent-encoded: an id in it may contain an encoded slash. Handlers decode what they take."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return quote(raw.partition(b"?")[0], safe=_SAFE)


def _route(scope: Scope) -> str:
    """The route's pattern, as metrics must not have a label for each id or each guessed path."""
    template: str = scope.get("path_template") or "unmatched"
    return template
