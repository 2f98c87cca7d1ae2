"""The most memory that processes take while something goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from bench.stack import Process

_LOOK_SECONDS = 0.1


class Peaks:
    """The highest resident memory of each process so far, in MB, in the order in which they were given."""

    def __init__(self, processes: tuple[Process, ...]) -> None:
        # Asked for once: listing children reads the whole of /proc.
        self._families: list[list[psutil.Process]] = [process.family() for process in processes]
        self.megabytes = [0.0] * len(processes)
        self.look()

    def look(self) -> None:
        """Take what is higher than before."""
        for number, family in enumerate(self._families):
            resident = sum(one.memory_info().rss for one in family) / 1e6
            self.megabytes[number] = max(self.megabytes[number], resident)


@contextmanager
def peaks(*processes: Process) -> Iterator[Peaks]:
    """Look ten times a second while the block lasts."""
    found, over = Peaks(processes), threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            found.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
