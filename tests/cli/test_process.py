"""The life of a process: parts run together, and end together in time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from notify import process
from notify.errors import ConfigError, NotifyError
from notify.process import PartFailed, Stop, Stopped, run, together, until_told

Parts = dict[str, Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When this process would end itself; it does not."""
    set_timers: list[float] = []
    monkeypatch.setattr(process, "end_in", set_timers.append)
    monkeypatch.setattr(process, "_SIGNALS", ())
    return set_timers


async def _forever() -> None:
    await asyncio.Event().wait()


async def _fails(error: Exception) -> None:
    raise error


async def _ends() -> None:
    return


def _stopped() -> None:
    raise Stopped


async def _told(stop: Stop) -> None:
    stop.order()
    await _forever()


def test_told_to_stop_it_ends_quietly(timers: list[float]) -> None:
    with until_told() as stop:
        run(stop, lambda: together(stop, {"a": _forever(), "b": _told(stop)}))
    assert timers == [process.EXIT_SECONDS]
    assert not stop.hanging


def test_told_twice_is_told_once(timers: list[float]) -> None:
    stop = Stop()
    stop.order()
    stop.order()
    assert len(timers) == 1


def _stop_here() -> None:
    raise Stopped


def test_before_the_loop_a_signal_drops_what_is_under_way() -> None:
    reached: list[str] = []
    with until_told() as stop:
        with pytest.raises(Stopped):
            stop.handle(15, None)
        stop.handle(15, None)  # another one changes nothing
        _stopped()
        reached.append("on")
    assert reached == []


def test_told_before_its_parts_run_it_ends_at_once() -> None:
    with until_told() as stop:
        stop.order()
        run(stop, lambda: together(stop, {"a": _forever()}))


@pytest.mark.parametrize(
    ("part", "raised", "said"),
    [
        (_fails(ConfigError("no port")), ConfigError, "no port"),
        (_fails(RuntimeError("odd")), PartFailed, "a ended: RuntimeError: odd"),
        (_ends(), PartFailed, "a ended: it returned"),
    ],
)
def test_a_part_that_ends_ends_all(part: Coroutine[Any, Any, None], raised: type[NotifyError], said: str) -> None:
    stop = Stop()
    with pytest.raises(raised, match=said):
        run(stop, lambda: together(stop, {"a": part, "b": _forever()}))


async def test_what_hangs_is_left_behind() -> None:
    ends = asyncio.Event()

    async def stubborn() -> None:
        while not ends.is_set():
            try:
                await ends.wait()
            except asyncio.CancelledError:
                continue

    stop = Stop()
    stop.told = True
    await together(stop, {"stubborn": stubborn()}, grace=0.01)
    assert stop.hanging
    ends.set()
