"""The retry policy: when the next try comes, and when there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.channels.protocol import Outcome, final, retry, sent
from notify.retry import Policy, Verdict, give_up, judge

DEFAULT = Policy()


def _judge(policy: Policy, outcome: Outcome, tries: int = 0, age: float = 0.0, chance: float = 0.0) -> Verdict:
    return judge(policy, outcome, tries=tries, age=age, chance=lambda: chance)


def test_by_default_it_is_the_references() -> None:
    minutes = [_judge(DEFAULT, retry("http-500"), tries).delay / 60 for tries in range(3)]
    assert minutes == [5, 10, 20]
    assert _judge(DEFAULT, retry("http-500"), 3) == Verdict("failed", why="after 4 tries")


def test_what_was_sent_is_sent_and_what_is_final_final() -> None:
    assert _judge(DEFAULT, sent("250 ok"), 3, age=1e9).kind == "sent"
    assert _judge(DEFAULT, final("smtp-550")).kind == "failed"


def test_the_provider_may_ask_for_longer_but_not_for_less() -> None:
    assert _judge(DEFAULT, retry("http-429", retry_after=400)).delay == 400
    assert _judge(DEFAULT, retry("http-429", retry_after=10)).delay == 300


def test_jitter_adds_a_part_of_the_delay() -> None:
    assert _judge(Policy(delays=(100,), jitter=0.5), retry("x"), chance=0.5).delay == 125


def test_a_try_that_would_come_too_late_is_not_made() -> None:
    policy = Policy(delays=(100, 100), jitter=0, max_age=150)
    assert _judge(policy, retry("x"), age=50).kind == "retry"
    late = _judge(policy, retry("x"), age=51)
    assert (late.kind, late.why) == ("failed", "the next try would come later than 150 s after the first")


@pytest.mark.parametrize(
    ("pattern", "code", "is_final"),
    [
        ("http-404", "http-404", True),
        ("http-4xx", "http-404", True),
        ("http-4xx", "http-500", False),
        ("http-4xx", "http-4", False),
        ("http-4xx", "http-4ab", False),
        ("timeout", "timeout", True),
        ("time", "timeout", False),
    ],
)
def test_codes_can_be_final(pattern: str, code: str, is_final: bool) -> None:
    assert (_judge(Policy(final=(pattern,)), retry(code)).kind == "failed") == is_final


@given(st.lists(st.floats(0, 604_800), max_size=20), st.floats(0, 1), st.integers(0, 30), st.floats(0, 0.999))
def test_a_delay_lies_between_the_policys_and_its_jitter(
    delays: list[float], jitter: float, tries: int, chance: float
) -> None:
    policy = Policy(delays=tuple(delays), jitter=jitter, max_age=1e12)
    verdict = _judge(policy, retry("x"), tries, chance=chance)
    assert (verdict.kind == "failed") == (tries >= len(delays))
    if verdict.kind == "retry":
        assert delays[tries] <= verdict.delay <= delays[tries] * (1 + jitter) + 1e-6


@pytest.mark.parametrize(("delays", "tries", "delay"), [((), 0, 60), ((5,), 0, 5), ((5,), 1, 5), ((5, 9), 7, 9)])
def test_an_outage_uses_up_no_retry_not_even_the_last(delays: tuple[float, ...], tries: int, delay: float) -> None:
    policy = Policy(delays=delays, jitter=0, max_age=100)
    down = retry("connect", outage=True)
    assert _judge(policy, down, tries) == Verdict("retry", delay)
    assert _judge(policy, down, tries, age=99).kind == "failed"
    assert _judge(Policy(delays=delays, final=("connect",)), down, tries).kind == "failed"


def test_a_provider_may_ask_to_be_left_alone_for_a_day() -> None:
    assert _judge(DEFAULT, retry("http-503", retry_after=86_400), age=0.1) == Verdict("retry", 86_400)


def test_what_waited_beyond_its_age_is_given_up() -> None:
    policy = Policy(delays=(1, 1), max_age=100)
    assert give_up(policy, tries=1, age=100) is None
    over = give_up(policy, tries=1, age=100.1)
    assert over == final("too-old", "it waited until 100 s after its first try")


def test_more_leases_may_be_lost_than_there_are_retries() -> None:
    assert give_up(Policy(delays=(1,)), tries=3, age=0) is None
    lost = give_up(Policy(delays=(1,)), tries=4, age=0)
    assert lost is not None
    assert lost.code == "lease-lost"
