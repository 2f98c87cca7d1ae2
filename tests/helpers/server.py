"""The API over real HTTP, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from notify import serve
from notify.config import Settings
from notify.http.app import create_app


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve until the block ends; the URL."""
    sockets = serve.bind("127.0.0.1", 0)
    started = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def ready() -> None:
        started.set()

    async def live() -> None:
        task = asyncio.current_task()
        assert task is not None
        loops.append((asyncio.get_running_loop(), task))
        with contextlib.suppress(asyncio.CancelledError):
            await serve.serve(create_app(settings), sockets, ready)

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="server")
    thread.start()
    try:
        assert started.wait(10)
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        loop, task = loops[0]
        loop.call_soon_threadsafe(task.cancel)
        thread.join(15)
