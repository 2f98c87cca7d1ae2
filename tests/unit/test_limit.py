"""The limit of many things under way: each has its own time, results and cancellations pass, and nothing is left."""

from __future__ import annotations

import asyncio

import pytest

from notify.limit import Limit


async def _for_ever(ended: list[str], name: str = "") -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(name)


async def test_what_is_in_time_returns_what_it_does_and_raises_what_it_does() -> None:
    async def work(fails: bool) -> str:
        await asyncio.sleep(0)
        if fails:
            raise LookupError
        return "done"

    limit = Limit(60)
    assert await limit.of(work(False)) == "done"
    with pytest.raises(LookupError):
        await limit.of(work(True))


async def test_what_is_late_is_cancelled_each_by_its_own_time() -> None:
    limit, ended = Limit(0.05), list[str]()
    first = asyncio.create_task(limit.of(_for_ever(ended, "first")))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    at = loop.time()
    later: asyncio.Future[asyncio.Task[None]] = loop.create_future()
    loop.call_later(0.03, lambda: later.set_result(asyncio.create_task(limit.of(_for_ever(ended, "second")))))
    with pytest.raises(TimeoutError):
        await first
    with pytest.raises(TimeoutError):
        await (await later)
    assert ended == ["first", "second"]
    assert loop.time() - at >= 0.079


async def test_a_cancellation_from_outside_stays_one_also_when_the_time_is_over() -> None:
    for seconds in (60.0, 0.0):
        limit, ended = Limit(seconds), list[str]()
        task = asyncio.create_task(limit.of(_for_ever(ended)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [""]
