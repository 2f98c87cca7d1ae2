"""A worker in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from notify.config import Settings
from notify.worker import Worker


@asynccontextmanager
async def working(settings: Settings, **changes: Any) -> AsyncIterator[Worker]:
    """Works until the block ends, on the database of `settings`."""
    worker = Worker(Settings(database_url=settings.database_url, **changes))
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
