"""The inbox: items and counts of one moment, and marking read."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from helpers.http import Make, assert_problem
from helpers.rows import Db, call_one, drain, mailbox, schedule_ids, value


@pytest.fixture
async def ada(api: httpx.AsyncClient, client_with: Make, people: list[str], db: Db) -> httpx.AsyncClient:
    """A client with ada's token; five notifications are in her stream, a sixth is pending."""
    for number in range(5):
        schedule_ids(db, "ada", "1", title=f"Coffee {number}", data='{"n": 1.10}', reference=f"r{number}")
    drain(db)
    schedule_ids(db, "ada", scheduled_at=value(db, "select notify.now() + interval '1 hour'"))
    return client_with((await api.post("/api/recipients/ada/tokens")).json()["token"])


async def test_page(ada: httpx.AsyncClient, api: httpx.AsyncClient, db: Db) -> None:
    inbox = (await ada.get("/api/inbox")).json()
    assert list(inbox) == ["items", "last_seq", "unread", "epoch"]
    assert (inbox["last_seq"], inbox["unread"]) == (5, 5)
    assert inbox["epoch"] == value(db, "select notify.epoch(generation) from notify.mailbox where recipient = 'ada'")
    assert [item["seq"] for item in inbox["items"]] == [1, 2, 3, 4, 5]
    item = inbox["items"][0]
    assert list(item) == ["seq", "read_at", "notification"]
    shown = (await api.get(f"/api/notifications/{item['notification']['id']}")).json()
    fields = [
        *("id", "recipient", "batch_id", "type", "priority", "title", "message", "data", "reference"),
        *("scheduled_at", "sent_at", "created_at", "expires_at"),
    ]
    assert item["read_at"] is None
    assert item["notification"] == {name: shown[name] for name in fields}
    assert list(item["notification"]) == fields


async def test_going_on(ada: httpx.AsyncClient) -> None:
    page = (await ada.get("/api/inbox", params={"limit": 2})).json()
    assert ([item["seq"] for item in page["items"]], page["last_seq"]) == ([1, 2], 5)
    page = (await ada.get("/api/inbox", params={"after": 2, "limit": 1000})).json()
    assert [item["seq"] for item in page["items"]] == [3, 4, 5]
    for after in (5, 6, 2**63 - 1):
        page = (await ada.get("/api/inbox", params={"after": after})).json()
        assert (page["items"], page["last_seq"], page["unread"]) == ([], 5, 5)


async def test_with_a_key(
    ada: httpx.AsyncClient, api: httpx.AsyncClient, client_with: Make, key_of: Callable[..., str]
) -> None:
    own = (await ada.get("/api/inbox")).content
    for client in (api, client_with(key_of("read"))):
        assert (await client.get("/api/inbox?recipient=ada")).content == own
        assert_problem(await client.get("/api/inbox"), 400, "invalid-value", "recipient")
        assert_problem(await client.get("/api/inbox?recipient=nobody"), 404, "not-found")
    assert_problem(await client_with(key_of("schedule")).get("/api/inbox?recipient=ada"), 403)


async def test_mark_by_ids(ada: httpx.AsyncClient, api: httpx.AsyncClient, db: Db) -> None:
    items = (await ada.get("/api/inbox")).json()["items"]
    ids = [item["notification"]["id"] for item in items[1:3]]
    theirs = (await api.get("/api/inbox?recipient=1")).json()["items"][0]["notification"]["id"]
    given = {"ids": [*ids, *ids, theirs, 999_999]}
    for marked in (2, 0):
        answer = await ada.post("/api/inbox/read", json=given)
        assert answer.json() == {"marked": marked, "unread": 3, "last_seq": 5}
    items = (await ada.get("/api/inbox")).json()["items"]
    assert [item["read_at"] is not None for item in items] == [False, True, True, False, False]
    assert mailbox(db, "1")[:2] == (5, 5)


async def test_mark_up_to(ada: httpx.AsyncClient, api: httpx.AsyncClient, db: Db) -> None:
    assert (await ada.post("/api/inbox/read", json={"up_to_seq": 2})).json()["unread"] == 3
    ids = [item["notification"]["id"] for item in (await ada.get("/api/inbox")).json()["items"]]
    answer = await api.post("/api/inbox/read/?recipient=ada", json={"up_to_seq": 3, "ids": ids[4:]})
    assert answer.json() == {"marked": 2, "unread": 1, "last_seq": 5}
    answer = await ada.post("/api/inbox/read", json={"up_to_seq": 2**63 - 1})
    assert answer.json() == {"marked": 1, "unread": 0, "last_seq": 5}
    schedule_ids(db, "ada")
    drain(db)
    assert (await ada.get("/api/inbox?after=5")).json()["unread"] == 1
    assert (await ada.post("/api/inbox/read", json={"ids": []})).json()["marked"] == 0
    assert_problem(await api.post("/api/inbox/read?recipient=nobody", json={"ids": []}), 404, "not-found")


async def test_after_retention(ada: httpx.AsyncClient, db: Db) -> None:
    call_one(db, "delete_old", p_older_than="0 seconds", p_max=4)
    inbox = (await ada.get("/api/inbox")).json()
    assert inbox["last_seq"] == 5
    assert inbox["unread"] == len(inbox["items"])
