"""What probes and dashboards are told."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from helpers.http import ADMIN_KEY, Make, assert_problem, running
from helpers.rows import Db, add_recipients, schedule
from helpers.wait import until_async
from notify.config import Settings
from notify.http.app import create_app


async def test_ready(client_with: Make) -> None:
    client = client_with()
    assert (await client.get("/health/live")).json() == {"status": "live"}

    async def ready() -> bool:
        return (await client.get("/health/ready")).status_code == 200

    await until_async(ready)
    checks = {"database": "up", "listener": "up"}
    assert (await client.get("/health/ready/")).json() == {"status": "ready", "checks": checks}


async def test_worker_of_the_same_process_counts(settings: Settings) -> None:
    works = False
    async with running(create_app(settings, worker_ready=lambda: works)) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://notify.test") as client:

            async def checks() -> dict[str, str]:
                found: dict[str, str] = (await client.get("/health/ready")).json()["checks"]
                return found

            async def listens() -> bool:
                return (await checks())["listener"] == "up"

            await until_async(listens)
            assert await checks() == {"database": "up", "listener": "up", "worker": "down"}
            assert_problem(await client.get("/health/ready"), 503, "not-ready")
            works = True
            assert (await client.get("/health/ready")).status_code == 200


async def test_metrics(api: httpx.AsyncClient, client_with: Make, db: Db) -> None:
    add_recipients(db, "ada")
    for _ in range(3):
        schedule(db, "ada")
    await api.get("/api/notifications/7")
    await api.get("/api/notifications/8")
    await api.get("/nowhere")
    await api.request("BREW", "/nowhere")
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    counted = "notify_http_request_seconds_count"
    assert samples[(counted, *sorted(["GET", "/api/notifications/{id}", "404"]))] == 2
    assert samples[(counted, *sorted(["GET", "unmatched", "404"]))] == 1
    assert samples[(counted, *sorted(["OTHER", "unmatched", "404"]))] == 1
    assert samples[("notify_overdue_count",)] == 3
    assert samples[("notify_overdue_oldest_seconds",)] > 0
    assert samples[("notify_database_up",)] == 1
    assert samples[("notify_gateway_connections",)] == 0
    assert ("notify_pool_pool_size",) in samples
    assert_problem(await client_with().get("/metrics"), 401)


async def test_metrics_may_be_public(dsn: str) -> None:
    settings = Settings(database_url=dsn, api_key=ADMIN_KEY, metrics_public=True)
    async with running(create_app(settings)) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://notify.test") as client:
            assert (await client.get("/metrics")).status_code == 200
            assert_problem(await client.get("/api/notifications"), 401)
