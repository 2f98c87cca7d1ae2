"""Many websockets in one process of little CPU: all that it does is count the notifications that each receives."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from urllib.parse import quote, urlsplit

from bench.stack import KEY

_TEXT, _CLOSE, _PING = 0x1, 0x8, 0x9
_NOTIFICATION = b'{"type":"notification"'
# So many connect at a time, as the server's backlog is finite.
_TOGETHER = 100
_CONNECT_SECONDS = 60.0


class Crowd:
    """The sockets of another process, as seen from here."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def counts(self) -> list[int]:
        """Notifications that each socket has received. Raises RuntimeError where one was closed."""
        self._pipe.send("counts")
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return list(answer)

    def wait(self, each: int, seconds: float = 30.0) -> None:
        """Wait until each socket has received exactly so many. Raises RuntimeError."""
        ends = time.monotonic() + seconds
        while {each} != set(counts := self.counts()):
            if time.monotonic() > ends or max(counts) > each:
                raise RuntimeError(f"sockets received {min(counts)} to {max(counts)} notifications, not {each}")
            time.sleep(0.1)


@contextmanager
def connected(url: str, recipients: Sequence[str]) -> Iterator[Crowd]:
    """A socket for each of these recipients, all of them live; closed at the end."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, url, list(recipients)))
    process.start()
    theirs.close()
    try:
        if not ours.poll(_CONNECT_SECONDS):
            raise RuntimeError("the sockets did not connect in time")
        ours.recv()  # raises EOFError where that process has failed
        yield Crowd(ours)
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection, url: str, recipients: list[str]) -> None:
    asyncio.run(_hold(pipe, url, recipients))


async def _hold(pipe: Connection, url: str, recipients: list[str]) -> None:
    sockets: list[_Socket] = []
    host = urlsplit(url).netloc
    name, _, port = host.rpartition(":")
    loop = asyncio.get_running_loop()
    for start in range(0, len(recipients), _TOGETHER):
        for recipient in recipients[start : start + _TOGETHER]:
            _, socket = await loop.create_connection(partial(_Socket, recipient, host), name, int(port))
            sockets.append(socket)
        await asyncio.gather(*(socket.live for socket in sockets[start:]))
    pipe.send("live")

    def answer() -> None:
        pipe.recv()
        lost = next((socket.lost for socket in sockets if socket.lost), None)
        pipe.send(lost or [socket.notifications for socket in sockets])

    loop.add_reader(pipe.fileno(), answer)
    await asyncio.Event().wait()


class _Socket(asyncio.Protocol):
    """One client: asks for the upgrade, then counts. What it sends is masked with zeros."""

    def __init__(self, recipient: str, host: str) -> None:
        self._recipient = recipient
        self._host = host
        self._rest = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None
        self.live: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.notifications = 0
        self.lost = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            f"GET /ws?recipient={quote(self._recipient)} HTTP/1.1\r\nHost: {self._host}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._end(f"the connection of {self._recipient} was lost: {error}")

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        if not self._upgraded:
            head, ended, rest = data.partition(b"\r\n\r\n")
            if not ended:
                self._rest = data
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._end(f"no upgrade for {self._recipient}: {head[:100]!r}")
            self._upgraded, data = True, rest
        at = 0
        while (found := _frame(data, at)) is not None:
            kind, start, at = found
            self._take(kind, data, start, at)
        self._rest = data[at:]

    def _take(self, kind: int, data: bytes, start: int, end: int) -> None:
        if kind == _TEXT:
            if data.startswith(_NOTIFICATION, start):
                self.notifications += 1
            elif not self.live.done():  # the hello, before which nothing comes
                self.live.set_result(None)
        elif kind == _PING and self._transport is not None:
            self._transport.write(bytes((0x8A, 0x80 | end - start, 0, 0, 0, 0)) + data[start:end])
        elif kind == _CLOSE:
            self._end(f"the socket of {self._recipient} was closed: {data[start:end]!r}")

    def _end(self, why: str) -> None:
        self.lost = self.lost or why
        if not self.live.done():
            self.live.set_exception(ConnectionError(why))


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Opcode, begin and end of the payload of the frame that begins there; None where it is not whole yet."""
    if len(data) < at + 2:
        return None
    kind, size, start = data[at] & 0x0F, data[at + 1], at + 2
    if size >= 126:
        start += 2 if size == 126 else 8
        if len(data) < start:
            return None
        size = int.from_bytes(data[at + 2 : start], "big")
    return (kind, start, start + size) if len(data) >= start + size else None
