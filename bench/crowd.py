"""A crowd of websockets, in a process of its own, which this end of a pipe leads."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench import crowd_client
from bench.crowd_client import Arrival, State
from bench.stack import KEY

# Handshakes under way at a time, where they are not what is measured.
_AT_ONCE = 50
_LOOK_SECONDS = 0.5


class Crowd:
    """Its commands begin something; `wait` waits until all have got what they should."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def connect(self, recipients: Sequence[str], *, at_once: int = _AT_ONCE) -> None:
        """Begin to connect a socket a recipient; each waits for its hello."""
        self._ask("connect", list(recipients), at_once)

    def aim(self, target: int) -> None:
        """From here on every socket is to have all notifications up to this seq."""
        self._ask("aim", target)

    def drop(self) -> None:
        """Cut all connections at once."""
        self._ask("drop")

    def resume(self, target: int, *, at_once: int) -> None:
        """Begin to connect all again, from their cursors, until all have everything up to `target`."""
        self._ask("resume", target, at_once)

    def wait(self, seconds: float, told: Callable[[int], object] | None = None) -> State:
        """Until all are greeted and have all up to the target. Raises RuntimeError for what must not happen."""
        ends = time.monotonic() + seconds
        while not (state := self.state(_LOOK_SECONDS)).is_done:
            if told is not None:
                told(min(state.greeted, state.complete))
            if time.monotonic() > ends:
                raise RuntimeError(f"of {state.sockets} sockets {state.greeted} were greeted, {state.complete} served")
        return state

    def state(self, seconds: float = 0.0) -> State:
        """How far it is, at once or after so many seconds. Raises RuntimeError for what must not happen."""
        state: State = self._ask("poll", seconds)
        if state.faults:
            raise RuntimeError("; ".join(state.faults))
        return state

    def take(self) -> list[Arrival]:
        """The notifications that arrived since the last time, for a crowd that keeps them."""
        taken: list[Arrival] = self._ask("take")
        return taken


@contextmanager
def crowd(url: str, *, keeps: bool = False) -> Iterator[Crowd]:
    """A crowd of nobody yet, for the server at `url`. One that `keeps` notifications can tell when each arrived."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=crowd_client.main, args=(theirs, url, KEY, keeps), daemon=True)
    process.start()
    theirs.close()

    def ask(*command: Any) -> Any:
        ours.send(command)
        return ours.recv()

    try:
        yield Crowd(ask)
    finally:
        ours.close()
        process.join(10)
        process.kill()
