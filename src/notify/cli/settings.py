"""`notify config`: each setting, its value, and where it comes from."""

from __future__ import annotations

import click

from notify.cli.common import as_json, environment, located, prepared, say, say_json, table
from notify.cli.text import printable
from notify.environment import Described, describe, redact, unknown


@click.command()
@click.option("--database-url", is_flag=True, help="Print only the URL of the database, passwords replaced.")
@as_json
def config(database_url: bool, json: bool) -> None:
    """Every setting, its value and its source; secrets are not shown."""
    settings = prepared()
    if database_url:
        # Of the embedded server there is no password, so that others can be told to connect to it.
        say(str(redact("database_url", located(settings).database_url)))
        return
    described = describe(settings, environment())
    if json:
        say_json(described)
    else:
        say(table([_row(setting) for setting in described]))
    for name in unknown(environment()):
        click.echo(f"notify: {printable(name)} is set, but there is no such setting", err=True)


def _row(setting: Described) -> tuple[str, ...]:
    value = "" if setting.value is None else printable(str(setting.value))
    return setting.variable, value or "-", setting.source, setting.description
