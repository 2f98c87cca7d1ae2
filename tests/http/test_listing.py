"""Pages: every notification once, in a stated order, whatever is filtered."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import httpx
import pytest

from helpers.http import assert_problem, pages_of, request
from helpers.rows import Db, call_one
from notify.http import listing

_PATH = "/api/notifications"


pages = partial(pages_of, path=_PATH)


@pytest.fixture
async def many(api: httpx.AsyncClient, people: list[str], db: Db) -> list[dict[str, Any]]:
    """Eleven batches of three: with types, references, priorities, due times and statuses in turn."""
    for number in range(11):
        body = request(
            recipients=[1, 2, "ada"],
            title=str(number),
            type=("news", "alarm")[number % 2],
            reference=f"r{number % 4}",
            priority=("low", "urgent", "normal")[number % 3],
            scheduled_at=f"2030-01-{(number * 7) % 11 + 1:02}T00:00:00Z",
        )
        answer = await api.post("/api/notifications/schedule/", json=body)
        ids = answer.json()["notification_ids"]
        if number % 4 == 1:
            await api.post(f"/api/notifications/{ids[0]}/send")
            await api.delete(f"/api/notifications/{ids[1]}/cancel_scheduled/")
            call_one(db, "park", id=ids[2], reason="broken")
    return await pages(api, limit=1000)


async def test_empty(api: httpx.AsyncClient) -> None:
    answer = await api.get(_PATH)
    assert answer.json() == {"items": [], "next_cursor": None}
    for status in ("pending", "sent", "failed"):
        assert (await api.get(_PATH, params={"status": status})).json()["items"] == []


async def test_newest_first(many: list[dict[str, Any]], api: httpx.AsyncClient) -> None:
    assert len(many) == 33
    assert [item["id"] for item in many] == sorted((item["id"] for item in many), reverse=True)
    assert await pages(api) == many
    assert await pages(api, limit=11) == many
    one = (await api.get(f"{_PATH}/{many[5]['id']}")).json()
    assert one == many[5]


FILTERS: dict[str, list[str | None]] = {
    "status": ["pending", "sent", "cancelled", "failed", "sending", None],
    "recipient": ["1", "nobody", None],
    "type": ["news", None],
    "reference": ["r1", "other", None],
    "due_before": ["2030-01-06T00:00:00Z", None],
}


@pytest.mark.parametrize("walked", [listing.MOST_WALKED, 1, 8])
async def test_filters(
    many: list[dict[str, Any]], api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, walked: int
) -> None:
    monkeypatch.setattr(listing, "MOST_WALKED", walked)
    full = walked > len(many)
    for values in itertools.product(*FILTERS.values()):
        given = zip(FILTERS, values, strict=True)
        filters: dict[str, Any] = {name: value for name, value in given if value is not None}
        wanted = [item for item in many if _fits(item, filters)]
        if filters.get("status") == "pending":
            wanted.sort(key=lambda item: (item["scheduled_at"], item["id"]))
        assert await pages(api, full=full, **filters) == wanted, filters


def _fits(item: dict[str, Any], filters: dict[str, Any]) -> bool:
    exact = {name: wanted for name, wanted in filters.items() if name != "due_before"}
    due = item["scheduled_at"] < filters.get("due_before", "9999")
    return due and all(item[name] == wanted for name, wanted in exact.items())


async def test_what_is_rare_is_looked_for_piece_by_piece(
    many: list[dict[str, Any]], api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_WALKED", 8)
    for filters in ({"type": "rare"}, {"status": "sending"}, {"type": "rare", "status": "pending"}):
        requests = 0
        position: dict[str, str] = {}
        while True:
            page = (await api.get(_PATH, params=filters | position)).json()
            requests += 1
            assert page["items"] == []
            if page["next_cursor"] is None:
                break
            position = {"cursor": page["next_cursor"]}
        assert requests >= 5


async def test_pages_stand_while_more_comes(many: list[dict[str, Any]], api: httpx.AsyncClient) -> None:
    page = (await api.get(_PATH, params={"limit": 30})).json()
    await api.post("/api/notifications/schedule/", json=request())
    rest = (await api.get(_PATH, params={"limit": 30, "cursor": page["next_cursor"]})).json()
    assert page["items"] + rest["items"] == many
    assert rest["next_cursor"] is None


async def test_cursor_fits_its_list_only(many: list[dict[str, Any]], api: httpx.AsyncClient) -> None:
    by_id = (await api.get(_PATH, params={"limit": 1})).json()["next_cursor"]
    by_due = (await api.get(_PATH, params={"limit": 1, "status": "pending"})).json()["next_cursor"]
    assert_problem(await api.get(_PATH, params={"cursor": by_due}), 400, "invalid-value", "cursor")
    answer = await api.get(_PATH, params={"cursor": by_id, "status": "pending"})
    assert_problem(answer, 400, "invalid-value", "cursor")
