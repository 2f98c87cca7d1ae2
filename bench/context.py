"""What every measurement is given: the run's sizes, its Postgres, and its progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.stack import Cluster

_QUICK = 20


class Bench:
    """One run. `missing` collects the yardsticks that are not installed, `series` the points of plots."""

    def __init__(self, cluster: Cluster, *, quick: bool, bars: Progress) -> None:
        self.cluster = cluster
        self.quick = quick
        self.missing: list[str] = []
        self.series: dict[str, list[tuple[float, float]]] = {}
        self._bars = bars

    def size(self, full: int) -> int:
        """A count of rows, rounds or sockets: as it should be, or a twentieth in a quick run."""
        return max(1, full // _QUICK) if self.quick else full

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A bar while the block lasts; the function that it yields sets how far it has come."""
        task = self._bars.add_task(what, total=total)
        try:
            yield lambda done: self._bars.update(task, completed=done)
        finally:
            self._bars.remove_task(task)


def progress_bars() -> Progress:
    """Written to stderr, so that stdout has the table alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
