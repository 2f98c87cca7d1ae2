"""A gateway on a real server: uvicorn in the test's loop, over the test's database."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest
import uvicorn
from litestar import Litestar
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from helpers.wait import until_async
from notify.access import new_key, new_token
from notify.config import Settings
from notify.gatekeeper import Gatekeeper
from notify.gateway import Gateway, websocket_routes
from notify.postgres.pool import open_pool
from notify.serve import server_config

Db = psycopg.Connection[tuple[Any, ...]]
PATIENCE = 10.0


class Client:
    """A websocket client that reads frames as JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
            return frame

    async def expect(self, kind: str) -> dict[str, Any]:
        frame = await self.next()
        assert frame["type"] == kind, frame
        return frame

    async def seqs(self, count: int) -> list[int]:
        return [(await self.expect("notification"))["seq"] for _ in range(count)]

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def closed(self) -> tuple[int, list[dict[str, Any]]]:
        """The close code, and the frames before it."""
        frames = []
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionClosed):
                while True:
                    frames.append(json.loads(await self.socket.recv()))
        assert self.socket.close_code is not None
        return self.socket.close_code, frames


class Served:
    """A running gateway, and ways to knock at it."""

    def __init__(self, gateway: Gateway, gatekeeper: Gatekeeper, port: int, stack: AsyncExitStack) -> None:
        self.gateway = gateway
        self.gatekeeper = gatekeeper
        self.port = port
        self._stack = stack

    async def token(self, recipient: str, ttl: float = 600) -> str:
        return new_token(await self.gatekeeper.signing_key(), recipient, ttl)[0]

    async def open(
        self,
        query: str = "",
        credential: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        subprotocols: list[str] | None = None,
        path: str = "/ws",
        **options: Any,
    ) -> Client:
        """A socket; without a credential it still has to say one."""
        given = dict(headers or {})
        if credential is not None:
            given["Authorization"] = f"Bearer {credential}"
        offered = None if subprotocols is None else [Subprotocol(name) for name in subprotocols]
        url = f"ws://127.0.0.1:{self.port}{path}?{query}"
        chosen: dict[str, Any] = {"compression": None, **options}
        socket = connect(url, additional_headers=given, subprotocols=offered, **chosen)
        return Client(await self._stack.enter_async_context(socket))

    async def hear(self, recipient: str, since: str | None = None, **options: Any) -> tuple[Client, dict[str, Any]]:
        """A socket of a recipient's own, and its hello."""
        query = "" if since is None else f"since={since}"
        client = await self.open(query, await self.token(recipient), **options)
        return client, await client.expect("hello")

    async def idle(self) -> None:
        """Wait until every connection is live."""

        async def live() -> bool:
            return all(not c.position.behind for c in self.gateway._hub)

        await until_async(live)


@asynccontextmanager
async def serving(settings: Settings, *, working: bool = True) -> AsyncIterator[Served]:
    """`working` false: sockets are served, but no background work runs."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, name="test")
        stack.push_async_callback(pool.close)
        gatekeeper = Gatekeeper(settings, pool)
        gateway = Gateway(settings, pool, gatekeeper)
        port = await _serve(stack, Litestar(websocket_routes(gateway), openapi_config=None), settings)
        if working:
            stack.push_async_callback(_cancel, asyncio.create_task(gateway.run()))

            async def ready() -> bool:
                return gateway.ready

            await until_async(ready)
        stack.push_async_callback(gateway.close)
        clients = await stack.enter_async_context(AsyncExitStack())
        yield Served(gateway, gatekeeper, port, clients)


async def _serve(stack: AsyncExitStack, app: Litestar, settings: Settings) -> int:
    listening = socket.create_server(("127.0.0.1", 0))
    port: int = listening.getsockname()[1]
    config = server_config(app, settings)
    config.lifespan = "off"
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listening]))

    async def stop() -> None:
        server.should_exit = True
        await task

    stack.push_async_callback(stop)

    async def started() -> bool:
        return server.started

    await until_async(started)
    return port


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
def key() -> str:
    """An admin key that the settings fix."""
    return new_key()


@pytest.fixture
def settings(dsn: str, key: str) -> Settings:
    return Settings(database_url=dsn, api_key=key, gateway_poll_seconds=0.2)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve(settings: Settings) -> AsyncIterator[Serve]:
    """Starts gateways with changed settings: `await serve(replay_limit=5)`."""
    async with AsyncExitStack() as stack:

        async def start(*, working: bool = True, **changes: Any) -> Served:
            changed = Settings(**{name: getattr(settings, name) for name in settings.__struct_fields__} | changes)
            return await stack.enter_async_context(serving(changed, working=working))

        yield start


class Sender:
    """Makes notifications and sends them."""

    def __init__(self, db: Db) -> None:
        self.db = db

    def register(self, *recipients: str) -> None:
        for recipient in recipients:
            self.db.execute("select notify.upsert_recipient(%s)", (recipient,))

    def schedule(self, *recipients: str, title: str = "t") -> None:
        self.db.execute("select notify.schedule(%s, %s, 'm')", (list(recipients), title))

    def drain(self, *, signal: bool = True) -> None:
        self.db.execute("select notify.drain(p_signal => %s)", (signal,))

    def send(self, *recipients: str, times: int = 1, signal: bool = True) -> None:
        for _ in range(times):
            self.schedule(*recipients)
        self.drain(signal=signal)

    def value(self, query: str, *parameters: Any) -> Any:
        row = self.db.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row[0]

    def signal_lines(self, recipient: str, after: int = 0) -> list[str]:
        """What the drain would signal of a stream."""
        rows = self.db.execute(
            "select n.recipient, m.generation, n.seq, n.id, n.batch_id,"
            " (extract(epoch from n.sent_at - n.due_at) * 1000000)::bigint,"
            " (extract(epoch from n.sent_at) * 1000000)::bigint"
            " from notify.notification n join notify.mailbox m using (recipient)"
            " where n.recipient = %s and n.seq > %s order by n.seq",
            (recipient, after),
        ).fetchall()
        return ["\t".join(str(value) for value in row) for row in rows]

    def signal(self, *lines: str) -> None:
        """Notify by hand, each line in its own signal, in one transaction; the last field is sent_at."""
        with self.db.transaction():
            for line in lines:
                body, _, sent_at = line.rpartition("\t")
                self.ring(f"sent\t{sent_at}\n{body}")

    def ring(self, payload: str) -> None:
        self.db.execute(
            "select pg_notify((select value from notify.secret where name = 'signal_channel'), %s)", (payload,)
        )


@pytest.fixture
def sender(db: Db) -> Sender:
    return Sender(db)


@pytest.fixture
async def ada(serve: Serve, sender: Sender) -> Served:
    """A gateway, and ada registered."""
    sender.register("ada")
    return await serve()
