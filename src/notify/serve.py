"""Serving HTTP and websockets with uvicorn, in the loop of the process that calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator

import structlog
import uvicorn
from litestar import Litestar

from notify import environment, log
from notify.config import Settings
from notify.errors import NotifyError
from notify.garbage import collect_seldom
from notify.gateway.protocol import Protocol as WebsocketProtocol
from notify.http.app import create_app
from notify.http.protocol import protocol_with

_log = structlog.stdlib.get_logger("notify.serve")

MAX_FRAME_BYTES = 65_536
_GRACEFUL_SECONDS = 3
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 4096


class StartFailed(NotifyError):
    """The server cannot serve: its address is taken, or the application did not start."""


def app() -> Litestar:
    """The application with settings from the environment, for an ASGI server of one's own:
    `uvicorn --factory notify.serve:app`."""
    settings = environment.load()
    log.configure(settings)
    return create_app(settings)


def bind(host: str, port: int) -> list[socket.socket]:
    """Take the address on all families that `host` has; with port 0 a free one, the same for all.

    Nobody can connect before `serve` listens. Raises StartFailed if it is not to be had.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            taken = sockets[0].getsockname()[1] if sockets else port
            sockets.append(_bind(family, kind, protocol, (address[0], taken, *address[2:])))
    except OSError as error:
        for bound in sockets:
            bound.close()
        reason = (error.strerror or str(error)).lower()
        raise StartFailed(f"cannot listen on {host} port {port}: {reason}") from error
    return sockets


def _bind(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


async def serve(
    application: Litestar, sockets: list[socket.socket], ready: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Serve until cancelled, then stop in good order: no new connections, websockets closed with 1012,
    requests under way answered, for a few seconds at most. `ready` is awaited once it accepts.

    Raises StartFailed if the application does not start; the log says why.
    """
    raise_file_limit()
    collect_seldom()
    server = _Server(server_config(application, application.state.settings), ready)
    serving = asyncio.create_task(server.serve(sockets))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


def server_config(application: Litestar, settings: Settings) -> uvicorn.Config:
    """uvicorn as notify needs it: bounded in what it reads, in what it waits for, and without deflate."""
    return uvicorn.Config(
        application,
        http=protocol_with(settings),
        ws=WebsocketProtocol,
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=settings.ws_ping_seconds,
        ws_ping_timeout=settings.ws_pong_seconds,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1"),
    )


def raise_file_limit() -> None:
    """As many sockets as this process may have: often 1,024 is only where it starts, and half a million is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:  # macOS does not allow its own "unlimited"
            _log.warning("file limit not raised", soft=soft, hard=hard, error=str(error))


class _Server(uvicorn.Server):
    """uvicorn, but signals are the process's, a failed start is an error, and the start is told."""

    def __init__(self, settings: uvicorn.Config, ready: Callable[[], Awaitable[None]] | None) -> None:
        super().__init__(settings)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise StartFailed("the API did not start; the log above says why") from error
        except OSError as error:
            await self.lifespan.shutdown()
            raise StartFailed(f"cannot listen: {(error.strerror or str(error)).lower()}") from error
        if self._ready is not None:
            await self._ready()
