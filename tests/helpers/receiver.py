"""A real HTTP receiver on loopback that answers as told: `with Receiver() as receiver: call receiver.url`.

It runs in a thread with an event loop of its own, so that sync and async tests use it alike, and keeps all that it got.
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import trustme
from aiohttp import web
from multidict import CIMultiDictProxy
from standardwebhooks import Webhook

from helpers.wait import until

_PART = b"endless " * 512
_LAST_ROUNDS = 5
# Seconds for answers under way; to aiohttp 0 means for ever.
_GRACE = 0.01


class Answer(NamedTuple):
    """What one request gets."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""
    way: Literal["whole", "hang", "hold", "drop", "stall", "endless", "garbage"] = "whole"
    """hang: no answer. hold: none before `release()`.
    drop: the connection is cut instead of one. stall: the body does not end. endless: it never
    stops coming. garbage: the body alone, which is no HTTP."""
    after: float = 0.0
    """Seconds that the receiver takes over it: part of what happens, no wait for something."""


class Received(NamedTuple):
    """A request as it came."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes
    connection: int
    """1, 2, 3, … in the order in which they were used first."""
    at: float
    """When it had come, in seconds since 1970."""
    way: str
    """That of its answer."""

    def json(self) -> Any:
        return json.loads(self.body)

    def verify(self, secret: str) -> None:
        """Raise WebhookVerificationError unless it is signed with the secret, lately."""
        Webhook(secret).verify(self.body, dict(self.headers))


class Receiver:
    """One server, on a port of its own. `tls`: with this certificate, or with one that nobody vouches for."""

    def __init__(self, *, tls: ssl.SSLContext | bool = False) -> None:
        self.requests: list[Received] = []
        self.left = 0
        """Callers that went away before their answer had ended."""
        self.answered = 0
        """Whole answers."""
        self._released = asyncio.Event()
        self._next: Callable[[], Answer] = Answer
        self._connections: dict[asyncio.BaseTransport, int] = {}
        self._tls = unknown_certificate() if tls is True else tls or None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        # A connection cut during its handshake may leave a socket to the collector: no business of the next test.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._server.connections)

    @property
    def last(self) -> Received:
        return self.requests[-1]

    def answer(self, *answers: Answer) -> None:
        """From now on the requests get these in turn; the last one for all that come after it."""
        left = list(answers)
        self.answer_by(lambda: left.pop(0) if len(left) > 1 else left[0])

    def answer_by(self, choose: Callable[[], Answer]) -> None:
        """From now on each request gets what is then chosen, in the receiver's thread."""
        self._next = choose

    def wait(self, count: int) -> list[Received]:
        """All requests, once there are so many."""
        until(lambda: len(self.requests) >= count, what=f"{count} requests")
        return list(self.requests)

    def release(self) -> None:
        """Answer those that are held, and hold no more."""
        self._loop.call_soon_threadsafe(self._released.set)

    async def _open(self) -> None:
        self._server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._listener = await self._loop.create_server(self._server, "127.0.0.1", 0, ssl=self._tls, backlog=512)
        self.port: int = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._listener.close()
        await self._server.shutdown(_GRACE)
        # Transports leave their sockets in later rounds.
        for _ in range(_LAST_ROUNDS):
            await asyncio.sleep(0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        connection = self._connections.setdefault(transport, len(self._connections) + 1)
        body = await request.read()
        answer = self._next()
        came = Received(request.method, request.raw_path, request.headers, body, connection, time.time(), answer.way)
        self.requests.append(came)
        try:
            if answer.after:
                await asyncio.sleep(answer.after)
            return await self._give(answer, request, transport)
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise

    async def _give(self, answer: Answer, request: web.BaseRequest, transport: asyncio.Transport) -> web.StreamResponse:
        whole = web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        if answer.way == "hold":
            await self._released.wait()
        if answer.way in ("whole", "hold"):
            self.answered += 1
            return whole
        if answer.way in ("drop", "garbage"):
            if answer.way == "garbage":
                transport.write(answer.body)
                transport.close()
            else:
                transport.abort()
            return whole
        if answer.way == "hang":
            await _for_ever()
        parts = web.StreamResponse(status=answer.status, headers=answer.headers)
        parts.enable_chunked_encoding()
        await parts.prepare(request)
        await parts.write(answer.body)
        if answer.way == "stall":
            await _for_ever()
        while True:
            await parts.write(_PART)


async def _for_ever() -> None:
    await asyncio.Event().wait()


def unknown_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
