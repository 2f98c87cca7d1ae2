"""The drain."""

from __future__ import annotations

from bench.context import Bench
from bench.report import Figure


def measure(bench: Bench) -> list[Figure]:
    """Nothing yet."""
    return []
