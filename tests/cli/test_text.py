"""Times, spans and strangers' texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from notify.cli.text import clock, lateness, length, moment, printable, span, stamp
from notify.errors import InvalidValue

NOON = datetime(2026, 1, 1, 12, 0, 5, 6000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("1h30m", 5400), ("90d", 7_776_000), ("0.5s", 0.5), ("2w", 1_209_600)]
)
def test_spans(text: str, seconds: float) -> None:
    assert span(text, field="x") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "5y", "٣s", "9" * 400 + "d"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(InvalidValue):
        span(text, field="x")


def test_moments() -> None:
    assert moment("+5s", NOON) == NOON + timedelta(seconds=5)
    assert moment("2030-12-28T10:00:00+02:00", NOON) == datetime(2030, 12, 28, 8, tzinfo=UTC)


def test_clocks() -> None:
    assert clock(NOON, NOON) == "12:00:05Z"
    assert clock(NOON + timedelta(days=2), NOON) == "2026-01-03T12:00:05Z"
    assert stamp(NOON, NOON) == "12:00:05.006"
    assert stamp(NOON, NOON + timedelta(days=2)) == "2026-01-01T12:00:05.006"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0064, "6 ms"), (2.34, "2.3 s"), (5, "5.0 s"), (300, "5 min"), (10_800, "3 h"), (1_036_800, "12 d")],
)
def test_lengths(seconds: float, text: str) -> None:
    assert length(seconds) == text


def test_lateness_tells_clocks_that_disagree() -> None:
    assert lateness(NOON, NOON - timedelta(milliseconds=6)) == "6 ms after due"
    assert lateness(NOON, NOON + timedelta(seconds=3)) == "3.0 s before due"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 世界 👩\u200d💻", "Grüße, 世界 👩\u200d💻"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("\u2028", r"\u2028"),
    ],
)
def test_terminals_are_not_told_what_to_do(text: str, shown: str) -> None:
    assert printable(text) == shown
