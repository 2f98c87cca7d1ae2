"""What all commands share: settings with flags on top, the way to the database, and output."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import psycopg
from psycopg import Connection

from notify import log
from notify.config import PREFIX, Settings
from notify.environment import load
from notify.errors import EmbeddedError
from notify.postgres.connection import connect_sync
from notify.supervise import describe

Command = TypeVar("Command", bound=Callable[..., Any])
_GOOD_KEY = 16
_HINT = "start notify up or set NOTIFY_DATABASE_URL"


class NoDatabase(click.ClickException):
    """There is no database to talk to. Exits with 2."""

    exit_code = 2

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}: {_HINT}")

    def show(self, file: Any = None) -> None:
        click.echo(f"notify: {self.message}", err=True)


def prepared(**flags: str | int | None) -> Settings:
    """The settings, flags before the environment, with logging set up. A flag that is None was not given."""
    given = {PREFIX + name.upper(): str(value) for name, value in flags.items() if value is not None}
    settings = load({**os.environ, **given})
    log.configure(settings)
    if settings.api_key is not None and len(settings.api_key) < _GOOD_KEY:
        click.echo(f"notify: NOTIFY_API_KEY has less than {_GOOD_KEY} characters, and can be guessed", err=True)
    return settings


def located(settings: Settings) -> Settings:
    """The settings with a database: the configured one, or the embedded one that runs on the data directory."""
    if settings.database_url is not None:
        return settings
    found = _running(settings.data_dir)
    if found is None:
        raise NoDatabase("no database")
    return msgspec.structs.replace(settings, database_url=found)


@contextmanager
def database(settings: Settings) -> Iterator[Connection[tuple[Any, ...]]]:
    """An autocommit connection for one command. Raises NoDatabase if there is nobody to talk to."""
    settings = located(settings)
    try:
        connection = connect_sync(settings, name="cli")
    except psycopg.OperationalError as error:
        raise NoDatabase(f"the database does not answer ({describe(error)})") from error
    with connection:
        yield connection


def _running(data_dir: str) -> str | None:
    try:
        from notify.postgres import embedded  # noqa: PLC0415 - only with the extra [embedded]
    except ModuleNotFoundError:
        return None
    return embedded.running(Path(data_dir))


def packaged(program: str) -> str | None:
    """The path of a program of the embedded server, or None where the extra [embedded] is not installed."""
    try:
        from notify.postgres import embedded  # noqa: PLC0415 - only with the extra [embedded]

        return str(embedded.bin_dir() / program)
    except (ModuleNotFoundError, EmbeddedError):
        return None


def as_json(command: Command) -> Command:
    """Adds the option `--json`, handed over as `json`."""
    return click.option("--json", is_flag=True, help="Print JSON, for programs.")(command)


def say(text: str) -> None:
    """Print a line; click flushes, so it shows at once in a pipe too."""
    click.echo(text)


def say_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    say(msgspec.json.encode(value, enc_hook=str).decode())


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows of columns, each as wide as its widest cell, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def environment() -> Mapping[str, str]:
    """The environment that settings come from."""
    return os.environ
