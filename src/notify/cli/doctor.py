"""`notify doctor`: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import click
import msgspec
import psycopg

from notify.cli.common import NoDatabase, as_json, database, environment, located, prepared, say, say_json, table
from notify.cli.place import server_url
from notify.config import Settings
from notify.environment import unknown
from notify.errors import NotifyError
from notify.postgres import migrate
from notify.postgres.connection import here
from notify.postgres.queries import one_sync
from notify.supervise import describe

State = Literal["ok", "warning", "wrong"]

_IN_DATABASE = ("database", "schema", "worker")
_CHECKS = ("settings", *_IN_DATABASE, "api", "disk")
_OLDEST_SERVER = 150_000
_SKEW_SECONDS = 1.0
# The ticker and the sweep see to everything within seconds; a minute means that nobody does.
_LATE_SECONDS = 60.0
# Every worker uses a session much more often, whichever clocks it runs: one that is silent for so long hangs.
_SILENT_SECONDS = 60
_QUEUE_USAGE = 0.5
_DISK_LOW_BYTES, _DISK_FULL_BYTES = 2_000_000_000, 200_000_000
_HTTP_SECONDS = 3.0
_HEALTH_BYTES = 100_000


class Finding(msgspec.Struct, frozen=True):
    """What one check found."""

    check: str
    state: State
    detail: str


class _Server(msgspec.Struct, frozen=True):
    version: int
    at: datetime
    fsync: bool
    full_page_writes: bool
    standby: bool
    queue_usage: float


class _Work(msgspec.Struct, frozen=True):
    workers: int
    overdue: int
    lateness: float
    dead_letters: int


@click.command()
@click.argument("checks", nargs=-1, type=click.Choice(_CHECKS))
@click.option("--here", "only_here", is_flag=True, help="Of workers, look only for one on this machine or container.")
@as_json
def doctor(checks: tuple[str, ...], only_here: bool, json: bool) -> None:
    """Check the service, all of it or only the named CHECKS. Exits with 1 if something is wrong."""
    settings = prepared()
    findings = list(_examine(settings, set(checks), here() if only_here else None))
    say_json(findings) if json else say(table([(f.state, f.check, f.detail) for f in findings]))
    sys.exit(1 if any(finding.state == "wrong" for finding in findings) else 0)


def _examine(settings: Settings, wanted: set[str], host: str | None) -> Iterator[Finding]:
    wanted = wanted or set(_CHECKS)
    if "settings" in wanted:
        yield from _settings()
    if in_database := [check for check in _IN_DATABASE if check in wanted]:
        # Each of these needs the ones before it: what is wrong there is the answer, too.
        needed = _IN_DATABASE[: _IN_DATABASE.index(in_database[-1]) + 1]
        for finding in _in_database(settings, host):
            if finding.check in wanted or (finding.check in needed and finding.state == "wrong"):
                yield finding
    if "api" in wanted:
        yield _api(settings)
    if "disk" in wanted:
        yield _disk(settings)


def _settings() -> Iterator[Finding]:
    for name in unknown(environment()):
        yield Finding("settings", "warning", f"{name} is set, but there is no such setting")


def _in_database(settings: Settings, host: str | None) -> Iterator[Finding]:
    try:
        settings = located(settings)
        with database(settings) as connection:
            server = one_sync(connection, "server_health", _Server)
            yield from _database(server, datetime.now(UTC))
            schema = _schema(str(settings.database_url))
            yield schema
            if schema.state != "wrong":
                work = one_sync(connection, "work_health", _Work, host=host, silent=_SILENT_SECONDS)
                yield from _worker(work, only_here=host is not None)
    except NoDatabase as error:
        yield Finding("database", "wrong", error.message)
    except (psycopg.Error, OSError) as error:
        yield Finding("database", "wrong", describe(error))


def _database(server: _Server, here: datetime) -> Iterator[Finding]:
    version = f"Postgres {server.version // 10_000}.{server.version % 10_000}"
    if server.version < _OLDEST_SERVER:
        yield Finding("database", "wrong", f"{version}: notify needs 15 or newer")
    elif server.standby:
        yield Finding("database", "wrong", f"{version} is a standby: notify needs the primary")
    else:
        yield Finding("database", "ok", version)
    skew = (here - server.at).total_seconds()
    if abs(skew) > _SKEW_SECONDS:
        detail = f"this machine's clock is {skew:+.1f} s off the database's, which decides what is due"
        yield Finding("database", "warning", detail)
    for name in ("fsync", "full_page_writes"):
        if not getattr(server, name):
            yield Finding("database", "warning", f"{name} is off: a crash of the machine may lose the data")
    if server.queue_usage > _QUEUE_USAGE:
        detail = f"the NOTIFY queue is {server.queue_usage:.0%} full: some session listens in a long transaction"
        yield Finding("database", "warning", detail)


def _schema(url: str) -> Finding:
    try:
        pending = migrate.plan(url)
    except NotifyError as error:
        return Finding("schema", "wrong", str(error))
    if pending:
        return Finding("schema", "wrong", f"lacks {len(pending)} steps, first {pending[0]}: run notify migrate")
    if not migrate.check(url):
        return Finding("schema", "warning", "a newer version of notify has migrated this database")
    return Finding("schema", "ok", "up to date")


def _worker(work: _Work, *, only_here: bool) -> Iterator[Finding]:
    late = f"{work.overdue} overdue by up to {work.lateness:.0f} s" if work.overdue else "nothing overdue"
    if not work.workers:
        where, remedy = (" here", "look at its log") if only_here else ("", "start notify up or notify worker")
        yield Finding("worker", "wrong", f"no worker runs{where}, {late}: {remedy}")
    elif work.lateness > _LATE_SECONDS:
        # A row that some session has locked says nothing against the worker that one asks about.
        yield Finding("worker", "warning" if only_here else "wrong", f"{late}: look at notify.stuck")
    else:
        yield Finding("worker", "ok", f"{work.workers} running{' here' if only_here else ''}, {late}")
    if work.dead_letters:
        yield Finding("worker", "warning", f"{work.dead_letters} given up: look at notify.dead_letters")


def _api(settings: Settings) -> Finding:
    url = f"{server_url(settings)}/health/ready"
    try:
        status = _get(url)
    except (OSError, ValueError) as error:
        return Finding("api", "wrong", f"{url} does not answer ({describe(error)})")
    if status != HTTPStatus.OK:
        return Finding("api", "wrong", f"{url} answers {status}")
    return Finding("api", "ok", f"{url} answers {status}")


def _get(url: str) -> int:
    """The status of an answer. Not through a proxy, as the server is ours."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_HTTP_SECONDS) as answer:
            answer.read(_HEALTH_BYTES)
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code


def _disk(settings: Settings) -> Finding:
    """Of the data directory: the disk of a database elsewhere is not ours to see."""
    folder = Path(settings.data_dir)
    if not folder.exists():
        return Finding("disk", "ok", "no data directory here")
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free for {settings.data_dir}"
    if free < _DISK_FULL_BYTES:
        return Finding("disk", "wrong", detail)
    return Finding("disk", "warning" if free < _DISK_LOW_BYTES else "ok", detail)
