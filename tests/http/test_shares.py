"""A busy caller does not take the database from the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from litestar import Litestar
from msgspec.structs import replace

from helpers.http import assert_problem, request, running
from helpers.rows import Db, value
from helpers.wait import until_async
from notify.config import Settings
from notify.errors import TooManyRequests
from notify.http.app import create_app
from notify.http.shares import Shares

_WAITING = (
    "select count(*) from pg_stat_activity"
    " where datname = current_database() and application_name = 'notify-api' and wait_event_type = 'Lock'"
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Of four connections one caller has two."""
    return replace(settings, pool_max=4)


async def test_one_keys_waiting_requests_leave_connections_to_another_key(
    app: Litestar,
    api: httpx.AsyncClient,
    client_with: Callable[..., httpx.AsyncClient],
    key_of: Callable[..., str],
    people: list[str],
    db: Db,
    holder: Db,
) -> None:
    (id,) = (await api.post("/api/notifications/schedule/", json=request())).json()["notification_ids"]
    busy, other = client_with(key_of("schedule")), client_with(key_of("schedule", "read"))
    holder.execute("select from notify.notification where id = %s for update", (id,))
    path = f"/api/notifications/{id}/cancel_scheduled/"
    cancelling = [asyncio.create_task(busy.delete(path)) for _ in range(20)]

    async def half_wait() -> bool:
        return bool(value(db, _WAITING) == 2)

    await until_async(half_wait, what="one key's share waits for the lock")
    assert (await other.get(f"/api/notifications/{id}")).status_code == 200
    assert (await other.post("/api/notifications/schedule/", json=request())).status_code == 201
    assert value(db, _WAITING) <= 2
    assert not all(task.done() for task in cancelling)
    holder.commit()
    answers = await asyncio.gather(*cancelling)
    assert {answer.status_code for answer in answers} <= {200, 409, 503}
    assert app.state.services.shares._shares == {}


async def test_a_callers_own_line_is_bounded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, dsn: str, db: Db
) -> None:
    monkeypatch.setattr("notify.http.shares._WAITING_PER_PLACE", 1)
    async with running(create_app(settings)) as app:
        shares: Shares = app.state.services.shares
        inside, leave = [asyncio.Event() for _ in range(4)], asyncio.Event()

        async def hold(event: asyncio.Event) -> None:
            async with shares.connection("key:1"):
                event.set()
                await leave.wait()

        held = [asyncio.create_task(hold(event)) for event in inside]
        await asyncio.gather(inside[0].wait(), inside[1].wait())
        with pytest.raises(TooManyRequests, match="waiting already"):
            async with shares.connection("key:1"):
                pass
        async with shares.connection("key:2") as connection:
            await connection.execute("select 1")
        assert [event.is_set() for event in inside] == [True, True, False, False]
        held[3].cancel()
        leave.set()
        await asyncio.wait(held)
        assert inside[2].is_set()
        assert not inside[3].is_set()
        assert shares._shares == {}


async def test_a_callers_own_line_is_not_stood_in_for_ever(
    app: Litestar, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: Shares = app.state.services.shares
    monkeypatch.setattr(shares, "_patience", 0.05)
    async with shares.connection("key:environment"), shares.connection("key:environment"):
        answer = await api.get("/api/notifications")
    assert_problem(answer, 429, "too-many-requests")
    assert answer.headers["retry-after"] == "1"
    assert (await api.get("/api/notifications")).status_code == 200


async def test_a_pool_of_one_serves_everybody(settings: Settings) -> None:
    async with running(create_app(replace(settings, pool_max=1))) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {settings.api_key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://notify.test", headers=headers) as client:
            answers = await asyncio.gather(*(client.get("/api/notifications") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
