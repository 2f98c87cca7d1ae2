"""When addresses that cannot be reached are an outage of their channel: many different ones, and nobody in between."""

from __future__ import annotations

import pytest

from notify.channels.protocol import Outcome, final, retry, sent
from notify.tally import Tally

NOBODY = retry("connect", unreachable=True)
DOWN = retry("smtp-421", outage=True)


def _outages(tally: Tally, *addresses: str) -> list[bool]:
    """Of attempts that nobody answered at these addresses, which were outages."""
    return [tally.count(NOBODY, address).outage for address in addresses]


def test_many_different_ones_are_an_outage_at_once() -> None:
    tally = Tally(3)
    assert _outages(tally, "a", "b") == [False, False]
    assert not tally.is_down
    assert _outages(tally, "c") == [True]
    assert tally.is_down


def test_one_address_is_none_however_often_it_fails() -> None:
    tally = Tally(3)
    assert not any(_outages(tally, *"ababababab"))
    assert not tally.is_down


def test_from_then_on_all_are_until_somebody_answers() -> None:
    tally = Tally(3)
    _outages(tally, "a", "b", "c")
    assert _outages(tally, "a") == [True]
    tally.count(sent(), "d")
    assert not tally.is_down
    assert _outages(tally, "a", "b", "e") == [False, False, True]


def test_what_the_database_was_told_is_not_forgotten() -> None:
    tally = Tally(3)
    _outages(tally, "a", "b", "c")
    tally.told()
    assert not tally.is_down
    assert _outages(tally, "a") == [True]


@pytest.mark.parametrize("answer", [sent(), retry("http-503"), final("http-410", disable=True)])
def test_any_answer_begins_it_anew(answer: Outcome) -> None:
    tally = Tally(3)
    _outages(tally, "a", "b")
    assert tally.count(answer, "c") is answer
    assert _outages(tally, "d", "e") == [False, False]


def test_outages_count_without_their_addresses() -> None:
    tally = Tally(3)
    for _ in range(2):
        assert tally.count(DOWN, "a") is DOWN
    assert not tally.is_down
    tally.count(DOWN, "a")
    assert tally.is_down


def test_an_outage_is_no_answer() -> None:
    tally = Tally(3)
    _outages(tally, "a", "b")
    tally.count(DOWN, "b")
    assert _outages(tally, "c") == [True]


def test_what_the_channel_said_is_kept() -> None:
    told = Tally(1).count(retry("dns", "no such name", retry_after=3, unreachable=True), "a")
    assert told == retry("dns", "no such name", retry_after=3, outage=True, unreachable=True)
