"""uvicorn's websocket protocol, with what ASGI has no word for.

- The application may cut a connection off. A client that reads nothing cannot be told to go, as what it is told waits
  behind all that it has not read.
- It may send several texts by one write. An ASGI event a frame costs a call into the kernel each, and as much again on
  the way there.
- What a client sends is parsed in small pieces, each when what came before has been taken, and at a bounded pace.
  uvicorn parses at once whatever one read brings, up to 256 KiB: 43,000 of the smallest frames, for some tenths of a
  second in which nobody else is served; and it answers pings for as long as they come. Every frame counts here, since
  pings and fragments cost as much as messages. While nothing is parsed, nothing is read: TCP holds the client back.
- A connection that is closed ends, though its client takes no byte more of what was written before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from notify.gateway.pace import Pace

ABORT = "notify.abort"
"""The scope's extension: a function that ends the connection at once."""
PUSH = "notify.push"
"""The scope's extension: sends several texts, as `send` would one after the other (wire.py, Pusher)."""

_PIECE_BYTES = 2048
_LINGER_SECONDS = 5.0


class Protocol(WebSocketsSansIOProtocol):
    """For uvicorn's setting `ws`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unparsed = b""
        self._pace = Pace(self.loop.time())
        self._later: asyncio.Handle | None = None
        self._end: asyncio.Handle | None = None

    def handle_connect(self, event: Request) -> None:
        """Start the application, which runs only after this has returned."""
        super().handle_connect(event)
        scope = cast(dict[str, Any] | None, getattr(self, "scope", None))
        if scope is not None:  # there is none when the handshake was refused
            scope["extensions"][ABORT] = {"abort": self.transport.abort}
            if not self.conn.extensions:  # deflate would have to see each frame
                scope["extensions"][PUSH] = {"pusher": self}

    def data_received(self, data: bytes) -> None:
        """Take what one read has brought."""
        self._unparsed += data
        self._go_on()

    def handle_events(self) -> None:
        """Handle the frames of a piece, and count them."""
        self._pace.spend(len(self.conn.events), self.loop.time())
        super().handle_events()

    async def receive(self) -> ASGIReceiveEvent:
        """The next event for the application. When it has taken all, more is parsed, or read."""
        message = await self.queue.get()
        if self.queue.empty() and self._later is None:
            self._later = self.loop.call_soon(self._go_on)
        return message

    async def push(self, texts: Sequence[str]) -> None:
        """Write each text as a frame, all at once. Raises ClientDisconnected when no more may be sent."""
        await self.writable.wait()
        if not self.push_now(texts):
            raise ClientDisconnected

    def push_now(self, texts: Sequence[str]) -> bool:
        """As `push`, without waiting. False: nothing was written, as it would wait, or no more may be sent."""
        if not self.writable.is_set() or self.close_sent or self.disconnected or self.conn.state is not State.OPEN:
            return False
        self.transport.write(b"".join(framed(texts)))
        return True

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application has ended; the client's close may still wait to be parsed."""
        super().on_task_complete(task)
        self._end_in(self.close_timeout + _LINGER_SECONDS)
        if self._unparsed:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is parsed."""
        self._unparsed = b""
        for waiting in (self._later, self._end):
            if waiting is not None:
                waiting.cancel()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """No pong came. While nothing is read, that is no fault of the client: it gets its time anew."""
        if self.read_paused and self.ping_timeout is not None and not self.transport.is_closing():
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
        else:
            super().keepalive_timeout()
            self._end_in(_LINGER_SECONDS)

    def _end_in(self, seconds: float) -> None:
        """Closing waits for all that was written to be taken; not for longer than this."""
        if self._end is None and not self.disconnected:
            self._end = self.loop.call_later(seconds, self.transport.abort)

    def _go_on(self) -> None:
        """Parse a piece, if that may be now; then see when the next one may."""
        self._cancel()
        if self._unparsed and self._all_taken and not self._pace.pause(self.loop.time()):
            # The handshake comes as a whole.
            size = _PIECE_BYTES if self.handshake_initiated else len(self._unparsed)
            piece, self._unparsed = self._unparsed[:size], self._unparsed[size:]
            super().data_received(piece)
        if self.transport.is_closing():
            self._unparsed = b""
            return
        pause = self._pace.pause(self.loop.time())
        if self._all_taken and (self._unparsed or pause):
            self._later = self.loop.call_later(pause, self._go_on)
        self._read(not self._unparsed and not pause and self._all_taken)

    @property
    def _all_taken(self) -> bool:
        # After its own close the application takes nothing more, but the client's close has to be seen.
        return self.close_sent or self.queue.empty()

    def _read(self, on: bool) -> None:
        if on and self.read_paused:
            self.transport.resume_reading()
        elif not on and not self.read_paused:
            self.transport.pause_reading()
        self.read_paused = not on

    def _cancel(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None


def framed(texts: Sequence[str]) -> Iterator[bytes]:
    """Each text as a whole frame (FIN and TEXT), not masked, as a server's are: its header, then its payload."""
    for text in texts:
        payload = text.encode()
        size = len(payload)
        if size < 126:
            yield bytes((0x81, size))
        elif size < 65_536:
            yield b"\x81\x7e" + size.to_bytes(2)
        else:
            yield b"\x81\x7f" + size.to_bytes(8)
        yield payload
