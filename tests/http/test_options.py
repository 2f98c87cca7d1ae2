"""What few schedule requests have: a retry policy of their own, and notifications spread over a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar

from helpers.http import assert_problem, later, request
from helpers.outside import CHANNEL, add_channel, add_reachable, lease
from helpers.rows import Db, drain, rows, stored, value

_PATH = "/api/notifications/schedule/"


@pytest.fixture(autouse=True)
def reachable(db: Db) -> None:
    add_channel(db)
    add_reachable(db, "ada", "bob")


async def test_a_policy_of_its_own(api: httpx.AsyncClient, db: Db) -> None:
    retry = {"delays": [1, 2.5, 60], "jitter": 0, "max_age": 3600, "final": ["http-404", "smtp-5xx"]}
    body = request(scheduled_at=..., channels=[CHANNEL], retry=retry)
    assert (await api.post(_PATH, json=body)).status_code == 201
    drain(db)
    assert lease(db)[0]["retry"] == retry


async def test_spread_over_minutes(api: httpx.AsyncClient, db: Db) -> None:
    answer = await api.post(_PATH, json=request(recipients=["ada", "bob"], spread_over=10))
    assert answer.json()["count"] == 2
    at = datetime.fromisoformat(answer.json()["scheduled_at"])
    due = [row["due_at"] - at for row in rows(db, "select due_at from notify.notification order by id")]
    assert due == [timedelta(0), timedelta(minutes=5)]
    late = request(spread_over=10, expires_at=later(hours=1, minutes=5))
    assert_problem(await api.post(_PATH, json=late), 400, "invalid-value", "expires_at")
    assert stored(db)[0] == 1


async def test_such_a_request_goes_alone(app: Litestar, api: httpx.AsyncClient, db: Db) -> None:
    together = app.state.services.together
    given: list[dict[str, Any]] = [{"spread_over": 1}, {"retry": {}}, {"retry": None, "spread_over": None}]
    groups = []
    for options in given:
        assert (await api.post(_PATH, json=request(**options))).status_code == 201
        groups.append(together.groups)
    assert groups == [0, 0, 1]
    assert value(db, "select count(*) from notify.batch_option") == 2


async def test_nobody_known(api: httpx.AsyncClient, db: Db) -> None:
    answer = await api.post(_PATH, json=request(recipients=["nobody"], spread_over=10, retry={"delays": []}))
    assert (answer.status_code, answer.json()["count"], answer.json()["skipped"]) == (201, 0, ["nobody"])
    assert stored(db)[0] == 0


async def test_repeated_under_its_key(api: httpx.AsyncClient, db: Db) -> None:
    body = request(spread_over=10, retry={"delays": []})
    headers = {"Idempotency-Key": "k"}
    first, again = [await api.post(_PATH, json=body, headers=headers) for _ in "12"]
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    other = await api.post(_PATH, json=body | {"spread_over": 11}, headers=headers)
    assert_problem(other, 422, "idempotency-key-reused")
