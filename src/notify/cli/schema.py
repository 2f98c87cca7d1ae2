"""`notify migrate` and `notify psql`: the database itself."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping

import click
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from notify.cli.common import as_json, located, packaged, prepared, say, say_json
from notify.errors import NotFound
from notify.postgres import migrate as migrations


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 unless the schema is exactly this version's.")
@click.option("--plan", is_flag=True, help="Change nothing; print the steps that would be applied.")
@as_json
def migrate(check: bool, plan: bool, json: bool) -> None:
    """Bring the database to this version's schema. Many at once are one."""
    if check and plan:
        raise click.UsageError("--check and --plan exclude each other")
    url = str(located(prepared()).database_url)
    if check:
        current = migrations.check(url)
        say_json({"current": current}) if json else say("up to date" if current else "not this version's schema")
        sys.exit(0 if current else 1)
    if plan:
        steps = migrations.plan(url)
        say_json({"pending": steps}) if json else say("\n".join(steps) or "nothing to do")
        return
    report = migrations.migrate(url)
    if json:
        say_json(report)
        return
    say("\n".join(f"applied {step}" for step in report.applied) or "nothing to do")
    for step in report.unknown:
        click.echo(f"notify: {step} was applied by another version", err=True)


class _Verbatim(click.Command):
    """Hands everything behind its name to its function as it is, also `--help` and `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["arguments"] = tuple(args)
        return []


@click.command(cls=_Verbatim, add_help_option=False, options_metavar="[ARGUMENTS]...")
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database; all ARGUMENTS are psql's own."""
    url = str(located(prepared()).database_url)
    program = _program()
    os.execve(program, [program, *arguments], {**os.environ, **variables(url)})  # noqa: S606 - no shell


def variables(url: str) -> Mapping[str, str]:
    """The libpq variables that say what the URL says: unlike arguments, other users cannot read them."""
    names = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    given = {"application_name": "notify-psql", **conninfo_to_dict(url)}
    found = {names[keyword]: value for keyword, value in given.items() if names.get(keyword)}
    return {name.decode(): str(value) for name, value in found.items() if name is not None}


def _program() -> str:
    """The packaged psql where there is one, as it knows every version; else the system's."""
    found = packaged("psql") or shutil.which("psql")
    if found is None:
        raise NotFound("there is no psql here: install it, or notify-postgres[embedded]")
    return found
