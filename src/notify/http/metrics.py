"""Numbers for Prometheus, in a registry of their own, so that several applications in one process do not mix."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

MEDIA_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """What this process has counted and what it was last told to show."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "notify_http_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._gauges: dict[str, Gauge] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. A method nobody knows counts as OTHER, as anybody may make one up."""
        known = method if method in _METHODS else "OTHER"
        self._requests.labels(known, route, str(status)).observe(seconds)

    def show(self, prefix: str, values: Mapping[str, float], help: str) -> None:
        """Set the gauges `notify_<prefix>_<name>`."""
        for name, value in values.items():
            full = f"notify_{prefix}_{name}"
            if full not in self._gauges:
                self._gauges[full] = Gauge(full, f"{help}: {name.replace('_', ' ')}.", registry=self._registry)
            self._gauges[full].set(value)

    def text(self) -> bytes:
        """All of it in the text format."""
        return generate_latest(self._registry)
