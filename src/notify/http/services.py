"""What the handlers of one process share; made when the process starts serving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from litestar.connection import ASGIConnection

from notify.config import Settings
from notify.gatekeeper import Gatekeeper
from notify.gateway import Gateway
from notify.http.metrics import Metrics
from notify.http.ratelimit import RateLimit
from notify.http.readiness import Readiness
from notify.http.shares import Shares
from notify.http.together import Together
from notify.postgres.pool import Pool


class Services(msgspec.Struct, frozen=True):
    """One of each for a process."""

    settings: Settings
    pool: Pool
    """That of the requests, for its figures: a handler's connection comes from `shares`."""
    shares: Shares
    together: Together
    rate_limit: RateLimit
    gatekeeper: Gatekeeper
    gateway: Gateway
    metrics: Metrics
    readiness: Readiness
    worker_ready: Callable[[], bool] | None
    """Whether the worker of the same process works; None: there is none."""


def services(connection: ASGIConnection[Any, Any, Any, Any]) -> Services:
    """Those of the process that serves this request."""
    found = connection.app.state["services"]
    assert isinstance(found, Services)
    return found
