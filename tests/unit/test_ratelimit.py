"""Buckets of requests by a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.http import ratelimit
from notify.http.ratelimit import RateLimit, Verdict

SECOND = 1_000_000_000


class Clock:
    """In nanoseconds."""

    def __init__(self) -> None:
        self.now = 5 * SECOND

    def monotonic_ns(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(ratelimit, "time", made)
    return made


def take(limit: RateLimit, caller: str = "key:1") -> Verdict:
    verdict = limit.take(caller)
    assert verdict is not None
    return verdict


def test_zero_is_no_limit() -> None:
    assert RateLimit(0).take("key:1") is None


def test_a_burst_then_a_steady_rate(clock: Clock) -> None:
    limit = RateLimit(3)
    verdicts = [take(limit) for _ in range(4)]
    assert [(v.remaining, v.full_in, v.retry_after) for v in verdicts] == [
        (2, 20, 0),
        (1, 40, 0),
        (0, 60, 0),
        (0, 60, 20),
    ]
    assert verdicts[1].headers() == [
        (b"ratelimit-policy", b'"minute";q=3;w=60'),
        (b"ratelimit", b'"minute";r=1;t=40'),
    ]
    clock.now += 20 * SECOND - 1
    assert take(limit).retry_after == 1
    clock.now += 1
    assert take(limit).retry_after == 0
    assert take(limit).retry_after == 20
    clock.now += 60 * SECOND
    assert (take(limit).remaining, take(limit).remaining) == (2, 1)


def test_one_caller_does_not_spend_anothers(clock: Clock) -> None:
    limit = RateLimit(1)
    assert [take(limit, who).retry_after for who in ("a", "a", "b")] == [0, 60, 0]


@given(st.integers(1, 10_000), st.lists(st.integers(0, 120 * SECOND), max_size=40))
def test_what_is_said_is_true(per_minute: int, pauses: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(ratelimit, "time", clock)
        limit = RateLimit(per_minute)
        admitted: list[int] = []
        for pause in pauses:
            clock.now += pause
            verdict = take(limit)
            while verdict.retry_after == 0 and verdict.remaining:
                admitted.append(clock.now)
                before = verdict.remaining
                verdict = take(limit)
                assert verdict.retry_after or verdict.remaining == before - 1
            if verdict.retry_after:
                clock.now += verdict.retry_after * SECOND
                assert take(limit).retry_after == 0
            admitted.append(clock.now)
            recent = [at for at in admitted if at > clock.now - 60 * SECOND]
            assert len(recent) <= 2 * per_minute


def test_what_is_remembered_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "_CALLERS", 10)
    limit = RateLimit(2)
    for number in range(100):
        take(limit, f"recipient:{number}")
        take(limit, "key:1")
    assert len(limit._full_at) == 10
    assert take(limit).retry_after == 30  # who keeps asking is not forgotten
    clock.now += 60 * SECOND
    for number in range(10):
        take(limit, f"recipient:{number}")
    assert len(limit._full_at) == 10
    clock.now += 60 * SECOND
    for _ in range(10):
        take(limit)
    assert list(limit._full_at) == ["key:1"]
