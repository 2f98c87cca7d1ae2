"""The crowd's own process: websocket clients that cost as little as they can, as they share the cores with what is
measured. A frame is told by its header and a few bytes of its payload; only a hello is decoded.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from multiprocessing.connection import Connection
from typing import Any, cast
from urllib.parse import quote, urlsplit

import msgspec
import uvloop

from notify.serve import raise_file_limit

_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
# Which frame it is shows in the letter after this, and the seq of a notification stands at a fixed place.
_KIND_AT = len('{"type":"')
_SEQ_AT = len('{"type":"notification","seq":')


class State(msgspec.Struct, frozen=True):
    """How far the crowd is. Times are of the system's clock, which the parent shares."""

    sockets: int
    greeted: int
    """Those who have their hello."""
    complete: int
    """Those who have all up to the target."""
    began_at: float
    done_at: float
    """When the last of them was greeted, or complete."""
    frame_bytes: int
    """The size of the last frame that completed a socket."""
    faults: list[str]
    cpu_seconds: float

    @property
    def is_done(self) -> bool:
        """Whether nothing is waited for."""
        return self.greeted == self.sockets == self.complete


class Arrival(msgspec.Struct, frozen=True):
    """One notification, for a crowd that keeps them."""

    at: float
    recipient: str
    seq: int
    payload: bytes


class Member(asyncio.Protocol):
    """One socket of one recipient; it lives on when its connection is dropped, with its cursor."""

    __slots__ = ("crowd", "epoch", "greeted", "opened", "recipient", "rest", "seq", "transport")

    def __init__(self, crowd: Client, recipient: str) -> None:
        self.crowd = crowd
        self.recipient = recipient
        self.seq = 0
        self.epoch = ""
        self.transport: asyncio.Transport | None = None
        self.opened = False
        self.greeted = asyncio.Event()
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.crowd.request(self))

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        at = 0 if self.opened else self.open(data)
        if at >= 0:
            at = self.read(data, at)
        self.rest = data[max(0, at) :]

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:  # not dropped by us
            self.transport = None
            self.crowd.fault(f"{self.recipient} was disconnected")

    def open(self, data: bytes) -> int:
        """Where the frames begin; -1: not here yet."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return -1
        if not data.startswith(b"HTTP/1.1 101 "):
            self.crowd.fault(f"refused: {data[:200]!r}")
        self.opened = True
        return end + 4

    def read(self, data: bytes, at: int) -> int:
        """Take all frames that are whole; where the rest begins."""
        size = len(data)
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length >= 126:
                start = at + (4 if length == 126 else 10)
                if start > size:
                    break
                length = int.from_bytes(data[at + 2 : start])
            if start + length > size:
                break
            if data[at] == _TEXT:
                self.text(data, start, start + length)
            elif data[at] == _PING:
                assert self.transport is not None
                # Masked as a client's frames must be, with a mask that changes nothing.
                self.transport.write(bytes((0x8A, 0x80 | length, 0, 0, 0, 0)) + data[start : start + length])
            elif data[at] == _CLOSE:
                self.crowd.fault(f"closed: {data[start : start + length]!r}")
            at = start + length
        return at

    def text(self, data: bytes, start: int, end: int) -> None:
        """A notification, mostly."""
        kind = data[start + _KIND_AT]
        if kind == 110:  # n
            seq = int(data[start + _SEQ_AT : data.index(b",", start + _SEQ_AT)])
            if seq != self.seq + 1:
                self.crowd.fault(f"{self.recipient} was sent {seq} after {self.seq}")
            self.seq = seq
            if seq == self.crowd.target:
                self.crowd.completed(end - start)
            if self.crowd.keeps:
                self.crowd.arrivals.append(Arrival(time.time(), self.recipient, seq, data[start:end]))
        elif kind == 104:  # h
            self.epoch = msgspec.json.decode(data[start:end])["epoch"]
            self.greeted.set()
            self.crowd.welcomed()
        elif kind != 116:  # t
            self.crowd.fault(f"{self.recipient} was sent {data[start:end]!r}")


class Client:
    """Does what the parent says. Every command answers at once; `poll` tells how far it is."""

    def __init__(self, url: str, key: str, *, keeps: bool) -> None:
        address = urlsplit(url)
        self.host, self.port = address.hostname or "127.0.0.1", address.port or 80
        self.keeps = keeps
        self.arrivals: list[Arrival] = []
        self.target = 0
        self._headers = (
            f" HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            f"Authorization: Bearer {key}\r\n\r\n"
        )
        self._members: list[Member] = []
        self._greeted = self._complete = self._frame_bytes = 0
        self._began_at = self._done_at = 0.0
        self._faults: list[str] = []
        self._done = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None

    # the parent's commands

    async def connect(self, recipients: list[str], at_once: int) -> None:
        """Begin to connect more recipients, so many handshakes at a time."""
        members = [Member(self, recipient) for recipient in recipients]
        self._members += members
        self._complete += len(members) if self.target == 0 else 0
        self._begin()
        self._connecting = asyncio.create_task(self._connect(members, at_once))

    async def aim(self, target: int) -> None:
        """From here on `complete` counts those who have all up to this seq."""
        self.target = target
        self._complete = sum(member.seq >= target for member in self._members)
        self._begin()

    async def drop(self) -> None:
        """Cut all connections at once."""
        for member in self._members:
            transport, member.transport = member.transport, None
            if transport is not None:
                transport.abort()
            member.opened, member.rest = False, b""
            member.greeted.clear()
        self._greeted = 0

    async def resume(self, target: int, at_once: int) -> None:
        """Begin to connect all again from their cursors; all up to `target` is waited for."""
        await self.aim(target)
        self._connecting = asyncio.create_task(self._connect(self._members, at_once))

    async def poll(self, seconds: float) -> State:
        """How far it is: once all is done, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._done.wait()
        except TimeoutError:
            pass
        times = os.times()
        return State(
            sockets=len(self._members),
            greeted=self._greeted,
            complete=self._complete,
            began_at=self._began_at,
            done_at=self._done_at,
            frame_bytes=self._frame_bytes,
            faults=self._faults[:5],
            cpu_seconds=times.user + times.system,
        )

    async def take(self) -> list[Arrival]:
        """What arrived since the last time."""
        taken, self.arrivals = self.arrivals, []
        return taken

    # what the members say

    def request(self, member: Member) -> bytes:
        """The handshake; one who was here before goes on from the cursor."""
        since = f"&since={member.epoch}:{member.seq}" if member.epoch else ""
        return f"GET /ws?recipient={quote(member.recipient)}{since}{self._headers}".encode()

    def welcomed(self) -> None:
        """One more has its hello."""
        self._greeted += 1
        self._see()

    def completed(self, frame_bytes: int) -> None:
        """One more has all up to the target, with a frame of that size."""
        self._frame_bytes = frame_bytes
        self._complete += 1
        self._see()

    def fault(self, what: str) -> None:
        """What must not happen; the parent gives up then."""
        self._faults.append(what)
        self._done.set()

    def _begin(self) -> None:
        self._began_at = time.time()
        self._done.clear()
        self._see()

    def _see(self) -> None:
        if self._greeted == self._complete == len(self._members):
            self._done_at = time.time()
            self._done.set()

    async def _connect(self, members: list[Member], at_once: int) -> None:
        waiting = iter(members)

        async def connect_some() -> None:
            loop = asyncio.get_running_loop()
            for member in waiting:
                try:
                    await loop.create_connection(lambda member=member: member, self.host, self.port)  # type: ignore[misc]
                except OSError as error:
                    self.fault(f"not connected: {error}")
                    return
                await member.greeted.wait()

        await asyncio.gather(*(connect_some() for _ in range(at_once)))


def main(pipe: Connection, url: str, key: str, keeps: bool) -> None:
    """The process, until the parent sends None or is gone."""
    raise_file_limit()
    uvloop.run(_serve(pipe, url, key, keeps=keeps))


async def _serve(pipe: Connection, url: str, key: str, *, keeps: bool) -> None:
    client = Client(url, key, keeps=keeps)
    loop = asyncio.get_running_loop()
    while True:
        try:
            asked: tuple[Any, ...] | None = await loop.run_in_executor(None, pipe.recv)
        except EOFError:
            return
        if asked is None:
            return
        command, *arguments = asked
        pipe.send(await getattr(client, command)(*arguments))
