"""Websocket readers: good ones that must hear everything, and others that are only there to do harm."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from faults.chaos.clients import seconds
from faults.chaos.history import Frame, Heard, Opened, Reset, Tick
from faults.chaos.pace import pause

# As docs/guide.md says, but for the longest pause: its 30 s are the client's patience, not the service's.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
_OPEN_SECONDS = 5.0
_GARBAGE = (b"\x00\xff" * 2000, b'{"type":"ack","seq":-1}', b"{" * 5000, b'{"type":"auth","token":"x"}', b"x" * 80_000)


@dataclass(slots=True)
class Manner:
    """How a listener reads. `acked`: it leaves it to the server where to go on."""

    acks: bool = False
    acked: bool = False
    slow: bool = False


class Listener:
    """One recipient's client, which keeps the cursor of the last frame that it handled."""

    def __init__(self, heard: Heard, token: str, manner: Manner, seed: float) -> None:
        self.heard, self._token, self._manner = heard, token, manner
        self._rng = random.Random(seed)
        self._epoch: str | None = None
        self._wait = _FIRST_WAIT

    async def run(self, urls: Sequence[str]) -> None:
        """Listen for ever, connecting again whenever the connection is lost."""
        while True:
            url = self._rng.choice(urls)
            try:
                await self._session(url)
            except ConnectionClosed as closed:
                self.heard.closes.append(closed.rcvd.code if closed.rcvd else 1006)
            except (OSError, WebSocketException, TimeoutError, httpx.HTTPError):
                self.heard.closes.append(0)
            await pause(self._wait * self._rng.random())
            self._wait = min(_LONGEST_WAIT, self._wait * 2)

    async def _session(self, url: str) -> None:
        async with connect(
            f"{url.replace('http', 'ws', 1)}/ws?since={self._cursor()}",
            additional_headers={"Authorization": f"Bearer {self._token}"},
            open_timeout=_OPEN_SECONDS,
            close_timeout=1,
            compression=None,
        ) as socket:
            async for text in socket:
                await self._handle(msgspec.json.decode(text), socket, url)
                if self._manner.slow:
                    await pause(self._rng.uniform(0.05, 0.3))

    def _cursor(self) -> str:
        if self._manner.acked:
            return "acked"
        return f"{self._epoch}:{self.heard.handled}" if self._epoch else "0"

    async def _handle(self, frame: dict[str, Any], socket: ClientConnection, url: str) -> None:
        match frame["type"]:
            case "hello":
                self._epoch, self._wait = frame["epoch"], _FIRST_WAIT
                after = None if self._manner.acked else self.heard.handled
                self.heard.events.append(Opened(after, frame["epoch"], frame["last_seq"]))
            case "notification":
                self._keep(frame["seq"], frame["notification"])
                if self._manner.acks:
                    await socket.send(msgspec.json.encode({"type": "ack", "seq": frame["seq"]}).decode())
            case "reset":
                await self._reload(frame, url)
            case "tick":
                self.heard.events.append(Tick(frame["last_seq"]))

    def _keep(self, seq: int, told: dict[str, Any], *, live: bool = True) -> None:
        frame = Frame(
            seq,
            told["id"],
            told["recipient"],
            told["title"],
            told["reference"],
            seconds(told["scheduled_at"]),
            seconds(told["sent_at"]),
            time.time(),
            live,
        )
        self.heard.events.append(frame)
        self.heard.handled = max(self.heard.handled, seq)

    async def _reload(self, frame: dict[str, Any], url: str) -> None:
        """The stream cannot go on from the cursor: read the inbox."""
        self._epoch = frame["epoch"]
        self.heard.events.append(Reset(frame["last_seq"]))
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {self._token}"}) as client:
            while self.heard.handled < frame["last_seq"]:
                page = await client.get(f"{url}/api/inbox", params={"after": self.heard.handled, "limit": 100})
                page.raise_for_status()
                for item in page.json()["items"]:
                    self._keep(item["seq"], item["notification"], live=False)


async def never_read(recipient_token: str, urls: Sequence[str], rng: random.Random) -> None:
    """A client that asks for the whole stream and never reads a byte of it."""
    while True:
        host, port = rng.choice(urls).removeprefix("http://").split(":")
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.settimeout(1)
            sock.connect((host, int(port)))
            sock.sendall(_upgrade(f"/ws?since={rng.choice(('0', 'now'))}", recipient_token))
            await pause(rng.uniform(5, 20))
        await pause(0.5)


def _upgrade(path: str, token: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (f"GET {path} HTTP/1.1", "Host: here", "Upgrade: websocket", "Connection: Upgrade")
    more = (f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, *more, "", ""]).encode()


async def talk_garbage(token: str, urls: Sequence[str], rng: random.Random) -> None:
    """Clients that say what nobody understands, or ask for what cannot be, and leave without a word."""
    while True:
        url = rng.choice(urls).replace("http", "ws", 1)
        cursor = rng.choice(("now", "0", "x", "nowhere:7", "99999999", "-1"))
        with contextlib.suppress(OSError, WebSocketException, TimeoutError):
            headers = {"Authorization": f"Bearer {rng.choice((token, 'nonsense'))}"}
            async with connect(f"{url}/ws?since={cursor}", additional_headers=headers, open_timeout=3) as socket:
                try:
                    for _ in range(rng.randint(1, 5)):
                        await socket.send(rng.choice(_GARBAGE).decode("latin-1"))
                    await pause(rng.uniform(0, 1))
                finally:
                    socket.transport.abort()
        await pause(rng.uniform(0.2, 1))
