"""Lateness over time while a million low ones drain, as an SVG of a few kilobytes."""

from __future__ import annotations

from pathlib import Path

from bench.report import Run

_COLOURS = {"low ones": "#8a8f98", "urgent ones": "#c2410c"}
MISSING = "the plot of lateness: `uv sync --group bench` installs matplotlib"


def draw(run: Run, file: Path) -> None:
    """Write the plot; where matplotlib or the points are missing, the run says so instead."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  # of the group bench: not installed everywhere
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        run.missing.append(MISSING)
        return
    if not run.series.keys() >= _COLOURS.keys():
        run.missing.append("the plot of lateness: the topic urgent was not run")
        return
    # Ids in the file are random otherwise, and text would be drawn as paths.
    with mpl.rc_context({"svg.hashsalt": "notify", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for name, colour in _COLOURS.items():
            points = run.series[name]
            axes.plot([at for at, _ in points], [late for _, late in points], ".", ms=4, color=colour, label=name)
        axes.set_yscale("log")
        axes.set_xlabel("seconds since the low ones were due")
        axes.set_ylabel("lateness, ms")
        axes.grid(visible=True, axis="y", alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.legend(frameon=False, loc="center right")
        figure.savefig(file, format="svg", metadata={"Date": None})
