"""One setting bounds how often a key, or a recipient, may call; every answer says where they stand."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from litestar import Litestar
from msgspec.structs import replace

from helpers.http import assert_problem, request, running
from helpers.rows import Db, add_recipients
from notify.access import new_token
from notify.config import Settings
from notify.http.app import create_app


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Litestar]:
    async with running(create_app(replace(settings, rate_limit=3, allowed_origins="https://app.example"))) as made:
        yield made


def left(answer: httpx.Response) -> int:
    assert answer.headers["ratelimit-policy"] == '"minute";q=3;w=60'
    found = re.fullmatch(r'"minute";r=(\d+);t=\d+', answer.headers["ratelimit"])
    assert found is not None
    return int(found[1])


async def test_every_answer_tells_and_one_too_many_is_refused(
    client_with: Callable[..., httpx.AsyncClient], key_of: Callable[..., str]
) -> None:
    reader = client_with(key_of("read"))
    answers = [
        await reader.get("/api/notifications"),
        await reader.get("/api/notifications/1"),
        await reader.post("/api/notifications/schedule/", json=request()),
    ]
    assert [(answer.status_code, left(answer)) for answer in answers] == [(200, 2), (404, 1), (403, 0)]
    refused = await reader.get("/api/notifications")
    problem = assert_problem(refused, 429, "too-many-requests")
    assert left(refused) == 0
    assert re.fullmatch(r"1?\d|20", refused.headers["retry-after"])
    assert refused.headers["retry-after"] in problem["detail"]
    other = await client_with(key_of("read")).get("/api/notifications")
    assert (other.status_code, left(other)) == (200, 2)


async def test_a_recipient_has_one_limit_for_all_tokens(
    client_with: Callable[..., httpx.AsyncClient], app: Litestar, db: Db
) -> None:
    add_recipients(db, "ada", "bob")
    signing = await app.state.services.gatekeeper.signing_key()
    tokens = [new_token(signing, "ada", 60 + number)[0] for number in range(4)]
    answers = [await client_with(token).get("/api/inbox") for token in tokens]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert (await client_with(new_token(signing, "bob", 60)[0]).get("/api/inbox")).status_code == 200


async def test_a_replayed_answer_counts(api: httpx.AsyncClient, db: Db) -> None:
    add_recipients(db, "ada")
    body, headers = request(), {"Idempotency-Key": "k"}
    answers = [await api.post("/api/notifications/schedule/", json=body, headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true", "true", None]
    assert [left(answer) for answer in answers] == [2, 1, 0, 0]


async def test_what_is_public_is_not_limited(client_with: Callable[..., httpx.AsyncClient]) -> None:
    for _ in range(5):
        answer = await client_with().get("/health/live")
        assert answer.status_code == 200
        assert "ratelimit" not in answer.headers


async def test_pages_of_other_origins_may_read_the_fields(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/notifications", headers={"Origin": "https://app.example"})
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].lower().split(",")}
    assert {"ratelimit", "ratelimit-policy", "retry-after"} <= exposed


async def test_without_the_setting_there_is_no_limit(settings: Settings) -> None:
    assert settings.rate_limit == 0
    async with running(create_app(settings)) as app:
        transport: Any = httpx.ASGITransport(app)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {settings.api_key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://notify.test", headers=headers) as client:
            answers = [await client.get("/api/notifications") for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    assert all("ratelimit" not in answer.headers for answer in answers)
