"""All commands by name, loaded when called, and what a failure looks like: one line, no traceback."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import click
import psycopg
from psycopg import errors

from notify.errors import NotifyError
from notify.supervise import describe

# Where each command lives, in the order of the help.
_MODULES = {
    "up": "run",
    "api": "run",
    "worker": "run",
    "migrate": "schema",
    "psql": "schema",
    "send": "client",
    "listen": "listen",
    "status": "client",
    "cancel": "client",
    "deliveries": "deliveries",
    "replay": "deliveries",
    "channels": "channels",
    "pause": "channels",
    "resume": "channels",
    "keys": "keys",
    "token": "keys",
    "run": "task",
    "config": "settings",
    "doctor": "doctor",
}
_NO_SCHEMA = (errors.UndefinedTable, errors.UndefinedFunction, errors.InvalidSchemaName, errors.UndefinedColumn)


class Commands(click.Group):
    """Loads the module of a command only when it is needed: `send` does without the web server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _MODULES:
            return None
        module = importlib.import_module(f"notify.cli.{_MODULES[name]}")
        command: click.Command = getattr(module, name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="notify-postgres", prog_name="notify")
def cli() -> None:
    """Scheduled notifications in the Postgres you already have.

    Settings come from NOTIFY_* variables: `notify config` shows them all.
    """


def run() -> None:
    """Run the command line and exit."""
    try:
        cli(prog_name="notify")
    except NotifyError as error:
        _fail(str(error))
    except _NO_SCHEMA as error:
        _fail(f"the database has no notify schema of this version, run notify migrate ({describe(error)})")
    except psycopg.OperationalError as error:
        _fail(f"the database does not answer: {describe(error)}")
    except (psycopg.Error, OSError) as error:
        _fail(describe(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"notify: {message}", err=True)
    sys.exit(1)
