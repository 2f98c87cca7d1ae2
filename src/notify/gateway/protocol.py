"""uvicorn's websocket protocol, with one thing more: the application may cut a connection off.

A client that reads nothing cannot be told to go, as what it is told waits behind all it has not read. ASGI has no
word for ending such a connection, so it would stay for as long as the client likes.
"""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

ABORT = "notify.abort"
"""The scope's extension: a function that ends the connection at once."""


class Protocol(WebSocketsSansIOProtocol):
    """For uvicorn's setting `ws`."""

    def handle_connect(self, event: Request) -> None:
        """Start the application, which runs only after this has returned."""
        super().handle_connect(event)
        scope = cast(dict[str, Any] | None, getattr(self, "scope", None))
        if scope is not None:  # there is none when the handshake was refused
            scope["extensions"][ABORT] = {"abort": self.transport.abort}
