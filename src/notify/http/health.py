"""What probes, dashboards and curious people ask."""

from __future__ import annotations

import msgspec

from notify.http import metrics, problems
from notify.http.problems import Problem
from notify.http.replies import Live, Ready
from notify.http.routes import Answer, HttpRequest, answer, route
from notify.http.services import Services, services

_TAG = "health"


@route("GET", "/health/live", access="public", tag=_TAG, answers={200: Live})
async def live(request: HttpRequest) -> Answer:
    """Whether this process runs at all."""
    return answer(200, Live("live"))


@route("GET", "/health/ready", access="public", tag=_TAG, answers={200: Ready}, errors=(503,))
async def ready(request: HttpRequest) -> Answer:
    """Whether this process can serve: the database answers, and the websockets hear of what is sent.

    Other processes do not count: a worker that is down makes notifications late, and no API unready.
    """
    checks = await _checks(services(request))
    if set(checks.values()) == {"up"}:
        return answer(200, Ready("ready", checks))
    down = [name for name, state in checks.items() if state != "up"]
    problem = Problem(
        type=problems.TYPE + "not-ready",
        title="Not ready",
        status=503,
        detail=f"down: {', '.join(down)}",
        checks=checks,
    )
    return Answer(503, msgspec.json.encode(problem), problems.MEDIA_TYPE, {"Retry-After": "1"})


@route("GET", "/metrics", access="read", tag=_TAG, answers={200: str}, media_type=metrics.MEDIA_TYPE)
async def get_metrics(request: HttpRequest) -> Answer:
    """Numbers for Prometheus.

    With `NOTIFY_METRICS_PUBLIC=true` it needs no key.
    """
    serving = services(request)
    shown = serving.metrics
    shown.show("pool", serving.pool.get_stats(), "Connection pool")
    shown.show("gateway", msgspec.structs.asdict(serving.gateway.stats()), "Websockets of this process")
    backlog = await serving.readiness.backlog.get()
    if backlog is not None:
        shown.show("overdue", msgspec.structs.asdict(backlog), "Pending though due, 10000 at most")
    shown.show("database", {"up": float(await _is_up(serving))}, "Whether the database answers")
    return Answer(200, shown.text(), metrics.MEDIA_TYPE)


async def _checks(serving: Services) -> dict[str, str]:
    states = {"database": await _is_up(serving), "listener": serving.gateway.ready}
    if serving.worker_ready is not None:
        states["worker"] = serving.worker_ready()
    return {name: "up" if state else "down" for name, state in states.items()}


async def _is_up(serving: Services) -> bool:
    return bool(await serving.readiness.database.get())
