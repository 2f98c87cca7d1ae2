"""A repeated request gets the first answer; another one under the same key is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx

from helpers.http import ADMIN_KEY, Make, assert_problem, later, request, running
from helpers.rows import Db, stored, value
from helpers.wait import until_async
from notify.config import Settings
from notify.http.app import create_app

_PATH = "/api/notifications/schedule/"
_KEY = {"Idempotency-Key": "order-42"}


async def test_replay(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    body = request(recipients=[1, "nobody"])
    first = await api.post(_PATH, json=body, headers=_KEY)
    again = await api.post(_PATH, json=body, headers=_KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert stored(db) == (1, 1, 1)


async def test_one_request_in_many_forms(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    body = request(data={"a": 1, "b": "é"})
    first = await api.post(_PATH, json=body, headers=_KEY)
    turned = json.dumps(dict(reversed(body.items())), indent=2)
    again = await api.post(
        _PATH.rstrip("/"), content=turned, headers=_KEY | {"Content-Type": "application/json; charset=utf-8"}
    )
    assert again.content == first.content
    assert stored(db) == (1, 1, 1)


async def test_other_request_under_the_same_key(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    body = request()
    await api.post(_PATH, json=body, headers=_KEY)
    others = [
        await api.post(_PATH, json=body | {"title": "Tea"}, headers=_KEY),
        await api.post("/api/recipients", json={"recipients": [{"id": 7}]}, headers=_KEY),
        await api.delete("/api/notifications?reference=x", headers=_KEY),
    ]
    for answer in others:
        assert_problem(answer, 422, "idempotency-key-reused", "Idempotency-Key")
    assert stored(db) == (1, 1, 1)


async def test_numbers_that_are_one_to_a_float_are_two(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    """`data` is kept exactly, so a replay would pass off one for the other."""
    headers = {"Content-Type": "application/json"}

    given = json.dumps(request())  # once, as its time moves on with the seconds

    def body(number: str) -> str:
        return given[:-1] + f', "data": {{"n": {number}}}}}'

    for first, other in (("0.1", "0.1000000000000000055511"), ("1e22", "10000000000000000000001")):
        key = headers | {"Idempotency-Key": first}
        assert (await api.post(_PATH, content=body(first), headers=key)).status_code == 201
        again = await api.post(_PATH, content=body(first) + " ", headers=key)
        assert again.headers["idempotency-replayed"] == "true"
        assert_problem(await api.post(_PATH, content=body(other), headers=key), 422, "idempotency-key-reused")


async def test_past_by_now_is_still_replayed(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    body = request(scheduled_at=later(minutes=5))
    first = await api.post(_PATH, json=body, headers=_KEY)
    name = value(db, "select current_database()::text")
    db.execute(f"alter database {name} set notify.clock_offset = '1 hour'")
    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
        "where application_name = 'notify-api' and datname = current_database()"
    )
    again = await api.post(_PATH, json=body, headers=_KEY)
    assert again.content == first.content
    assert_problem(await api.post(_PATH, json=body), 400, "time-not-in-future")


async def test_refused_input_is_not_kept(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    assert_problem(await api.post(_PATH, json=request(title=""), headers=_KEY), 400)
    answer = await api.post(_PATH, json=request(recipients=[{"id": "new"}], channels=["pigeon"]), headers=_KEY)
    assert_problem(answer, 400, field="channels")
    assert stored(db) == (0, 0, 0)
    assert value(db, "select count(*) from notify.recipient") == 3
    assert (await api.post(_PATH, json=request(), headers=_KEY)).status_code == 201


async def test_domain_refusals_are_answers(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    gone = await api.delete("/api/recipients/new", headers=_KEY)
    await api.put("/api/recipients/new", json={})
    again = await api.delete("/api/recipients/new", headers=_KEY)
    assert_problem(gone, 404, "not-found")
    assert (again.status_code, again.content) == (404, gone.content)
    assert again.headers["content-type"] == "application/problem+json"
    assert again.headers["idempotency-replayed"] == "true"

    id = (await api.post(_PATH, json=request())).json()["notification_ids"][0]
    key = {"Idempotency-Key": "cancel"}
    path = f"/api/notifications/{id}/cancel_scheduled/"
    assert [(await api.delete(path, headers=key)).status_code for _ in range(2)] == [200, 200]
    key = {"Idempotency-Key": "cancel-again"}
    for _ in range(2):
        problem = assert_problem(await api.delete(path, headers=key), 409, "wrong-status")
        assert problem["notification_status"] == "cancelled"


async def test_in_flight(api: httpx.AsyncClient, people: list[str], connect: Callable[..., Db]) -> None:
    """The first request waits for a lock of another session; the second comes meanwhile, and does not wait."""
    other = connect(autocommit=False)
    other.execute("lock table notify.batch in access exclusive mode")
    body = request()
    first = asyncio.create_task(api.post(_PATH, json=body, headers=_KEY))
    watcher = connect()
    await until_async(lambda: _waits(watcher))
    answer = await api.post(_PATH, json=body, headers=_KEY)
    assert_problem(answer, 409, "idempotency-key-in-flight", "Idempotency-Key")
    assert answer.headers["retry-after"] == "1"
    other.rollback()
    assert (await first).status_code == 201
    again = await api.post(_PATH, json=body, headers=_KEY)
    assert again.content == (await first).content


async def _waits(watcher: Db) -> bool:
    waiting: int = value(
        watcher,
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    )
    return waiting > 0


async def test_locked_too_long_is_worth_repeating(dsn: str, connect: Callable[..., Db]) -> None:
    settings = Settings(database_url=dsn, api_key=ADMIN_KEY, lock_timeout=0.05)
    other = connect(autocommit=False)
    async with running(create_app(settings)) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        headers = _KEY | {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://notify.test", headers=headers) as client:
            body = request(recipients=[{"id": "new"}])
            other.execute("lock table notify.batch in access exclusive mode")
            answer = await client.post(_PATH, json=body)
            assert_problem(answer, 503, "busy")
            assert answer.headers["retry-after"] == "1"
            other.rollback()
            assert (await client.post(_PATH, json=body)).json()["count"] == 1
    assert stored(other) == (1, 1, 1)


async def test_keys_that_are_none(api: httpx.AsyncClient) -> None:
    for key in ("", " ", "x" * 256, "a b", "é", "a\tb", "\x7f"):
        headers = {b"Idempotency-Key": key.encode("latin-1")}
        answer = await api.post(_PATH, json=request(), headers=headers)
        assert_problem(answer, 400, "invalid-value", "Idempotency-Key")


async def test_two_keys_are_none(api: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert_problem(await api.delete("/api/batches/1", headers=headers), 400, field="Idempotency-Key")


async def test_keys_belong_to_their_owner(
    api: httpx.AsyncClient, client_with: Make, key_of: Callable[..., str], people: list[str], db: Db
) -> None:
    clients = [client_with(key_of("schedule")), client_with(key_of("schedule"))]
    ids = [
        (await client.post(_PATH, json=request(), headers=_KEY | {"Idempotency-Key": "x" * 255})).json()["batch_id"]
        for client in clients
    ]
    assert len(set(ids)) == 2


async def test_every_change_takes_a_key(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    id, other = (await api.post(_PATH, json=request(recipients=[1, 2]))).json()["notification_ids"]
    batch = (await api.post(_PATH, json=request(reference="r"))).json()["batch_id"]
    changes: list[tuple[str, str, Any]] = [
        ("PATCH", f"/api/notifications/{id}", {"scheduled_at": later(hours=2)}),
        ("POST", f"/api/notifications/{id}/send", None),
        ("POST", f"/api/notifications/{other}/retry", None),
        ("DELETE", "/api/notifications?reference=r", None),
        ("DELETE", f"/api/batches/{batch}", None),
        ("POST", "/api/recipients", {"recipients": [{"id": "x"}]}),
        ("POST", "/api/inbox/read?recipient=1", {"up_to_seq": 1}),
        ("DELETE", "/api/recipients/2", None),
    ]
    for number, (method, path, body) in enumerate(changes):
        key = {"Idempotency-Key": f"change-{number}"}
        first = await api.request(method, path, json=body, headers=key)
        again = await api.request(method, path, json=body, headers=key)
        assert (first.status_code, first.content) == (again.status_code, again.content), path
        assert again.headers["idempotency-replayed"] == "true", path
    assert value(db, "select count(*) from notify.idempotency") == len(changes)


async def test_tokens_are_never_kept(api: httpx.AsyncClient, people: list[str], db: Db) -> None:
    first = await api.post("/api/recipients/ada/tokens", headers=_KEY)
    again = await api.post("/api/recipients/ada/tokens", headers=_KEY, json={"ttl": 7})
    assert (first.status_code, again.status_code) == (201, 201)
    assert "idempotency-replayed" not in again.headers
    assert value(db, "select count(*) from notify.idempotency") == 0
