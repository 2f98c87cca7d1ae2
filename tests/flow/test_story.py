"""The whole story over real HTTP and a real websocket: POST, and it arrives; at its time; never, once cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from helpers.http import ADMIN_KEY
from helpers.rows import Db, mailbox
from helpers.server import serving
from helpers.wait import until_async
from notify.config import Settings
from notify.worker import Worker

_PATIENCE = 10.0


@pytest.fixture
def settings(dsn: str) -> Settings:
    return Settings(database_url=dsn, api_key=ADMIN_KEY)


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with serving(settings) as url:
        yield url


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    running = Worker(settings)
    task = asyncio.create_task(running.run())
    yield running
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def api(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {ADMIN_KEY}"}) as client:
        yield client


@asynccontextmanager
async def _socket(url: str, token: str, since: str = "acked") -> AsyncIterator[tuple[ClientConnection, dict[str, Any]]]:
    """A websocket of the token's recipient, and its hello."""
    address = f"{url.replace('http', 'ws')}/ws?since={since}"
    async with connect(address, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        hello = await _frame(socket)
        assert hello["type"] == "hello"
        yield socket, hello


async def _frame(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(_PATIENCE):
        frame: dict[str, Any] = json.loads(await socket.recv())
        return frame


async def _notification(socket: ClientConnection) -> tuple[int, dict[str, Any]]:
    """The next frame, which must be a notification: its seq and content."""
    frame = await _frame(socket)
    assert frame["type"] == "notification", frame
    return frame["seq"], frame["notification"]


async def _post(api: httpx.AsyncClient, title: str, at: datetime | None = None) -> int:
    """Schedule one for ada; its id."""
    body = {"recipients": ["ada"], "title": title, "message": "M", "scheduled_at": at and at.isoformat()}
    body["if_past"] = "send"  # should this machine have stalled since
    answer = await api.post("/api/notifications/schedule/", json=body)
    assert answer.status_code == 201, answer.text
    (id,) = answer.json()["notification_ids"]
    return int(id)


async def _status(api: httpx.AsyncClient, id: int) -> dict[str, Any]:
    status: dict[str, Any] = (await api.get(f"/api/notifications/{id}/schedule_status/")).json()
    return status


@pytest.mark.usefixtures("worker")
async def test_story(api: httpx.AsyncClient, url: str, db: Db) -> None:
    assert (await api.put("/api/recipients/ada", json={"locale": "en"})).status_code == 201
    token = (await api.post("/api/recipients/ada/tokens")).json()["token"]

    async with _socket(url, token) as (socket, hello):
        assert (hello["recipient"], hello["last_seq"], hello["unread"]) == ("ada", 0, 0)
        now = await _post(api, "now")
        seq, shown = await _notification(socket)
        assert (seq, shown["id"], shown["title"], shown["recipient"]) == (1, now, "now", "ada")

        never = datetime.now(UTC) + timedelta(milliseconds=700)
        gone = await _post(api, "cancelled", never)
        cancelled = await api.delete(f"/api/notifications/{gone}/cancel_scheduled/")
        assert cancelled.json() == {"message": "Notification cancelled successfully", "notification_id": gone}
        due = datetime.now(UTC) + timedelta(milliseconds=300)
        soon = await _post(api, "soon", due)
        marker = await _post(api, "after what was cancelled", never + timedelta(milliseconds=50))

        seq, shown = await _notification(socket)
        assert datetime.now(UTC) >= due
        assert (seq, shown["id"]) == (2, soon)
        assert due <= datetime.fromisoformat(shown["sent_at"]) < due + timedelta(seconds=5)
        seq, shown = await _notification(socket)
        assert datetime.now(UTC) > never
        assert (seq, shown["id"]) == (3, marker)

        await socket.send(json.dumps({"type": "ack", "seq": 3}))

    await until_async(lambda: _acked(db, 3), what="acknowledged")
    away = await _post(api, "while away")
    async with _socket(url, token, since=f"{hello['epoch']}:2") as (socket, again):
        assert again["epoch"] == hello["epoch"]
        assert [(await _notification(socket))[1]["id"] for _ in range(2)] == [marker, away]
    async with _socket(url, token) as (socket, again):
        assert (again["last_seq"], again["unread"]) == (4, 4)
        assert (await _notification(socket))[1]["id"] == away

    headers = {"Authorization": f"Bearer {token}"}
    inbox = (await api.get("/api/inbox", headers=headers)).json()
    assert [item["notification"]["id"] for item in inbox["items"]] == [now, soon, marker, away]
    read = await api.post("/api/inbox/read", json={"up_to_seq": 3}, headers=headers)
    assert read.json() == {"marked": 3, "unread": 1, "last_seq": 4}

    assert [(await _status(api, id))["scheduled_status"] for id in (now, soon, gone, marker, away)] == [
        *("sent", "sent", "cancelled", "sent", "sent")
    ]
    assert (await _status(api, soon))["is_sent"] is True


async def _acked(db: Db, seq: int) -> bool:
    return mailbox(db, "ada")[2] == seq
