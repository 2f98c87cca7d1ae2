"""Clients that send next to nothing, or take next to nothing, over raw sockets: each is let go in time."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
import uvicorn
from litestar import Litestar
from msgspec.structs import replace

from helpers.wait import until_async
from notify import serve
from notify.config import Settings
from notify.http.protocol import protocol_with

SHORT = 0.3
HOST = b"Host: x\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
LARGE = 64 * 2**20


class Peer:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> bytes:
        """One answer with a length."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            (length,) = [line[16:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
            return head + await self.reader.readexactly(int(length))

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def leave(self) -> None:
        self.writer.transport.abort()
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


class Listening:
    """A server in this loop."""

    def __init__(self, server: uvicorn.Server, port: int, stack: AsyncExitStack) -> None:
        self.server = server
        self._port = port
        self._stack = stack

    async def peer(self, data: bytes = b"", **options: Any) -> Peer:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self._port, **options))
        self._stack.push_async_callback(peer.leave)
        peer.say(data)
        return peer

    async def nobody(self) -> None:
        """Wait until no connection is left."""

        async def gone() -> bool:
            return not self.server.server_state.connections

        await until_async(gone, what="the connection is cut")


@asynccontextmanager
async def listening(app: Any, settings: Settings) -> AsyncIterator[Listening]:
    taken = socket.create_server(("127.0.0.1", 0))
    config = serve.server_config(app, settings)
    config.lifespan = "off"
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([taken]))
    try:

        async def started() -> bool:
            return server.started

        await until_async(started)
        async with AsyncExitStack() as stack:
            yield Listening(server, taken.getsockname()[1], stack)
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def short(app: Litestar, settings: Settings) -> AsyncIterator[Listening]:
    """The API, which waits for a third of a second only."""
    async with listening(app, replace(settings, http_read_timeout=SHORT)) as made:
        yield made


@pytest.fixture
async def patient(app: Litestar, settings: Settings) -> AsyncIterator[Listening]:
    """The API as it is: time ends nothing here."""
    async with listening(app, settings) as made:
        yield made


async def test_silence_is_not_waited_for(short: Listening) -> None:
    assert await (await short.peer()).rest() == b""


async def test_a_head_that_does_not_end(short: Listening) -> None:
    assert await (await short.peer(b"GET /health/live HTTP/1.1\r\nHost:")).rest() == b""


async def test_a_head_that_comes_byte_by_byte(short: Listening) -> None:
    peer = await short.peer(b"GET /health/live HTTP/1.1\r\nX: ")
    closed = asyncio.create_task(peer.rest())

    async def trickle() -> bool:
        peer.say(b"a")
        return closed.done()

    await until_async(trickle)
    assert closed.exception() is not None or closed.result() == b""


async def test_a_head_without_bounds(short: Listening) -> None:
    peer = await short.peer(b"GET /health/live HTTP/1.1\r\n" + b"X: y\r\n" * 12_000)
    head, _, body = (await peer.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert msgspec.json.decode(body)["type"] == "urn:notify:problem:head-too-large"


@pytest.mark.parametrize("line", [b"X: y\r\n", b"y"], ids=["many trailers", "one long trailer"])
async def test_trailers_without_bounds(patient: Listening, line: bytes) -> None:
    """Nobody asks for them, and no limit of the body counts them."""
    chunked = b"POST /api/recipients HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n0\r\nX: "
    peer = await patient.peer(chunked)
    closed = asyncio.create_task(peer.rest())
    sent = 0

    async def flood() -> bool:
        nonlocal sent
        if not closed.done():
            peer.say(line * 1000)
            sent += 1000 * len(line)
        return closed.done()

    await until_async(flood)
    closed.exception()
    assert sent < 5_000_000


async def test_a_body_in_the_smallest_chunks_is_no_flood(patient: Listening, settings: Settings) -> None:
    head = (
        f"POST /api/recipients HTTP/1.1\r\nAuthorization: Bearer {settings.api_key}\r\nTransfer-Encoding: chunked\r\n"
    )
    body = b'{"recipients":[{"id":"' + b"a" * 20_000 + b'"}]}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    json = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    peer = await patient.peer(head.encode() + json + HOST + b"\r\n" + chunks + b"0\r\n\r\n")
    assert b" 400 " in await peer.answer()  # the id is too long, says who has read it


async def test_empty_lines_are_no_sign_of_life(short: Listening) -> None:
    peer = await short.peer(LIVE)
    assert b"200 OK" in await peer.answer()
    peer.say(b"\r\n")
    assert await peer.rest() == b""


async def test_a_body_that_does_not_come_is_answered_408(
    short: Listening, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST /api/recipients HTTP/1.1\r\nAuthorization: Bearer {settings.api_key}\r\nContent-Length: 100\r\n"
    peer = await short.peer(head.encode() + HOST + b"\r\n" + b'{"rec')
    answer = await peer.rest()
    fields, _, body = answer.partition(b"\r\n\r\n")
    assert fields.startswith(b"HTTP/1.1 408 ")
    assert b"content-type: application/problem+json" in fields
    assert b"connection: close" in fields
    problem = msgspec.json.decode(body)
    assert (problem["type"], problem["status"]) == ("urn:notify:problem:request-timeout", 408)
    assert "0.3 s" in problem["detail"]
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_body_that_is_not_wanted_holds_no_connection(short: Listening) -> None:
    peer = await short.peer(b"POST /api/recipients HTTP/1.1\r\nContent-Length: 100\r\n" + HOST + b"\r\n{")
    answer = await peer.rest()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.count(b"HTTP/1.1") == 1


async def test_who_is_quick_is_not_hurried(short: Listening) -> None:
    """Each request has its own time, and what this server itself does not read is nobody's delay."""
    peer = await short.peer()
    for _ in range(3):
        peer.say(LIVE[:10])
        peer.say(LIVE[10:])
        assert b"200 OK" in await peer.answer()
    peer.say(LIVE * 5)
    for _ in range(5):
        assert b"200 OK" in await peer.answer()
    (connection,) = short.server.server_state.connections
    assert connection._reading is None or connection._reading.cancelled()  # type: ignore[union-attr]


async def test_what_is_no_http_is_a_problem_too(short: Listening) -> None:
    head, _, body = (await (await short.peer(b"nonsense\r\n\r\n")).rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert msgspec.json.decode(body)["type"] == "urn:notify:problem:bad-request"


def _large(events: list[str]) -> Callable[..., Awaitable[None]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = str(LARGE).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": b"x" * (LARGE // 2), "more_body": True})
        await send({"type": "http.response.body", "body": b"x" * (LARGE // 2), "more_body": False})
        events.append("done")

    return app


@pytest.mark.parametrize("head", [LIVE, LIVE.replace(HOST, HOST + b"Connection: close\r\n")], ids=["kept", "closed"])
async def test_an_answer_that_is_not_taken_is_cut_off(settings: Settings, head: bytes) -> None:
    events: list[str] = []
    async with listening(_large(events), replace(settings, send_timeout=SHORT)) as served:
        peer = await served.peer(head, limit=1024)
        assert (await peer.reader.readline()).startswith(b"HTTP/1.1 200")
        await served.nobody()
        assert len(await peer.reader.read(LARGE)) < LARGE


async def test_an_answer_that_is_taken_bit_by_bit_is_not_cut_off(settings: Settings) -> None:
    """Looked at from within: how long is a moment here."""
    cut: list[str] = []

    class Transport(asyncio.Transport):
        left = 1_000_000

        def get_write_buffer_size(self) -> int:
            return self.left

        def abort(self) -> None:
            cut.append("cut")

    config = uvicorn.Config(_large([]), lifespan="off", log_config=None)
    made: Any = protocol_with(settings)(config=config, server_state=uvicorn.server.ServerState(), app_state={})  # type: ignore[call-arg]
    made.transport = Transport()
    made._look(1_000_000 + 65_536)
    assert not cut
    assert made._taking is not None
    made._taking.cancel()
    made._look(1_000_000 + 65_535)
    assert cut == ["cut"]


async def test_a_process_may_open_as_many_sockets_as_it_is_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
        serve.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
