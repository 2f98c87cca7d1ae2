"""Connections to endpoints that others chose: kept for the next call, few, and never to where the guard refuses.

An address is judged twice. All that a name leads to is judged when it is looked up, so that one refused address fails
the call, whichever would be tried first. And the very address of each socket is judged as it is made, also where the
URL has an address instead of a name; nothing is connected past that.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from types import TracebackType
from typing import Self
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from notify.channels.guard import Blocked, Network, lookup, refuse

# Below what common servers wait (5 s) before they close a connection that nobody uses.
_KEEP_SECONDS = 4.0
# Of an answer 1 KB is read; what has come beyond waits in a buffer of about this size.
_BUFFER_BYTES = 4_096
_MOST_LOOKUPS = 64
# Open connections for each call that may be under way; beyond, calls open and close one of their own.
_KEPT_PER_CALL = 4


class _Call:
    """What a call learns of its connection, also from the tasks that try several addresses at once."""

    __slots__ = ("fresh", "refused")

    def __init__(self) -> None:
        self.fresh = False
        self.refused: Blocked | None = None


_CALL: ContextVar[_Call | None] = ContextVar("webhook_call", default=None)


class Connections:
    """All connections of the channel; a context manager. `most` is the number of calls at once."""

    def __init__(self, allowed: tuple[Network, ...], most: int, resolver: AbstractResolver | None = None) -> None:
        self._allowed = allowed
        self._most_kept = most * _KEPT_PER_CALL
        self._own: _Lookup | None = None
        if resolver is None:
            resolver = self._own = _Lookup(min(most, _MOST_LOOKUPS))
        self._resolver = _Judging(resolver, allowed)
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._open = 0

    async def __aenter__(self) -> Self:
        # Reads the authorities that this machine trusts.
        tls = await asyncio.to_thread(ssl.create_default_context)
        self._keeping = self._session(tls, keep=True)
        self._closing = self._session(tls, keep=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._keeping.close()
        await self._closing.close()
        if self._own is not None:
            await self._own.close()

    async def post(self, url: URL, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        """The answer, of which the head has come; leave it by `async with`. Raises Blocked, and what aiohttp does."""
        call = _Call()
        token = _CALL.set(call)
        session = self._keeping if self._open < self._most_kept else self._closing
        try:
            response = await self._try(session, url, headers, body, call)
        except aiohttp.ClientError as error:
            # An endpoint may close a connection in the moment when it is used again. Then it has not refused anything,
            # and would wait minutes for the next attempt; should it have taken the call all the same, the id tells it.
            if call.fresh or not _broke_off(error):
                raise
            response = await self._try(self._closing, url, headers, body, call)
        finally:
            _CALL.reset(token)
        return response

    async def _try(
        self, session: aiohttp.ClientSession, url: URL, headers: Mapping[str, str], body: bytes, call: _Call
    ) -> aiohttp.ClientResponse:
        try:
            response = await session.post(url, data=body, headers=headers, allow_redirects=False)
        except Exception:
            if call.refused is not None:
                raise call.refused from None
            raise
        if call.refused is not None:
            response.close()
            raise call.refused
        return response

    def _session(self, tls: ssl.SSLContext, *, keep: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            socket_factory=self._socket,
            ssl=tls,
            limit=0,
            keepalive_timeout=_KEEP_SECONDS if keep else None,
            force_close=not keep,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_BUFFER_BYTES,
        )

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, where = info
        call = _CALL.get()
        try:
            refuse(str(where[0]), self._allowed)
        except Blocked as error:
            if call is not None:
                call.refused = error
            raise
        if call is not None:
            call.fresh = True
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        self._open = self._count()
        return made

    def _count(self) -> int:
        """How many are open. Looked at rather than counted: loops close some, and detach others."""
        gone = [one for one in self._sockets if one.fileno() == -1]
        self._sockets.difference_update(gone)
        return len(self._sockets)


def _broke_off(error: aiohttp.ClientError) -> bool:
    return isinstance(error, aiohttp.ServerDisconnectedError) or (
        isinstance(error, aiohttp.ClientOSError) and not isinstance(error, aiohttp.ClientConnectorError)
    )


class _Judging(AbstractResolver):
    """A resolver whose answer is refused if any part of it is."""

    def __init__(self, inner: AbstractResolver, allowed: tuple[Network, ...]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for one in found:
            refuse(one["host"], self._allowed)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return found

    async def close(self) -> None:
        """The inner one belongs to whoever made it."""


class _Lookup(AbstractResolver):
    """The system's resolver in threads of its own.

    A lookup that hangs cannot be ended. In the loop's own threads a few names without a server would hold up all
    others, and the connections to the database with them.
    """

    def __init__(self, most: int) -> None:
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="webhook-lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, lookup, host, port, socket.AI_ADDRCONFIG)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
