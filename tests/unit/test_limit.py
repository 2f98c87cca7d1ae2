"""The limit of many things under way: each has its own time, results and cancellations pass, and nothing is left."""

from __future__ import annotations

import asyncio

import pytest

from notify.limit import Limit


async def test_what_is_in_time_returns_what_it_does_and_raises_what_it_does() -> None:
    async def work(fails: bool) -> str:
        if fails:
            raise LookupError
        return "done"

    limit = Limit(60)
    assert await limit.of(work(False)) == "done"
    with pytest.raises(LookupError):
        await limit.of(work(True))


async def test_what_is_late_is_cancelled_each_by_its_own_time() -> None:
    loop = asyncio.get_running_loop()
    limit, ended = Limit(0.05), list[str]()

    async def for_ever(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    began = loop.time()
    first = asyncio.create_task(limit.of(for_ever("first")))
    later: asyncio.Future[asyncio.Task[None]] = loop.create_future()
    loop.call_later(0.03, lambda: later.set_result(asyncio.create_task(limit.of(for_ever("second")))))
    with pytest.raises(TimeoutError):
        await first
    with pytest.raises(TimeoutError):
        await (await later)
    assert ended == ["first", "second"]
    assert loop.time() - began >= 0.079


@pytest.mark.parametrize("seconds", [60.0, 0.0])
async def test_a_cancellation_from_outside_stays_one_also_when_the_time_is_over(seconds: float) -> None:
    async def cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()  # it arrives where it next waits; with no time at all, the limit's timer is due then, too
        await asyncio.Event().wait()

    task = asyncio.create_task(Limit(seconds).of(cancelled()))
    await asyncio.wait({task})
    assert task.cancelled()
