"""`just bench [--quick] [--json FILE] [--plot FILE] [--only TOPIC …] [--spread FILE …]`: one table of all figures."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich.console import Console

from bench import plot, report, stack
from bench.context import Bench, progress_bars
from bench.report import Figure, Run, Sheet

# In this order; each is a module of this package.
TOPICS = (
    "accept",
    "many",
    "ahead",
    "drain",
    "latency",
    "urgent",
    "calendar",
    "snapshot",
    "locked",
    "gateway",
    "storm",
    "outside",
    "idle",
    "growth",
    "others",
)
# Of the table where stdout is no terminal.
_WIDTH = 180


def main() -> int:
    """Run what is asked for and print it; 1 when a figure of a full run misses its aim."""
    asked = _arguments()
    if asked.spread:
        runs = [msgspec.json.decode(file.read_bytes(), type=Run) for file in asked.spread]
        _print(report.spread(runs, asked.only or TOPICS), asked)
        return 0
    run = _measure(asked.only or TOPICS, quick=asked.quick)
    if asked.plot:
        plot.draw(run, asked.plot)
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    _print(report.sheet(run), asked)
    for missing in run.missing:
        print(f"not measured: {missing}")
    return int(any(figure.is_met is False for figure in run.figures) and not run.quick)


def _print(sheet: Sheet, asked: argparse.Namespace) -> None:
    if asked.markdown:
        print(report.markdown(sheet))
    else:
        Console(width=None if sys.stdout.isatty() else _WIDTH).print(report.table(sheet))


def _measure(topics: tuple[str, ...] | list[str], *, quick: bool) -> Run:
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request, once anything has set logging up
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    figures: list[Figure] = []
    log = Console(stderr=True)
    with stack.cluster() as cluster, progress_bars() as bars:
        bench = Bench(cluster, quick=quick, bars=bars)
        with cluster.admin() as connection:
            server = str(connection.execute("show server_version").fetchone()[0])  # type: ignore[index]  # one row
        for topic in topics:
            started = time.monotonic()
            measured: list[Figure] = importlib.import_module(f"bench.{topic}").measure(bench)
            figures += measured
            log.print(f"{topic}: {time.monotonic() - started:.0f} s")
    return Run(
        taken_at=taken_at,
        machine=f"{os.cpu_count()} CPUs ({_cpu()}), {platform.system()}",
        versions=f"Postgres {server}, Python {platform.python_version()}, notify {version('notify-postgres')}",
        quick=quick,
        figures=figures,
        missing=bench.missing,
        series=bench.series,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just bench", description="Measure notify beside its yardsticks.")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the sizes: to try the bench, not notify")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the lateness of the topic urgent there, as SVG")
    parser.add_argument("--only", nargs="+", choices=TOPICS, metavar="TOPIC", help=f"some of {', '.join(TOPICS)}")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--spread", nargs="+", type=Path, metavar="FILE", help="print earlier runs side by side")
    return parser.parse_args()


def _cpu() -> str:
    """The processor's name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
