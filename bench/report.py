"""A figure, its yardstick from the same run, and what it should reach; the table and the JSON made of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec
from rich.table import Table


class Aim(msgspec.Struct, frozen=True):
    """What a figure should reach: its `value`, or its `ratio` to the yardstick, at least or at most `bound`."""

    of: Literal["value", "ratio"]
    direction: Literal[">=", "<="]
    bound: float

    def is_met(self, figure: Figure) -> bool | None:
        """None where there is nothing to compare with."""
        reached = figure.value if self.of == "value" else figure.ratio
        if reached is None:
            return None
        return reached >= self.bound if self.direction == ">=" else reached <= self.bound

    def __str__(self) -> str:
        sign = {">=": "≥", "<=": "≤"}[self.direction]
        return f"{sign} {shown(self.bound)}{' ×' if self.of == 'ratio' else ''}"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `yardstick` says what `against` is the figure of; without one there is no ratio."""

    topic: str
    what: str
    value: float
    unit: str
    yardstick: str = ""
    against: float | None = None
    aims: tuple[Aim, ...] = ()
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value in terms of the yardstick."""
        return self.value / self.against if self.against else None

    @property
    def is_met(self) -> bool | None:
        """Whether it reaches all its aims; None where it has none that can be judged."""
        verdicts = [verdict for aim in self.aims if (verdict := aim.is_met(self)) is not None]
        return all(verdicts) if verdicts else None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one run, and where it was taken."""

    taken_at: str
    machine: str
    versions: str
    quick: bool
    figures: list[Figure]
    missing: list[str] = []
    """Yardsticks that are not installed, and how to get them."""
    series: dict[str, list[tuple[float, float]]] = {}
    """What is plotted: points by the name of their line."""


def at_least(bound: float) -> Aim:
    """The value should be so high."""
    return Aim("value", ">=", bound)


def at_most(bound: float) -> Aim:
    """The value should not be higher."""
    return Aim("value", "<=", bound)


def ratio_at_least(bound: float) -> Aim:
    """The value should be so many times the yardstick's."""
    return Aim("ratio", ">=", bound)


def ratio_at_most(bound: float) -> Aim:
    """The value should not be more than so many times the yardstick's."""
    return Aim("ratio", "<=", bound)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent are not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def shown(value: float) -> str:
    """Three digits that count, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"


class Sheet(msgspec.Struct, frozen=True):
    """What a table says, whatever it is drawn with."""

    title: str
    rows: list[list[str]]


HEADER = ["what", "measured", "yardstick, same run", "its figure", "ratio", "to reach", "met"]


def sheet(run: Run) -> Sheet:
    """One run."""
    rows = []
    for figure in run.figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f} ×"
        against = "" if figure.against is None else f"{shown(figure.against)} {figure.unit}"
        rows.append(_row(figure, f"{shown(figure.value)} {figure.unit}", against, ratio, [figure.is_met]))
    quick = " · QUICK: smaller sizes" if run.quick else ""
    return Sheet(f"{run.machine} · {run.versions} · {run.taken_at}{quick}", rows)


def spread(runs: Sequence[Run], topics: Sequence[str]) -> Sheet:
    """Several runs: the median of each figure of these topics, with the lowest and the highest."""
    rows = []
    for first in (figure for figure in runs[0].figures if figure.topic in topics):
        same = [found for run in runs if (found := _find(run, first)) is not None]
        against = [figure.against for figure in same if figure.against is not None]
        ratios = [figure.ratio for figure in same if figure.ratio is not None]
        rows.append(
            _row(
                first,
                f"{_spread([figure.value for figure in same])} {first.unit}",
                f"{_spread(against)} {first.unit}" if against else "",
                f"{_spread(ratios, '.2f')} ×" if ratios else "",
                [figure.is_met for figure in same],
            )
        )
    return Sheet(f"{runs[0].machine} · {runs[0].versions} · {len(runs)} runs: median (lowest – highest)", rows)


def table(sheet: Sheet) -> Table:
    """For a terminal."""
    made = Table(title=sheet.title, title_justify="left", show_lines=False)
    for name in HEADER:
        right = name in {"measured", "its figure", "ratio"}
        made.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in sheet.rows:
        made.add_row(*row)
    return made


def markdown(sheet: Sheet) -> str:
    """For a document."""
    lines = [HEADER, ["---", "--:", "---", "--:", "--:", "---", "---"], *sheet.rows]
    drawn = ["| " + " | ".join(cell.replace("\n  ", "; ") for cell in line) + " |" for line in lines]
    return "\n".join([sheet.title, "", *drawn])


def _find(run: Run, wanted: Figure) -> Figure | None:
    return next((one for one in run.figures if (one.topic, one.what) == (wanted.topic, wanted.what)), None)


def _spread(values: Sequence[float], form: str = "") -> str:
    low, middle, high = (
        format(value, form) if form else shown(value) for value in (min(values), statistics.median(values), max(values))
    )
    return middle if len(values) == 1 else f"{middle} ({low} – {high})"


def _row(figure: Figure, value: str, against: str, ratio: str, met: list[bool | None]) -> list[str]:
    verdicts = [verdict for verdict in met if verdict is not None]
    verdict = "" if not verdicts else "yes" if all(verdicts) else "NO" if not any(verdicts) else "in part"
    what = f"{figure.what}\n  {figure.note}" if figure.note else figure.what
    return [what, value, figure.yardstick, against, ratio, ", ".join(map(str, figure.aims)), verdict]
