"""What tests of the HTTP API share: a good request, and what a problem must look like."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from litestar import Litestar

ADMIN_KEY = "an-admin-key-for-tests"

Make = Callable[..., httpx.AsyncClient]


@contextlib.asynccontextmanager
async def running(app: Litestar) -> AsyncIterator[Litestar]:
    """The application, started. In a task of its own, as fixtures are set up and torn down in different ones."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    task = asyncio.create_task(live())
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if started.is_set():
            yield app
    finally:
        stop.set()
        waiting.cancel()
        await task


def later(**delta: float) -> str:
    """A time from now, an hour by default, as RFC 3339."""
    at = datetime.now(UTC) + timedelta(**(delta or {"hours": 1}))
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def request(**changes: Any) -> dict[str, Any]:
    """A schedule request that is accepted, with changes; a change to ... takes the field away."""
    body = {"recipients": ["ada"], "title": "Coffee", "message": "It is ready", "scheduled_at": later()}
    return {name: value for name, value in (body | changes).items() if value is not ...}


def nested(depth: int) -> Any:
    """An object so many levels deep."""
    data: Any = {}
    for _ in range(depth - 1):
        data = {"a": data}
    return data


def assert_problem(answer: httpx.Response, status: int, slug: str = "", field: str | None = None) -> dict[str, Any]:
    """The answer is problem+json of this status; its kind and field, where given. Returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"].startswith("urn:notify:problem:")
    if slug:
        assert problem["type"] == f"urn:notify:problem:{slug}", problem
    if field is not None:
        assert problem.get("field") == field, problem
    return problem


async def pages_of(
    api: httpx.AsyncClient, path: str, limit: int = 3, *, full: bool = True, **filters: Any
) -> list[dict[str, Any]]:
    """All items of a list, read page by page; `full`: only the last page may be short."""
    found: list[dict[str, Any]] = []
    position: dict[str, str] = {}
    while True:
        answer = await api.get(path, params=filters | position | {"limit": limit})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) == limit or not full or page["next_cursor"] is None
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        position = {"cursor": page["next_cursor"]}
