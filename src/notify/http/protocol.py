"""uvicorn's HTTP protocol, with an end to waiting: for a request's head, for its body, and for an answer to be taken.

uvicorn itself waits for ever, so one host could hold all connections by sending, or reading, next to nothing. A request
that comes at once, and an answer that is taken at once, start no timer here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from notify.config import Settings
from notify.errors import HeadTooLarge, RequestTimeout
from notify.http import problems
from notify.http.problems import Problem, problem_of

# What a head may have, with all its headers.
_HEAD_BYTES = 65_536
# The least chunk, of one byte, comes with five around it.
_CHUNK_WEIGHT = 8
# Who takes an answer at all takes so much of it before the next look.
_TAKEN_BYTES = 65_536


class Protocol(HttpToolsProtocol):
    """For uvicorn's setting `http`, by `protocol_with`."""

    def __init__(self, settings: Settings, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_timeout = settings.http_read_timeout
        self._write_timeout = settings.send_timeout
        self._requests = 0
        self._awaited: str | None = "head"
        """Of the request that is coming in: what has not come yet. None: there is no such request."""
        self._head_bytes = 0
        self._watched: tuple[int, str] | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    # what comes in

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """From here on the first head is waited for."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and see what is still to come."""
        # Of what comes, all that is no body is head: also trailers, and what is written between chunks.
        self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self._head_bytes > _HEAD_BYTES and self._awaited == "body":
            self.transport.abort()
        elif self._head_bytes > _HEAD_BYTES:
            self._refuse(problem_of(HeadTooLarge(f"the head of a request may have {_HEAD_BYTES} bytes")))
        elif self._awaited is None and self._is_idle and self.timeout_keep_alive_task is None:
            self._awaited = "head"  # it sends empty lines
        self._watch()

    def on_message_begin(self) -> None:
        """The first bytes of a request."""
        super().on_message_begin()
        self._requests += 1
        self._awaited = "head"

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head; those behind the body nobody asks for, and the application has the list already."""
        if self._awaited == "head":
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Part of the body. What stands around a chunk is its sender's, as long as it is not more than the chunk."""
        self._head_bytes = max(0, self._head_bytes - _CHUNK_WEIGHT * len(body))
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Its head is here."""
        self._awaited = "body"
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._awaited = None
        self._head_bytes = 0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """From here on the connection is another protocol's."""
        self._stop(self._reading)
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP at all."""
        self._refuse(problems.no_http())

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is waited for."""
        self._stop(self._reading)
        self._stop(self._taking)
        super().connection_lost(exc)

    @property
    def _last(self) -> RequestResponseCycle | None:
        """The newest request whose head is here."""
        return cast("RequestResponseCycle | None", self.cycle)

    @property
    def _is_idle(self) -> bool:
        return self._last is None or self._last.response_complete

    def _watch(self) -> None:
        """Start a timer for what is awaited now, unless one runs for just that."""
        wanted = None if self._awaited is None else (self._requests, self._awaited)
        if wanted != self._watched:
            self._stop(self._reading)
            self._watched = wanted
            self._reading = wanted and self._call_later(self._read_timeout, self._overdue)

    def _overdue(self) -> None:
        if self.transport.is_closing():
            return
        cycle = self._last
        if self.flow.read_paused:  # it is we who do not read on
            self._reading = self._call_later(self._read_timeout, self._overdue)
        elif self._awaited == "head" or cycle is None or cycle.response_started:
            self._hang_up()
        else:
            cycle.disconnected = True  # whatever the application still says is not sent
            cycle.message_event.set()
            self._refuse(problem_of(RequestTimeout(f"the body did not come within {self._read_timeout:g} s")))

    # what goes out

    def pause_writing(self) -> None:
        """Too much waits to be taken."""
        super().pause_writing()
        self._expect_taking()

    def on_response_complete(self) -> None:
        """An answer was written, which does not mean that it was taken."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._expect_taking()

    def timeout_keep_alive_handler(self) -> None:
        """No other request has come."""
        self._hang_up()

    def _expect_taking(self) -> None:
        if self._taking is None:
            left = self.transport.get_write_buffer_size()
            self._taking = self._call_later(self._write_timeout, partial(self._look, left))

    def _look(self, before: int) -> None:
        """Has it taken some of what waited?"""
        self._taking = None
        left = self.transport.get_write_buffer_size()
        if left and before - left < _TAKEN_BYTES:
            self.transport.abort()
        elif left:
            self._expect_taking()

    # the end

    def _hang_up(self) -> None:
        """Close; what was written before may still be taken, for a while."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._expect_taking()

    def _refuse(self, problem: Problem) -> None:
        """Answer in the application's place, and close."""
        body = msgspec.json.encode(problem)
        head = (
            f"content-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            "x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[problem.status] + head.encode() + body)
        self._hang_up()

    def _call_later(self, seconds: float, what: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, what)

    def _stop(self, timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def protocol_with(settings: Settings) -> type[asyncio.Protocol]:
    """The protocol class with these settings."""

    class Configured(Protocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(settings, *args, **kwargs)

    return Configured
