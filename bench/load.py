"""A load generator for HTTP: a process of its own, so lean that the server is what is measured.

`load(Target(…))` starts it (`python -m bench.load`, a Target as JSON on stdin, a Load on stdout). Each connection is
kept alive and has one request under way. Connections are opened one after another, as processes that share a listening
socket would otherwise get very unequal parts of them.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from bench.report import percentile

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_OPEN_SECONDS = 1.0
# Beyond the time it should take, the server is taken for stuck.
_GRACE_SECONDS = 30.0


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of whom. `body` and `headers` may have `%(number)012d`, which counts the requests, and
    `%(recipient)05d`, which goes round `recipients`; their width is fixed, as the length is told beforehand."""

    url: str
    body: str
    headers: dict[str, str]
    connections: int
    seconds: float
    warm_up: float = 2.0
    recipients: int = 10_000
    status: int = 201


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it after the warm-up; latencies in milliseconds."""

    requests: int
    answered: int
    """With the warm-up."""
    per_second: float
    p50: float
    p99: float


def load(target: Target) -> Load:
    """Run it in a process of its own. Raises RuntimeError on any status but the expected one."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=msgspec.json.encode(target),
        capture_output=True,
        timeout=target.warm_up + target.seconds + _GRACE_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"the load on {target.url} failed: {done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Load)


class _Run:
    """Counts and times; `finished` is when the time is over, or fails with the first wrong answer."""

    def __init__(self, target: Target) -> None:
        self.status = str(target.status).encode()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.starts = time.perf_counter() + target.warm_up
        self.ends = self.starts + target.seconds
        self.latencies: list[float] = []
        self.number = 0
        self.answered = 0
        self.open = 0
        self._recipients = target.recipients
        self._template = _template(target)

    def next_request(self) -> bytes:
        self.number += 1
        return self._template % {b"number": self.number, b"recipient": self.number % self._recipients}

    def took(self, sent: float, now: float) -> None:
        self.answered += 1
        if self.starts <= now < self.ends:
            self.latencies.append(now - sent)

    def failed(self, reason: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(RuntimeError(reason))

    def closed(self) -> None:
        """One connection less; without any it is over."""
        self.open -= 1
        if not self.open and not self.finished.done():
            self.finished.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class
        self._run.open += 1
        self._send(time.perf_counter())

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        if not _is_whole(received):
            self._received = received
            return
        self._received = b""
        if received[9:12] != self._run.status:
            self._run.failed(received[:1000].decode(errors="replace"))
            return
        now = time.perf_counter()
        self._run.took(self._sent, now)
        if now < self._run.ends:
            self._send(now)
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if time.perf_counter() < self._run.ends:
            self._run.failed(f"the server closed a connection: {error}")
        else:
            self._run.closed()

    def _send(self, now: float) -> None:
        assert self._transport is not None
        self._sent = now
        self._transport.write(self._run.next_request())


def _is_whole(received: bytes) -> bool:
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = _LENGTH.search(received, 0, head + 2)
    if length is None:
        raise RuntimeError(f"an answer without a length: {received[:500]!r}")
    return len(received) >= head + 4 + int(length[1])


def _template(target: Target) -> bytes:
    """The request with its placeholders, and the length that its body has once they are filled."""
    parts = urlsplit(target.url)
    length = len((target.body % {"number": 0, "recipient": 0}).encode())
    headers = {"Host": parts.netloc, "Content-Type": "application/json", "Content-Length": str(length)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | target.headers).items())
    text = f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n{target.body}"
    # Of bytes, so that a request costs one formatting and no encoding.
    return text.encode()


async def _measure(target: Target) -> Load:
    parts = urlsplit(target.url)
    assert parts.hostname is not None
    assert parts.port is not None
    loop = asyncio.get_running_loop()
    run = _Run(target)

    def broken(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        run.failed(repr(context))

    loop.set_exception_handler(broken)
    for _ in range(target.connections):
        await loop.create_connection(lambda: _Connection(run), parts.hostname, parts.port)
        await asyncio.sleep(min(_OPEN_SECONDS, target.warm_up / 2) / target.connections)
    await run.finished
    took = [seconds * 1000 for seconds in run.latencies]
    return Load(
        requests=len(took),
        answered=run.answered,
        per_second=len(took) / target.seconds,
        p50=percentile(took, 50),
        p99=percentile(took, 99),
    )


def main() -> None:
    """The process: a Target on stdin, a Load on stdout."""
    import uvloop  # noqa: PLC0415 - only the generator's own process needs it

    target = msgspec.json.decode(sys.stdin.buffer.read(), type=Target)
    found = uvloop.run(_measure(target))
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
