"""Sending ASGI events to a socket that may go away at any moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from notify.gateway.closing import Closing
from notify.gateway.frames import Failure, encode

Send = Callable[[Any], Awaitable[None]]
Push = Callable[[Sequence[str]], Awaitable[None]]
"""Sends texts as one frame each, in order."""


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


async def send_all(push: Push, texts: Sequence[str]) -> None:
    """Send texts as one frame each, waiting while the client does not take them. Raises Gone."""
    try:
        await push(texts)
    except (OSError, RuntimeError) as error:
        raise Gone from error


def one_by_one(send: Send) -> Push:
    """For servers that know only ASGI."""

    async def push(texts: Sequence[str]) -> None:
        for text in texts:
            await send({"type": "websocket.send", "text": text})

    return push


async def dismiss(send: Send, end: Closing) -> None:
    """Say why, and close. Raises Gone."""
    if end.code_name is not None:
        await send_text(send, encode(Failure(end.code_name, end.detail)))
    await transmit(send, {"type": "websocket.close", "code": end.code, "reason": end.reason})
