"""A TCP proxy that misbehaves when told to: `with Proxy(host, port) as link: connect to 127.0.0.1:link.port`.

It runs in a thread with an event loop of its own, so that sync and async tests use it alike. The operating system still
acknowledges what a frozen link receives: keepalives and TCP timeouts of either end see nothing wrong with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
import threading
import warnings
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

_CHUNK_BYTES = 65_536
# Chunks on their way in one direction of one connection; beyond, the sender is not read any more.
_CHUNKS = 16
_LAST_ROUNDS = 5
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """One link to an upstream, on a port of its own that stays the same for its whole life."""

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._connections: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        # Holds the port while connections are refused; never listens itself.
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self.frozen = False
        self.delay_seconds = 0.0
        self._forwarded = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._holder.close()
        # A connection that is reset while it is being made may leave a socket to the collector, which is this proxy's
        # business and not the next test's.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    @property
    def open(self) -> int:
        """Connections that are open now, silent ones too."""
        return len(self._connections)

    @property
    def forwarded(self) -> int:
        """Bytes forwarded so far, both directions together."""
        return self._forwarded

    def freeze(self) -> None:
        """Forward nothing in either direction; new connections are accepted and hang."""
        self._do(lambda: self._set_frozen(True))

    def thaw(self) -> None:
        """Go on where freeze() stopped; nothing that came meanwhile is lost."""
        self._do(lambda: self._set_frozen(False))

    def cut(self) -> None:
        """Reset all connections that are open now, also silent ones."""
        self._do(lambda: [connection.reset() for connection in self._connections])

    def half_open(self) -> None:
        """Connections that are open now stay open and silent for ever (until cut); new ones work."""
        self._do(self._silence)

    def delay(self, seconds: float) -> None:
        """From now on each chunk arrives so much later, in order; 0 ends it."""
        self._do(lambda: setattr(self, "delay_seconds", seconds))

    def refuse(self) -> None:
        """Refuse new connections; open ones go on."""
        self._do(self._stop_listening)

    def accept(self) -> None:
        """Accept new connections again."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def heal(self) -> None:
        """As new: nothing frozen, delayed or refused, and silent connections reset."""
        self.delay(0)
        self.thaw()
        self._do(lambda: [connection.reset() for connection in self._connections if connection.silent])
        self.accept()

    def _do(self, change: Callable[[], object]) -> None:
        """Run it in the loop's thread, and wait until it is done."""

        async def run() -> None:
            change()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _set_frozen(self, frozen: bool) -> None:
        self.frozen = frozen
        for connection in self._connections:
            connection.look()

    def _silence(self) -> None:
        for connection in self._connections:
            connection.silent = True
            connection.look()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, sock=_bound(self.port), backlog=512)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _close(self) -> None:
        self._stop_listening()
        # What was accepted a moment ago begins, so that it can end; transports leave their sockets in later rounds.
        for _ in range(_LAST_ROUNDS):
            tasks = [connection.reset() for connection in self._connections]
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await connection.run(*self._upstream)
        finally:
            connection.abort()
            self._connections.discard(connection)

    def count(self, size: int) -> None:
        """So many bytes were forwarded."""
        self._forwarded += size


class _Connection:
    """One accepted connection and its other half upstream."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._proxy, self._reader, self._task = proxy, reader, task
        self._writers = [writer]
        self._flows = asyncio.Event()
        self.silent = False
        self.look()

    def look(self) -> None:
        """Flow or stand still, as is to be now."""
        if self.silent or self._proxy.frozen:
            self._flows.clear()
        else:
            self._flows.set()

    def reset(self) -> asyncio.Task[None]:
        """Both ends see a reset. The task ends soon."""
        self.abort()
        self._task.cancel()
        return self._task

    def abort(self) -> None:
        for writer in self._writers:
            if (sock := writer.get_extra_info("socket")) is not None and not writer.transport.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()

    async def run(self, host: str, port: int) -> None:
        """Forward until both ends have said goodbye. Raises OSError when one of them is lost."""
        await self._flows.wait()
        reader, writer = await asyncio.open_connection(host, port)
        self._writers.append(writer)
        await _all(self._forward(self._reader, writer), self._forward(reader, self._writers[0]))
        for writer in self._writers:
            writer.close()
            await writer.wait_closed()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS)
        await _all(self._take(reader, chunks), self._give(chunks, writer))

    async def _take(self, reader: asyncio.StreamReader, chunks: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop, chunk = asyncio.get_running_loop(), b"-"
        while chunk:
            chunk = await reader.read(_CHUNK_BYTES)
            await chunks.put((loop.time() + self._proxy.delay_seconds, chunk))

    async def _give(self, chunks: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            at, chunk = await chunks.get()
            if (late := at - loop.time()) > 0:
                await asyncio.sleep(late)
            await self._flows.wait()
            if not chunk:
                writer.write_eof()
                return
            # Counted first: who has received it sees it counted.
            self._proxy.count(len(chunk))
            writer.write(chunk)
            await writer.drain()


async def _all(*works: Coroutine[Any, Any, None]) -> None:
    """Run these together to their ends; when one fails, the others are ended and its error is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _bound(port: int) -> socket.socket:
    """A socket on this port, which several may have as long as only one listens."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock
