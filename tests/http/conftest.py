"""The API in this process over a real database, and clients with every kind of credential."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from helpers.http import ADMIN_KEY, Make, running
from notify.access import key_hash, new_key, shown_prefix
from notify.config import Settings
from notify.http.app import create_app


@pytest.fixture
def settings(dsn: str) -> Settings:
    return Settings(database_url=dsn, api_key=ADMIN_KEY, pool_max=4)


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Litestar]:
    """The application, started."""
    async with running(create_app(settings)) as made:
        yield made


@pytest.fixture
async def client_with(app: Litestar) -> AsyncIterator[Make]:
    """Makes a client: `client_with(credential, scheme="Bearer")`; None: without any."""
    async with contextlib.AsyncExitStack() as stack:
        # raise_app_exceptions stays on: what gets past the exception handlers fails the test.
        transport = httpx.ASGITransport(cast(Any, app))

        def make(credential: str | None = None, scheme: str = "Bearer") -> httpx.AsyncClient:
            headers = {} if credential is None else {"Authorization": f"{scheme} {credential}"}
            client = httpx.AsyncClient(transport=transport, base_url="http://notify.test", headers=headers)
            stack.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture
def api(client_with: Make) -> httpx.AsyncClient:
    """A client with the admin key."""
    return client_with(ADMIN_KEY)


@pytest.fixture
def key_of(db: Any) -> Callable[..., str]:
    """Makes an API key in the database: `key_of("read", expires_in="1 hour", revoked=False)`."""

    def make(*scopes: str, expires_in: str | None = None, revoked: bool = False) -> str:
        key = new_key()
        db.execute(
            "insert into notify.api_key (name, prefix, hash, scopes, created_at, expires_at, revoked_at) "
            "values ('test', %s, %s, %s, notify.now(), notify.now() + %s::interval, "
            "case when %s then notify.now() end)",
            (shown_prefix(key), key_hash(key), list(scopes), expires_in, revoked),
        )
        return key

    return make


@pytest.fixture
async def people(api: httpx.AsyncClient) -> list[str]:
    """Three registered recipients: 1, 2 and ada."""
    answer = await api.post("/api/recipients", json={"recipients": [{"id": id} for id in (1, 2, "ada")]})
    assert answer.status_code == 200, answer.text
    return ["1", "2", "ada"]
