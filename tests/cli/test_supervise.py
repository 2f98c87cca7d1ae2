"""Background tasks come back, and never end unseen."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from notify import supervise as module
from notify.supervise import GaveUp, backoff, describe, supervise


async def test_a_task_that_ends_is_started_again() -> None:
    runs = 0
    third = asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError("first")
        if runs == 3:
            third.set()
            await asyncio.Event().wait()

    with capture_logs() as logs:
        task = asyncio.create_task(supervise("job", run, base=0.001))
        await asyncio.wait_for(third.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    ended = [log for log in logs if log["event"] == "task ended"]
    assert [(log["task"], log["error"], log["failures"]) for log in ended] == [
        ("job", "RuntimeError: first", 1),
        ("job", "it returned", 2),
    ]


async def test_it_gives_up_after_failing_for_long() -> None:
    async def run() -> None:
        raise RuntimeError("always")

    with pytest.raises(GaveUp, match=r"job kept failing for .* s: RuntimeError: always") as given_up:
        await asyncio.wait_for(supervise("job", run, base=0.001, give_up_after=0.02), 5)
    assert isinstance(given_up.value.__cause__, RuntimeError)


async def test_a_lost_cancellation_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CANCEL_AGAIN_SECONDS", 0.01)
    cancelled = 0
    started = asyncio.Event()

    async def run() -> None:
        nonlocal cancelled
        while True:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
                if cancelled == 3:
                    raise

    task = asyncio.create_task(supervise("job", run))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert cancelled == 3


def test_pauses_grow_to_a_bound() -> None:
    assert all(0 <= backoff(1, 0.1, 5) <= 0.2 for _ in range(100))
    assert all(0 <= backoff(10_000, 0.1, 5) <= 5 for _ in range(100))
    assert max(backoff(20, 0.1, 5) for _ in range(100)) > 2


def test_errors_are_one_line() -> None:
    assert describe(ValueError("first\nsecond")) == "ValueError: first"
    assert describe(ValueError()) == "ValueError"
    assert describe(None) == "it returned"


def test_of_a_group_the_causes_are_said() -> None:
    refused = OSError("refused\nIs the server running?")
    inner = ExceptionGroup("unhandled errors in a TaskGroup", [refused, ValueError("odd")])
    outer = ExceptionGroup("unhandled errors in a TaskGroup", [inner, OSError("refused"), KeyError()])
    assert describe(inner) == "OSError: refused; ValueError: odd"
    assert describe(outer) == "OSError: refused; ValueError: odd; KeyError"
    many = ExceptionGroup("many", [ValueError(number) for number in range(9)])
    assert describe(many) == "ValueError: 0; ValueError: 1; ValueError: 2; and 6 more"
