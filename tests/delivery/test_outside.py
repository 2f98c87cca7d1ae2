"""What wakes the couriers: looks that are expected, each of which has a timer until it has been made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from notify.config import Settings
from notify.outside import Outside


class Timer:
    def __init__(self, at: float, ring: Callable[[], None]) -> None:
        self.at, self.ring, self.cancelled = at, ring, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop whose time stands still, and whose timers ring when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, ring: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, ring))
        return self.timers[-1]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


def _pending(loop: Loop) -> list[Any]:
    return [timer.at for timer in loop.timers if not timer.cancelled]


def test_a_timer_that_rang_early_leaves_room_for_the_next(loop: Loop) -> None:
    outside = Outside(Settings(), lambda _: [])
    outside.expect(1.0)
    loop.now = 100.9995
    loop.timers.pop().ring()
    outside.expect(0.0008)
    assert _pending(loop) == [pytest.approx(101.0003)]


def test_the_earliest_look_is_the_one_that_is_kept(loop: Loop) -> None:
    outside = Outside(Settings(), lambda _: [])
    for seconds in (5.0, 7.0, 1.0, 3.0, 100.0):
        outside.expect(seconds)
    assert _pending(loop) == [101.0]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_whatever_the_loop_makes_of_an_instant_that_is_all_but_there(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """What uvloop gives then is no timer."""

    async def expect() -> None:
        outside = Outside(Settings(), lambda _: [])
        for seconds in (0.0003, 0.05, 0.0, 0.0001, 0.0):
            outside.expect(seconds)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(expect())
