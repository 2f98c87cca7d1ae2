"""Sending ASGI events to a socket that may go away at any moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from notify.gateway.closing import Closing
from notify.gateway.frames import Failure, encode

Send = Callable[[Any], Awaitable[None]]


class Pusher(Protocol):
    """Sends texts as one frame each, in order."""

    async def push(self, texts: Sequence[str]) -> None:
        """Send all, waiting while the client does not take them. Raises OSError when it has left."""

    def push_now(self, texts: Sequence[str]) -> bool:
        """Send all without waiting, or nothing: then `push` would wait, or raise."""


class Gone(Exception):
    """The client has left."""


async def transmit(send: Send, event: dict[str, Any]) -> None:
    """Send one event, waiting while the client does not take it. Raises Gone."""
    try:
        await send(event)
    except (OSError, RuntimeError) as error:  # ASGI servers say either of a socket that was closed
        raise Gone from error


async def send_text(send: Send, frame: str) -> None:
    """Send one frame. Raises Gone."""
    await transmit(send, {"type": "websocket.send", "text": frame})


async def send_all(pusher: Pusher, texts: Sequence[str]) -> None:
    """Send texts as one frame each, waiting while the client does not take them. Raises Gone."""
    try:
        await pusher.push(texts)
    except (OSError, RuntimeError) as error:
        raise Gone from error


def send_now(pusher: Pusher, texts: Sequence[str]) -> bool:
    """Send texts as one frame each, without waiting. False: none was sent, and `send_all` waits, or tells why."""
    try:
        return pusher.push_now(texts)
    except (OSError, RuntimeError):
        return False


class OneByOne:
    """A Pusher over servers that know only ASGI."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def push(self, texts: Sequence[str]) -> None:
        """Send one after the other."""
        for text in texts:
            await self._send({"type": "websocket.send", "text": text})

    def push_now(self, texts: Sequence[str]) -> bool:
        """ASGI's `send` may always wait."""
        return False


async def dismiss(send: Send, end: Closing) -> None:
    """Say why, and close. Raises Gone."""
    if end.code_name is not None:
        await send_text(send, encode(Failure(end.code_name, end.detail)))
    await transmit(send, {"type": "websocket.close", "code": end.code, "reason": end.reason})
