"""Deliveries on outside channels over HTTP: listed, shown, counted, replayed; by a login with its own rights alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from helpers import logins
from helpers.http import ADMIN_KEY, assert_problem, pages_of
from helpers.outside import CHANNEL, add_channel, add_reachable, delivery, fail, lease, record, send
from helpers.rows import Db, column, statuses, value
from notify import control, cursor
from notify.config import Settings

_PATH = "/api/deliveries"


@pytest.fixture
def settings(dsn: str) -> Settings:
    return Settings(database_url=logins.dsn_of(dsn, "notify_api"), api_key=ADMIN_KEY, pool_max=4)


@pytest.fixture(autouse=True)
def reachable(db: Db) -> None:
    for channel in (CHANNEL, "owl"):
        add_channel(db, channel)
        add_reachable(db, "ada", "bob", channel=channel)


pages = partial(pages_of, path=_PATH)


@pytest.fixture
async def many(api: httpx.AsyncClient, db: Db) -> list[dict[str, Any]]:
    """Six batches for two on two channels: sent, failed, to be retried, leased, cancelled, and pending."""
    for number in range(6):
        send(db, "ada", "bob", channels=[CHANNEL, "owl"])
        leased = lease(db)
        kind = ("sent", "failed", "retry")[number % 3]
        if number % 4:
            record(db, leased, kind, code=None if kind == "sent" else f"http-50{number % 2}", detail="no")
    record(db, lease(db, channel="owl", max=4), channel="owl")
    db.execute(
        "update notify.delivery set status = 'cancelled', code = 'opted-out' where status = 'pending' and id % 5 = 0"
    )
    return await pages(api, limit=1000)


async def test_nothing_yet(api: httpx.AsyncClient) -> None:
    assert (await api.get(_PATH)).json() == {"items": [], "next_cursor": None}
    assert (await api.get(f"{_PATH}/counts")).json() == []
    for status in ("pending", "sent", "failed"):
        assert (await api.get(_PATH, params={"status": status})).json()["items"] == []


async def test_one_with_its_attempts(api: httpx.AsyncClient, db: Db) -> None:
    (notification,) = send(db, "ada", type="news")
    record(db, lease(db), "retry", code="http-503", detail="busy", delay=0)
    record(db, lease(db), "failed", code="smtp-550", detail="no such loft")
    stored = delivery(db, notification)
    shown = (await api.get(f"{_PATH}/{stored['id']}")).json()
    history = shown.pop("history")
    assert shown == {
        "id": stored["id"],
        "notification_id": notification,
        "batch_id": value(db, "select max(id) from notify.batch"),
        "recipient": "ada",
        "channel": CHANNEL,
        "status": "failed",
        "due_at": shown["due_at"],
        "attempts": 2,
        "sent_at": None,
        "failed_at": shown["failed_at"],
        "code": "smtp-550",
        "error": "no such loft",
        "held": None,
    }
    assert shown["failed_at"].endswith("Z")
    assert [(one["number"], one["outcome"], one["code"], one["detail"]) for one in history] == [
        (1, "retry", "http-503", "busy"),
        (2, "failed", "smtp-550", "no such loft"),
    ]
    assert all(one["started_at"] < one["finished_at"] for one in history)
    assert (await api.get(_PATH)).json()["items"] == [shown]
    status = (await api.get(f"/api/notifications/{notification}/schedule_status/")).json()
    assert [one["number"] for one in status["deliveries"][0]["history"]] == [1, 2]
    assert_problem(await api.get(f"{_PATH}/{stored['id'] + 1}"), 404, "not-found")


async def test_newest_first(many: list[dict[str, Any]], api: httpx.AsyncClient) -> None:
    assert len(many) == 24
    assert [item["id"] for item in many] == sorted((item["id"] for item in many), reverse=True)
    assert await pages(api) == many
    assert await pages(api, limit=12) == many


FILTERS: dict[str, list[str | None]] = {
    "status": ["pending", "leased", "sent", "failed", "cancelled", None],
    "channel": ["owl", "nobody's", None],
    "code": ["http-501", None],
    "recipient": ["bob", "nobody", None],
    "batch_id": ["first", None],
    "notification_id": ["first", None],
}


@pytest.mark.parametrize("walked", [control.MOST_WALKED, 1, 8])
async def test_filters(
    many: list[dict[str, Any]], api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, walked: int
) -> None:
    monkeypatch.setattr(control, "MOST_WALKED", walked)
    assert {item["status"] for item in many} == set(FILTERS["status"]) - {None}
    for values in itertools.product(*FILTERS.values()):
        given = zip(FILTERS, values, strict=True)
        filters: dict[str, Any] = {
            name: many[10][name] if value == "first" else value for name, value in given if value is not None
        }
        wanted = [item for item in many if all(item[name] == one for name, one in filters.items())]
        assert await pages(api, full=walked > len(many), **filters) == wanted, filters


WRONG: list[tuple[str, str]] = [
    ("status", "done"),
    ("channel", ""),
    ("code", "x" * 65),
    ("recipient", "a\n"),
    ("batch_id", "0"),
    ("batch_id", "x"),
    ("notification_id", str(2**63)),
    ("limit", "1001"),
    ("cursor", "x"),
    ("cursor", cursor.encode(["id", 1])),
    ("cursor", cursor.encode(["delivery", 0])),
    ("type", "news"),
]


async def test_wrong_queries_and_ids(api: httpx.AsyncClient) -> None:
    for name, wrong in WRONG:
        assert_problem(await api.get(_PATH, params={name: wrong}), 400, field=name)
    for id in ("0", "x", "1.5", str(2**63)):
        assert_problem(await api.get(f"{_PATH}/{id}"), 400, "invalid-value", "id")
        assert_problem(await api.post(f"{_PATH}/{id}/replay"), 400, "invalid-value", "id")
        assert_problem(await api.post(f"/api/batches/{id}/replay"), 400, "invalid-value", "id")


async def test_what_is_held_says_by_which_type(api: httpx.AsyncClient, db: Db) -> None:
    assert (await api.patch("/api/types/news", json={"paused": True})).status_code == 200
    send(db, "ada", type="news")
    assert lease(db) == []
    (item,) = (await api.get(_PATH)).json()["items"]
    assert (item["status"], item["held"]) == ("pending", "news")


async def test_counts(api: httpx.AsyncClient, db: Db) -> None:
    send(db, "ada", "bob")
    record(db, lease(db, max=1), "failed", code="http-500")
    found = (await api.get(f"{_PATH}/counts")).json()
    assert sorted(found, key=lambda count: str(count["status"])) == [
        {"channel": CHANNEL, "status": "failed", "code": "http-500", "deliveries": 1},
        {"channel": CHANNEL, "status": "pending", "code": None, "deliveries": 1},
    ]


async def test_a_failed_one_is_replayed(api: httpx.AsyncClient, db: Db) -> None:
    (notification,) = send(db, "ada")
    id = delivery(db, notification)["id"]
    path = f"{_PATH}/{id}/replay"
    assert assert_problem(await api.post(path), 409, "wrong-status")["delivery_status"] == "pending"
    record(db, lease(db), "failed", code="http-500")
    answer = await api.post(path, headers={"Idempotency-Key": "again"})
    assert (answer.status_code, answer.json()["status"], answer.json()["failed_at"]) == (200, "pending", None)
    assert statuses(db, [notification]) == ["sending"]
    again = await api.post(path, headers={"Idempotency-Key": "again"})
    assert (again.json(), again.headers["idempotency-replayed"]) == (answer.json(), "true")
    refused = await api.post(path, headers={"Idempotency-Key": "another"})
    assert assert_problem(refused, 409, "wrong-status")["delivery_status"] == "pending"
    assert "notification_status" not in refused.json()
    assert (await api.post(path, headers={"Idempotency-Key": "another"})).content == refused.content
    record(db, lease(db))
    assert assert_problem(await api.post(path), 409, "wrong-status")["delivery_status"] == "sent"
    assert_problem(await api.post(f"{_PATH}/{id + 1}/replay"), 404, "not-found")


async def test_what_is_to_be_sent_anew_is_not_replayed(api: httpx.AsyncClient, db: Db) -> None:
    (notification,) = fail(db, "x")
    path = f"{_PATH}/{delivery(db, notification)['id']}/replay"
    assert (await api.post(f"/api/notifications/{notification}/retry")).status_code == 200
    problem = assert_problem(await api.post(path), 409, "wrong-status")
    assert (problem["notification_status"], "delivery_status" in problem) == ("pending", False)


@pytest.fixture
def dead(db: Db) -> list[int]:
    """Batches of one whose delivery failed, with the codes a, b, a, b, a."""
    return column(db, "select batch_id from notify.notification where id = any (%s) order by id", fail(db, *"ababa"))


async def replay(api: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await api.post(f"{_PATH}/replay", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_many_are_replayed_by_filters(api: httpx.AsyncClient, dead: list[int], db: Db) -> None:
    now = value(db, "select notify.now()").isoformat()
    assert await replay(api, channel="owl") == {"replayed": 0, "more": False}
    assert await replay(api, failed_from=now) == {"replayed": 0, "more": False}
    assert await replay(api, failed_to=now, code="b", limit=1) == {"replayed": 1, "more": True}
    assert await replay(api, code="b", channel=CHANNEL, limit=2) == {"replayed": 1, "more": False}
    assert await replay(api, batch_id=dead[2]) == {"replayed": 1, "more": False}
    assert await replay(api, all=True) == {"replayed": 2, "more": False}
    assert len(lease(db)) == 5


async def test_replaying_all_has_to_be_said(api: httpx.AsyncClient, dead: list[int]) -> None:
    bodies: list[dict[str, Any]] = [{}, {"all": False}, {"limit": 5}, {"channel": None}]
    for body in bodies:
        assert_problem(await api.post(f"{_PATH}/replay", json=body), 400, "invalid-value", "all")
    wrong: list[tuple[str, Any]] = [
        ("limit", 0),
        ("limit", 100_001),
        ("batch_id", "1"),
        ("channel", ""),
        ("failed_from", "2030-01-01T00:00:00"),
        ("failed_to", "9999-12-31T23:59:59-23:59"),
        ("all", 1),
        ("status", "sent"),
    ]
    for name, given in wrong:
        assert_problem(await api.post(f"{_PATH}/replay", json={"all": True, name: given}), 400, field=name)


async def test_a_batch_is_replayed(api: httpx.AsyncClient, db: Db) -> None:
    send(db, "ada", "bob", channels=[CHANNEL, "owl"])
    batch = value(db, "select max(id) from notify.batch")
    record(db, lease(db), "failed", code="x")
    path = f"/api/batches/{batch}"
    counts = {"pending": 0, "leased": 0, "sent": 0, "failed": 0, "cancelled": 0}
    assert (await api.get(path)).json()["deliveries"] == {
        CHANNEL: counts | {"failed": 2},
        "owl": counts | {"pending": 2},
    }
    assert (await api.post(f"{path}/replay", json={"limit": 1})).json() == {"replayed": 1, "more": True}
    assert (await api.post(f"{path}/replay")).json() == {"replayed": 1, "more": False}
    assert (await api.post(f"{path}/replay")).json() == {"replayed": 0, "more": False}
    assert (await api.get(path)).json()["deliveries"][CHANNEL] == counts | {"pending": 2}
    assert_problem(await api.post(f"/api/batches/{batch + 1}/replay"), 404, "not-found")


async def test_who_may(
    api: httpx.AsyncClient,
    client_with: Callable[..., httpx.AsyncClient],
    key_of: Callable[..., str],
    dead: list[int],
) -> None:
    reader, writer = client_with(key_of("read")), client_with(key_of("schedule"))
    assert len((await reader.get(_PATH)).json()["items"]) == len(dead)
    assert_problem(await reader.post(f"{_PATH}/replay", json={"all": True}), 403, "not-allowed")
    assert_problem(await writer.get(_PATH), 403, "not-allowed")
    assert (await writer.post(f"/api/batches/{dead[0]}/replay")).json() == {"replayed": 1, "more": False}
