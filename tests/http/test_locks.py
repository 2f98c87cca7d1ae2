"""Requests against other sessions that hold what they need, or delete it: told soon to come again, never half done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from litestar import Litestar
from msgspec.structs import replace

from conftest import Connect
from helpers.http import assert_problem, request, running
from helpers.rows import Db, add_recipients, call_one, refused, stored, value
from helpers.wait import until_async
from notify.config import Settings
from notify.http.app import create_app

_PATH = "/api/notifications/schedule/"


@pytest.fixture
async def posted() -> AsyncIterator[list[asyncio.Task[httpx.Response]]]:
    """Requests under way; whatever a test left waiting is ended."""
    tasks: list[asyncio.Task[httpx.Response]] = []
    yield tasks
    for task in tasks:
        task.cancel()


async def _waits(db: Db, statement: str) -> None:
    """Until a session of the API waits for a lock in this statement."""

    async def look() -> bool:
        found: int = value(
            db,
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            " and application_name = 'notify-api' and position(%s in query) > 0",
            statement,
        )
        return found > 0

    await until_async(look, what=f"waiting in {statement}")


@pytest.mark.parametrize(("setting", "in_force"), [(5.0, "1s"), (0.0, "1s"), (0.05, "50ms")])
async def test_requests_wait_a_second_for_a_lock_at_most(settings: Settings, setting: float, in_force: str) -> None:
    async with running(create_app(replace(settings, lock_timeout=setting))) as app:
        assert await _shown(app) == in_force


async def _shown(app: Litestar) -> Any:
    async with app.state.services.pool.connection() as connection:
        (found,) = await (await connection.execute("show lock_timeout")).fetchone()
        return found


async def test_a_locked_row_is_answered_soon(api: httpx.AsyncClient, people: list[str], holder: Db) -> None:
    id, other = (await api.post(_PATH, json=request(recipients=[1, 2]))).json()["notification_ids"]
    holder.execute("select from notify.notification where id = %s for update", (id,))
    calls = [
        api.delete(f"/api/notifications/{id}/cancel_scheduled/"),
        api.patch(f"/api/notifications/{id}", json={"scheduled_at": "2030-01-01T00:00:00Z"}),
        api.delete("/api/recipients/1"),
    ]
    started = time.monotonic()
    for answer in await asyncio.gather(*calls):
        assert_problem(answer, 503, "busy")
        assert answer.headers["retry-after"] == "1"
    assert time.monotonic() - started < 10
    assert (await api.delete(f"/api/notifications/{other}/cancel_scheduled/")).status_code == 200
    holder.rollback()
    assert (await api.delete(f"/api/notifications/{id}/cancel_scheduled/")).status_code == 200


async def test_an_object_is_not_deleted_before_it_is_scheduled_for(
    api: httpx.AsyncClient, people: list[str], db: Db, holder: Db, posted: list[asyncio.Task[httpx.Response]]
) -> None:
    holder.execute("lock table notify.channel in access exclusive mode")
    body = request(recipients=[{"id": "ada"}], channels=["inbox", "inbox"])
    posted.append(asyncio.create_task(api.post(_PATH, json=body)))
    await _waits(db, "notify.schedule")
    db.execute("set lock_timeout to '30ms'")
    with refused("55P03"):
        call_one(db, "delete_recipient", id="ada")
    holder.rollback()
    assert (await posted[0]).json()["skipped"] == []
    assert stored(db) == (1, 1, 0)


async def test_an_object_that_is_deleted_meanwhile_is_made_again(
    api: httpx.AsyncClient, people: list[str], db: Db, holder: Db, posted: list[asyncio.Task[httpx.Response]]
) -> None:
    holder.execute("select from notify.mailbox where recipient = 'ada' for update")
    body = request(recipients=[{"id": "ada"}, 1], unknown_recipients="reject")
    posted.append(asyncio.create_task(api.post(_PATH, json=body)))
    await _waits(db, "notify.hold_mailboxes")
    assert call_one(holder, "delete_recipient", id="ada") == {"delete_recipient": True}
    holder.commit()
    answer = await posted[0]
    assert answer.status_code == 201, answer.text
    assert [placed["recipient"] for placed in answer.json()["notifications"]] == ["ada", "1"]


async def test_one_created_and_deleted_by_others_meanwhile_is_worth_repeating(
    api: httpx.AsyncClient,
    people: list[str],
    db: Db,
    holder: Db,
    connect: Connect,
    posted: list[asyncio.Task[httpx.Response]],
) -> None:
    """Unknown when the request looked, there when it went to create it, gone when it wrote the notification."""
    later = connect(autocommit=False, name="later")
    later.execute("lock table notify.batch in share mode")
    holder.execute("select from notify.mailbox where recipient = 'ada' for update")
    body = request(recipients=["ada", "new"], unknown_recipients="create")
    posted.append(asyncio.create_task(api.post(_PATH, json=body)))
    await _waits(db, "notify.schedule")
    add_recipients(db, "new")
    holder.rollback()
    await _waits_for_table(db, "batch")
    db.execute("delete from notify.mailbox where recipient = 'new'")
    db.execute("delete from notify.recipient where id = 'new'")
    later.rollback()
    answer = await posted[0]
    assert_problem(answer, 503, "busy")
    assert stored(db) == (0, 0, 0)
    assert (await api.post(_PATH, json=body)).json()["count"] == 2


async def _waits_for_table(db: Db, table: str) -> None:
    async def look() -> bool:
        found: int = value(
            db,
            "select count(*) from pg_locks where not granted and relation = ('notify.' || %s)::regclass",
            table,
        )
        return found > 0

    await until_async(look, what=f"waiting for {table}")
