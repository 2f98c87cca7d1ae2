"""One websocket in a thread of its own, and when its notifications arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, NamedTuple

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from bench.stack import KEY

_SECONDS = 30.0


class Arrival(NamedTuple):
    """A notification as it was received, and when, in seconds since 1970."""

    at: float
    notification: dict[str, Any]


class Arrivals:
    """What one socket receives, in order."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Arrival] = SimpleQueue()

    def put(self, arrival: Arrival) -> None:
        """Called by the thread that reads."""
        self._queue.put(arrival)

    def next(self) -> Arrival:
        """Wait for the next one. Raises queue.Empty after half a minute."""
        return self._queue.get(timeout=_SECONDS)


@contextmanager
def arrivals(url: str, recipient: str) -> Iterator[Arrivals]:
    """Receive while the block lasts; the socket is live when it begins."""
    found = Arrivals()
    uri = f"ws{url.removeprefix('http')}/ws?recipient={recipient}"
    with connect(uri, additional_headers={"Authorization": f"Bearer {KEY}"}, compression=None) as socket:
        socket.recv()  # the hello

        def read() -> None:
            try:
                for text in socket:
                    at = time.time()
                    frame = msgspec.json.decode(text)
                    if frame["type"] == "notification":
                        found.put(Arrival(at, frame["notification"]))
            except ConnectionClosed:
                return

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield found
    thread.join()
