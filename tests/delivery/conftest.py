"""The outside part of a worker over the test's database, with channels that are scripted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from helpers.outside import Pigeons, add_reachable
from helpers.rows import Db
from notify.channels.protocol import Channel
from notify.config import Settings
from notify.outside import Outside
from notify.postgres.pool import open_pool

Serve = Callable[..., AbstractAsyncContextManager[Outside]]


@pytest.fixture
def settings(dsn: str) -> Settings:
    return Settings(database_url=dsn, pool_max=6)


@pytest.fixture
def pigeons() -> Pigeons:
    return Pigeons()


@contextlib.asynccontextmanager
async def serving(settings: Settings, *channels: Channel) -> AsyncIterator[Outside]:
    """Serve channels while the block lasts; they are known to the database once it begins."""
    pool = await open_pool(settings, name="outside")
    outside = Outside(settings, lambda _: list(channels))
    running = asyncio.create_task(outside.run(pool))
    try:
        async with asyncio.timeout(10):
            await outside.ready.wait()
        yield outside
    finally:
        running.cancel()
        ended, _ = await asyncio.wait({running}, timeout=30)
        assert ended, "told to stop, it goes on"
        await pool.close()


@pytest.fixture
def serve(settings: Settings) -> Serve:
    """As `serving`, over the test's database, with some settings changed."""
    return lambda *channels, **changes: serving(msgspec.structs.replace(settings, **changes), *channels)


@pytest.fixture(autouse=True)
def people(db: Db) -> None:
    add_reachable(db, "ada", "bob")
