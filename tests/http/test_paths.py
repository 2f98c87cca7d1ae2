"""Paths, methods, bodies and headers, before any handler has its say."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import psycopg
import psycopg_pool
import pytest
from structlog.testing import capture_logs

from helpers.http import ADMIN_KEY, assert_problem, request, running
from helpers.server import serving
from notify.config import Settings
from notify.http import problems
from notify.http.app import create_app


def test_app_is_made_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_MAX_BODY_BYTES", "5000")
    assert create_app().request_max_body_size == 5000


async def test_last_slash_makes_no_difference(api: httpx.AsyncClient, people: list[str]) -> None:
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/api/notifications/schedule", request()),
        ("GET", "/api/notifications", None),
        ("GET", "/api/notifications/1", None),
        ("GET", "/api/notifications/1/schedule_status", None),
        ("DELETE", "/api/notifications/1/cancel_scheduled", None),
        ("POST", "/api/notifications/1/retry", None),
        ("GET", "/api/batches/1", None),
        ("POST", "/api/recipients", {"recipients": [{"id": "x"}]}),
        ("GET", "/api/recipients/ada", None),
        ("POST", "/api/recipients/ada/tokens", None),
        ("GET", "/api/deliveries", None),
        ("GET", "/api/deliveries/1", None),
        ("GET", "/api/channels", None),
        ("GET", "/api/types/news", None),
        ("POST", "/unsubscribe/x", None),
        ("GET", "/api/inbox?recipient=ada", None),
        ("GET", "/health/live", None),
        ("GET", "/metrics", None),
        ("GET", "/schema/openapi.json", None),
    ]
    for method, path, body in calls:
        bare, _, query = path.partition("?")
        answers = [await api.request(method, f"{bare}{slash}?{query}", json=body) for slash in ("", "/")]
        seen = [(answer.headers["content-type"], answer.status_code) for answer in answers]
        # What was pending is cancelled by the first of the two.
        assert seen[0] == seen[1] or path.endswith("cancel_scheduled"), path
        assert all(answer.status_code in (200, 201, 404, 409) for answer in answers), path


async def test_unknown_path_and_method(api: httpx.AsyncClient) -> None:
    assert_problem(await api.get("/nowhere"), 404, "not-found")
    assert_problem(await api.get("/"), 404, "not-found")
    answer = await api.put("/api/notifications/schedule/", json={})
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"POST", "OPTIONS"}
    answer = await api.options("/api/notifications/7")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, PATCH")
    assert_problem(await api.get("/ws"), 426, "upgrade-required")


async def test_head_is_get_without_its_body(api: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/api/notifications", "/nowhere"):
        head, get = await api.head(path), await api.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers == get.headers
    assert (await api.head("/api/notifications/schedule/")).status_code == 405


def test_a_connection_goes_on_after_a_head(settings: Settings) -> None:
    with serving(settings) as url, httpx.Client(base_url=url) as client:
        for _ in range(3):
            assert client.head("/health/live").status_code == 200
        answer = client.get("/health/live")
        assert answer.json() == {"status": "live"}
        assert answer.extensions["network_stream"].get_extra_info("client_addr") == client.head(
            "/health/live"
        ).extensions["network_stream"].get_extra_info("client_addr")


def test_a_websocket_where_there_is_none_is_refused_as_a_request_would_be(settings: Settings) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    }
    with serving(settings) as url:
        for path in ("/nowhere", "/api/inbox"):
            assert_problem(httpx.get(f"{url}{path}", headers=upgrade), 404, "not-found")


async def test_id_in_the_path_may_need_encoding(api: httpx.AsyncClient) -> None:
    for id, path in (("a/b", "a%2Fb"), ("ü", "%C3%BC"), ("100%", "100%25"), ("a b+c", "a%20b+c"), ("%2F", "%252F")):
        answer = await api.put(f"/api/recipients/{path}", json={})
        assert (answer.status_code, answer.json()["id"]) == (201, id)
        assert (await api.get(f"/api/recipients/{path}/")).json()["id"] == id


async def test_body_must_be_json(api: httpx.AsyncClient) -> None:
    form = await api.post("/api/notifications/schedule/", data={"title": "x"})
    assert "application/json" in assert_problem(form, 415, "unsupported-media-type")["detail"]
    path = "/api/notifications/schedule/"
    for content in (b"", b"{", b"nonsense", b"[1]", b"null", b"{} {}", b"\xff\xfe"):
        answer = await api.post(path, content=content, headers={"Content-Type": "application/json"})
        assert_problem(answer, 400, "invalid-value")
    good = msgspec.json.encode(request())
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"):
        assert (await api.post(path, content=good, headers={"Content-Type": kind})).status_code == 201
    assert (await api.post(path, content=good)).status_code == 201


async def test_body_is_limited_before_it_is_parsed(dsn: str, db: psycopg.Connection[Any]) -> None:
    settings = Settings(database_url=dsn, api_key=ADMIN_KEY, max_body_bytes=2_000)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}

    async def pieces() -> Any:
        for _ in range(3):
            yield b" " * 1_000

    async with running(create_app(settings)) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://notify.test", headers=headers) as client:
            for content in (b" " * 2_001, pieces()):
                answer = await client.post("/api/notifications/schedule/", content=content)
                detail = assert_problem(answer, 413, "body-too-large")["detail"]
                assert "2000 bytes" in detail
                assert "NOTIFY_MAX_BODY_BYTES" in detail
            assert_problem(await client.post("/api/notifications/schedule/", content=b" " * 2_000), 400)
            # It bounds also those that would take more.
            answer = await client.put("/api/recipients/ada", content=b" " * 2_001)
            assert "NOTIFY_MAX_BODY_BYTES" in assert_problem(answer, 413, "body-too-large")["detail"]


SMALL: list[tuple[str, str, int]] = [
    ("POST", "/api/inbox/read?recipient=ada", 524_288),
    ("PUT", "/api/recipients/ada", 131_072),
    ("PATCH", "/api/notifications/1", 16_384),
    ("POST", "/api/notifications/1/retry", 16_384),
    ("POST", "/api/recipients/ada/enable", 16_384),
    ("POST", "/api/batches/1/replay", 16_384),
    ("POST", "/api/deliveries/replay", 16_384),
    ("PATCH", "/api/channels/email", 16_384),
    ("PATCH", "/api/types/news", 16_384),
    ("POST", "/api/recipients/ada/tokens", 16_384),
]
BARE: list[tuple[str, str]] = [
    ("POST", "/api/notifications/1/send"),
    ("DELETE", "/api/notifications/1/cancel_scheduled/"),
    ("DELETE", "/api/recipients/nobody"),
    ("POST", "/api/deliveries/1/replay"),
    ("DELETE", "/api/batches/1"),
]


async def test_small_calls_take_small_bodies(api: httpx.AsyncClient, people: list[str]) -> None:
    for method, path, most in SMALL:
        headers = {"Content-Type": "application/json"}
        answer = await api.request(method, path, content=b"{}" + b" " * (most - 1), headers=headers)
        assert f" {most} bytes" in assert_problem(answer, 413, "body-too-large")["detail"]
        answer = await api.request(method, path, content=b"{}" + b" " * (most - 2), headers=headers)
        assert answer.status_code in (200, 201, 400, 404), (path, answer.text)
    for method, path in BARE:
        content = b" " * 16_385
        answer = await api.request(method, path, content=content, headers={"Idempotency-Key": path})
        assert_problem(answer, 413, "body-too-large")


async def test_most_ids_to_mark_read_fit_in(api: httpx.AsyncClient, people: list[str]) -> None:
    content = msgspec.json.format(msgspec.json.encode({"ids": [2**63 - 1 - number for number in range(10_000)]}))
    assert (await api.post("/api/inbox/read?recipient=ada", content=content)).status_code == 200


async def test_headers_of_every_answer(api: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/nowhere", "/api/notifications"):
        answer = await api.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


async def test_other_origins_only_as_allowed(dsn: str, api: httpx.AsyncClient) -> None:
    asked = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in (await api.get("/health/live", headers=asked)).headers
    settings = Settings(database_url=dsn, allowed_origins="https://app.example.org, https://b.example.org")
    async with running(create_app(settings)) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://notify.test") as client:
            answer = await client.options("/api/notifications/schedule/", headers=asked)
            assert answer.headers["access-control-allow-origin"] == "https://app.example.org"
            assert "access-control-allow-credentials" not in answer.headers
            for other in ("https://evil.example.org", "https://app.example.org.evil.example", "null"):
                answer = await client.get("/health/live", headers={"Origin": other})
                assert "access-control-allow-origin" not in answer.headers


async def test_defects_are_logged_and_not_told(api: httpx.AsyncClient, db: psycopg.Connection[Any]) -> None:
    db.execute("alter table notify.batch rename to secret_name")
    with capture_logs() as logs:
        answer = await api.get("/api/batches/1")
    assert_problem(answer, 500, "internal")
    (event,) = [log for log in logs if log["event"] == "request_failed"]
    assert (event["path"], type(event["exc_info"]).__name__) == ("/api/batches/1", "UndefinedTable")
    assert "secret_name" not in answer.text
    assert "batch" not in answer.text


async def test_ended_sessions_cost_nobody_an_error(api: httpx.AsyncClient, db: psycopg.Connection[Any]) -> None:
    db.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
        "where application_name = 'notify-api' and datname = current_database()"
    )
    assert_problem(await api.get("/api/recipients/ada"), 404)


def test_a_full_pool_is_no_outage() -> None:
    """Nothing was begun, so there is no doubt whether a write happened."""
    unused: Any = None
    answer = problems.on_database_error(unused, psycopg_pool.TooManyRequests("300 requests waiting"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert b"urn:notify:problem:busy" in answer.content


async def test_database_away() -> None:
    settings = Settings(database_url="host=127.0.0.1 port=1 dbname=none", api_key=ADMIN_KEY, connect_timeout=2)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with running(create_app(settings)) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://notify.test", headers=headers) as client:
            answer = await client.get("/api/notifications")
            assert_problem(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "1"
            answer = await client.get("/health/ready")
            assert assert_problem(answer, 503, "not-ready")["checks"] == {"database": "down", "listener": "down"}
            assert (await client.get("/health/live")).status_code == 200
            assert "notify_database_up 0.0" in (await client.get("/metrics")).text
