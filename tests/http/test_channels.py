"""Channels and types over HTTP: paused, limited, their retry policies, and addresses that are enabled again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from helpers import logins
from helpers.http import ADMIN_KEY, assert_problem
from helpers.outside import CHANNEL, add_channel, add_reachable, lease, record, send
from helpers.rows import Db, value
from notify.config import Settings

_PATH = f"/api/channels/{CHANNEL}"


@pytest.fixture
def settings(dsn: str) -> Settings:
    return Settings(database_url=logins.dsn_of(dsn, "notify_api"), api_key=ADMIN_KEY, pool_max=4)


@pytest.fixture(autouse=True)
def reachable(db: Db) -> None:
    add_channel(db)
    add_reachable(db, "ada")


async def test_all_channels_are_listed(api: httpx.AsyncClient) -> None:
    inbox, pigeon = (await api.get("/api/channels")).json()
    assert (inbox["name"], inbox["state"]) == ("inbox", "open")
    assert pigeon == {
        "name": CHANNEL,
        "description": "for tests",
        "state": "open",
        "paused_at": None,
        "rests_until": None,
        "rate": None,
        "retry": None,
    }


async def test_a_channel_is_paused_and_resumed(api: httpx.AsyncClient, db: Db) -> None:
    paused = (await api.patch(_PATH, json={"paused": True})).json()
    assert (paused["state"], paused["paused_at"][-1]) == ("paused", "Z")
    assert (await api.patch(_PATH, json={"paused": True})).json() == paused
    send(db, "ada")
    assert lease(db) == []
    resumed = (await api.patch(_PATH, json={"paused": False})).json()
    assert (resumed["state"], resumed["paused_at"]) == ("open", None)
    assert len(lease(db)) == 1


async def test_what_is_not_given_stays_and_null_takes_back(api: httpx.AsyncClient) -> None:
    retry = {"delays": [1, 2.5], "final": ["http-4xx"]}
    changed = (await api.patch(_PATH, json={"rate": 5, "retry": retry})).json()
    assert (changed["rate"], changed["retry"], changed["state"]) == (5, retry, "open")
    assert (await api.patch(_PATH, json={})).json() == changed
    assert (await api.patch(_PATH, json={"rate": None})).json() == changed | {"rate": None}
    assert (await api.patch(_PATH, json={"rate": 0.5})).json() == changed | {"rate": 0.5}
    assert (await api.patch(_PATH, json={"retry": None})).json() == changed | {"rate": 0.5, "retry": None}
    assert (await api.get("/api/channels")).json()[1] == changed | {"rate": 0.5, "retry": None}


async def test_a_channel_that_rests_says_until_when(api: httpx.AsyncClient, db: Db) -> None:
    send(db, "ada")
    record(db, lease(db), "retry", code="connect", outage=True, threshold=1)
    (_, found) = (await api.get("/api/channels")).json()
    assert (found["state"], found["rests_until"] is None) == ("resting", False)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"paused": None}, "paused"),
    ({"paused": "yes"}, "paused"),
    ({"rate": 0}, "rate"),
    ({"rate": 100_001}, "rate"),
    ({"rate": "5"}, "rate"),
    ({"retry": {"delays": [-1]}}, "retry.delays[0]"),
    ({"retry": {"pause": 1}}, "retry.pause"),
    ({"retry": []}, "retry"),
    ({"name": "owl"}, "name"),
    ({"required": True}, "required"),
]


async def test_wrong_changes(api: httpx.AsyncClient, db: Db) -> None:
    before = (await api.get("/api/channels")).json()
    for body, field in WRONG:
        assert_problem(await api.patch(_PATH, json=body), 400, "invalid-value", field)
    assert_problem(await api.patch("/api/channels/inbox", json={"paused": True}), 400, "invalid-value", "channel")
    for unknown in ("owl", "Pigeon", "a%2Fb", "x" * 200):
        problem = assert_problem(await api.patch(f"/api/channels/{unknown}", json={"paused": True}), 404, "not-found")
        assert f"known are inbox, {CHANNEL}." in problem["detail"]
    for malformed in ("a%00", "%FF"):
        assert_problem(await api.patch(f"/api/channels/{malformed}", json={}), 400, "invalid-value", "name")
    assert (await api.get("/api/channels")).json() == before


async def test_types(api: httpx.AsyncClient, db: Db) -> None:
    assert (await api.get("/api/types")).json() == []
    plain = {"name": "news", "required": False, "paused_at": None, "retry": None}
    assert (await api.get("/api/types/news")).json() == plain
    retry = {"max_age": 60}
    changed = (await api.patch("/api/types/news", json={"required": True, "retry": retry})).json()
    assert changed == plain | {"required": True, "retry": retry}
    paused = (await api.patch("/api/types/news", json={"paused": True, "retry": None})).json()
    assert paused == plain | {"required": True, "paused_at": paused["paused_at"]}
    assert paused["paused_at"] is not None
    assert (await api.get("/api/types")).json() == [paused]
    send(db, "ada", type="news")
    assert lease(db) == []
    await api.patch("/api/types/news", json={"paused": False, "required": False})
    assert (await api.get("/api/types/news")).json() == plain
    assert len(lease(db)) == 1


async def test_names_of_types_may_be_odd(api: httpx.AsyncClient) -> None:
    for name, path in (("a/b", "a%2Fb"), ("ü 1", "%C3%BC%201"), ("x" * 100, "x" * 100)):
        assert (await api.patch(f"/api/types/{path}", json={"required": True})).json()["name"] == name
        assert (await api.get(f"/api/types/{path}/")).json()["required"] is True
    for wrong in ("x" * 101, "a%00", "%FF"):
        assert_problem(await api.get(f"/api/types/{wrong}"), 400, "invalid-value", "name")
        assert_problem(await api.patch(f"/api/types/{wrong}", json={}), 400, "invalid-value", "name")
    assert_problem(await api.patch("/api/types/news", json={"rate": 5}), 400, "invalid-value", "rate")
    assert_problem(await api.patch("/api/types/news", json={"paused": None}), 400, "invalid-value", "paused")


async def test_who_may(
    api: httpx.AsyncClient, client_with: Callable[..., httpx.AsyncClient], key_of: Callable[..., str]
) -> None:
    reader, writer = client_with(key_of("read")), client_with(key_of("schedule"))
    for path in ("/api/channels", "/api/types", "/api/types/news"):
        assert (await reader.get(path)).status_code == 200
        assert_problem(await writer.get(path), 403, "not-allowed")
    for path in (_PATH, "/api/types/news"):
        for client in (reader, writer):
            assert_problem(await client.patch(path, json={"paused": True}), 403, "not-allowed")


async def test_a_change_may_be_repeated_under_its_key(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await api.patch(_PATH, json={"rate": 5}, headers=headers)
    await api.patch(_PATH, json={"rate": 7})
    again = await api.patch(_PATH, json={"rate": 5}, headers=headers)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert (await api.get("/api/channels")).json()[1]["rate"] == 7


async def test_a_disabled_address_is_shown_and_enabled(api: httpx.AsyncClient, db: Db) -> None:
    path = "/api/recipients/ada"
    assert (await api.get(path)).json()["disabled"] == {}
    assert (await api.post(f"{path}/enable", json={"channel": CHANNEL})).json() == {
        "channel": CHANNEL,
        "enabled": False,
    }
    send(db, "ada")
    record(db, lease(db), "retry", code="http-429")
    assert (await api.get(path)).json()["disabled"] == {}
    db.execute("update notify.delivery set due_at = notify.now()")
    record(db, lease(db), "failed", code="http-410", detail="gone", disable=True)
    disabled = (await api.get(path)).json()["disabled"]
    assert disabled == {CHANNEL: {"disabled_at": disabled[CHANNEL]["disabled_at"], "reason": "gone"}}
    assert disabled[CHANNEL]["disabled_at"].endswith("Z")
    assert (await api.post(f"{path}/enable", json={"channel": CHANNEL})).json() == {"channel": CHANNEL, "enabled": True}
    assert (await api.get(path)).json()["disabled"] == {}
    send(db, "ada")
    assert len(lease(db)) == 1


async def test_another_address_is_not_disabled(api: httpx.AsyncClient, db: Db) -> None:
    send(db, "ada")
    record(db, lease(db), "failed", code="http-410", disable=True)
    answer = await api.put("/api/recipients/ada", json={"addresses": {CHANNEL: "a new loft"}})
    assert answer.json()["disabled"] == {}
    assert value(db, "select count(*) from notify.endpoint") == 1


async def test_enabling_what_is_not_there(api: httpx.AsyncClient) -> None:
    assert_problem(await api.post("/api/recipients/nobody/enable", json={"channel": CHANNEL}), 404, "not-found")
    bodies: list[tuple[dict[str, Any], str]] = [({}, "channel"), ({"channel": ""}, "channel"), ({"c": 1}, "c")]
    for body, field in bodies:
        assert_problem(await api.post("/api/recipients/ada/enable", json=body), 400, "invalid-value", field)
