"""The registry, and tokens."""

from __future__ import annotations

from datetime import datetime

import httpx

from helpers.http import Make, assert_problem, later, request
from helpers.rows import Db, add_recipients, value


async def test_put_replaces(api: httpx.AsyncClient) -> None:
    fields = {
        "time_zone": "Europe/Berlin",
        "locale": "de-DE",
        "addresses": {"email": "old@example.org", "sms": "+49"},
        "preferences": {"quiet": True},
    }
    answer = await api.put("/api/recipients/ada", json=fields | {"email": "ada@example.org"})
    assert answer.status_code == 201
    first = answer.json()
    assert first == fields | {
        "id": "ada",
        "addresses": {"email": "ada@example.org", "sms": "+49"},
        "disabled": {},
        "created_at": first["created_at"],
        "updated_at": first["created_at"],
    }
    assert (await api.get("/api/recipients/ada")).json() == first
    answer = await api.put("/api/recipients/ada", json={"locale": "en"})
    assert answer.status_code == 200
    assert answer.json() == first | {
        "time_zone": None,
        "locale": "en",
        "addresses": {},
        "preferences": {},
        "updated_at": answer.json()["updated_at"],
    }


async def test_many_keep_what_is_not_given(api: httpx.AsyncClient) -> None:
    first = {"recipients": [{"id": 1, "email": "a@b"}, {"id": "2", "locale": "de"}]}
    assert (await api.post("/api/recipients", json=first)).json() == {"count": 2, "created": 2, "existing": 0}
    more = {"recipients": [{"id": "1", "addresses": {"sms": "+1"}}, {"id": 2}, {"id": 3}, {"id": "3", "locale": "fr"}]}
    assert (await api.post("/api/recipients", json=more)).json() == {"count": 3, "created": 1, "existing": 2}
    assert (await api.get("/api/recipients/1")).json()["addresses"] == {"email": "a@b", "sms": "+1"}
    assert (await api.get("/api/recipients/2")).json()["locale"] == "de"
    assert (await api.get("/api/recipients/3")).json()["locale"] == "fr"


async def test_as_many_as_allowed(api: httpx.AsyncClient, db: Db) -> None:
    zones = ["Europe/Berlin", "America/New_York", "Asia/Tokyo"]
    rows = [{"id": number, "time_zone": zones[number % 3]} for number in range(10_000)]
    answer = await api.post("/api/recipients", json={"recipients": rows})
    assert answer.json() == {"count": 10_000, "created": 10_000, "existing": 0}


async def test_delete_takes_all_along(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    body = request(recipients=["ada", 1])
    ids = (await api.post("/api/notifications/schedule/", json=body)).json()["notification_ids"]
    answer = await api.delete("/api/recipients/ada")
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(await api.get(f"/api/notifications/{ids[0]}"), 404, "not-found")
    assert (await api.get(f"/api/notifications/{ids[1]}")).status_code == 200
    for method in ("GET", "DELETE"):
        assert_problem(await api.request(method, "/api/recipients/ada"), 404, "not-found")


async def test_numbers_stay_exact(api: httpx.AsyncClient) -> None:
    content = b'{"preferences": {"n": 12345678901234567890123}}'
    answer = await api.put("/api/recipients/x", content=content, headers={"Content-Type": "application/json"})
    assert "12345678901234567890123" in answer.text


async def test_tokens(api: httpx.AsyncClient, client_with: Make, people: list[str], db: Db) -> None:
    for body, seconds in ((None, 3600), ({}, 3600), ({"ttl": 60}, 60), ({"ttl": 31_536_000}, 31_536_000)):
        answer = await api.post("/api/recipients/ada/tokens", json=body)
        assert answer.status_code == 201
        ends = datetime.fromisoformat(answer.json()["expires_at"])
        assert abs(ends - datetime.fromisoformat(later(seconds=seconds))).total_seconds() < 10
        assert (await client_with(answer.json()["token"]).get("/api/inbox")).status_code == 200
    assert_problem(await api.post("/api/recipients/nobody/tokens"), 404, "not-found")


async def test_odd_ids_get_tokens_too(api: httpx.AsyncClient, client_with: Make, db: Db) -> None:
    add_recipients(db, "a/b ü%")
    answer = await api.post("/api/recipients/a%2Fb%20%C3%BC%25/tokens/")
    inbox = await client_with(answer.json()["token"]).get("/api/inbox")
    assert inbox.json()["last_seq"] == value(db, "select last_seq from notify.mailbox")
