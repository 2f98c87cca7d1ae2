"""`notify run`: a task by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import msgspec

from notify.cli.common import as_json, located, prepared, say, say_json
from notify.errors import InvalidValue
from notify.jobs import TASKS, run_task


@click.command(epilog=f"Tasks: {', '.join(sorted(TASKS))}.")
@click.argument("task")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@as_json
def run(task: str, arguments: tuple[str, ...], json: bool) -> None:
    """Run a task once, now, and print what it did; as `notify run cleanup_cancelled_notifications days_old=7`."""
    settings = located(prepared())
    done = asyncio.run(run_task(settings, task, **_told(arguments)))
    if json:
        say_json(done)
        return
    counts = ", ".join(f"{name} {value}" for name, value in done.items())
    say(f"{task}: {counts or 'done'}")


def _told(arguments: tuple[str, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, value in map(_argument, arguments):
        if name in told:
            raise InvalidValue(f"{name} is given twice", field=name)
        told[name] = value
    return told


def _argument(text: str) -> tuple[str, Any]:
    """A value is read as JSON where it is JSON, else as it stands."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise InvalidValue(f"{text!r} should be KEY=VALUE", field="arguments")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value
