"""Connections as notify needs them: dead peers and frozen links are noticed, and the session's settings are pinned.

A server or a role may be configured in any way (another time zone, serializable, asynchronous commit);
our statements rely on the values set here.

Prepared statements keep psycopg's default: a statement is prepared at its fifth run. Their result columns are
named in sql/queries, so a migration under a running process does not change what a prepared plan returns.
"""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import set_json_loads

from notify.config import Settings
from notify.errors import ConfigError
from notify.postgres.bounded import AsyncBoundedConnection, BoundedConnection

# Of the 63 of an application name; the rest is for what stands around it.
_HOST_CHARACTERS = 40
# What an answer may take on its way beyond the statement_timeout.
_TRAVEL_SECONDS = 5.0

_PORTS = re.compile(r"[0-9, ]*")
_MALFORMED = "NOTIFY_DATABASE_URL should be like postgresql://user:password@host/database"

_CONFIGURE = """
select set_config('TimeZone', 'UTC', false),
       set_config('client_encoding', 'UTF8', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('synchronous_commit', 'on', false),
       set_config('lock_timeout', %(lock_timeout)s, false),
       set_config('statement_timeout', %(statement_timeout)s, false),
       set_config('idle_in_transaction_session_timeout', %(idle_in_transaction_timeout)s, false)
"""


def conninfo(target: Settings | str, *, name: str) -> str:
    """The libpq connection string for settings, or for a URL or keywords with default settings.

    The application name is `notify-<name>`. A dead peer is noticed within `tcp_user_timeout` when something
    is under way, within 11 s (5 + 3 x 2) when idle. What the URL itself sets, it keeps.
    Raises ConfigError for a missing or malformed URL, without repeating it, as it may hold a password.
    """
    settings, url = _split(target)
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise ConfigError(_MALFORMED) from error
    # After a password with a slash that is not written %2F, its beginning is the port, and libpq would say so.
    if not _PORTS.fullmatch(str(given.get("port", ""))):
        raise ConfigError(_MALFORMED)
    defaults = {
        "connect_timeout": settings.connect_timeout,
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": _milliseconds(settings.tcp_user_timeout),
    }
    return make_conninfo("", **(defaults | given | {"application_name": f"notify-{name}"}))


async def connect(target: Settings | str, *, name: str, autocommit: bool = True) -> AsyncBoundedConnection:
    """Open one configured connection; the caller closes it. Raises psycopg.OperationalError if it cannot."""
    connection = await AsyncBoundedConnection.connect(conninfo(target, name=name), autocommit=True)
    try:
        await configure(connection, target)
        await connection.set_autocommit(autocommit)
    except BaseException:
        await connection.close()
        raise
    return connection


def connect_sync(target: Settings | str, *, name: str, autocommit: bool = True) -> BoundedConnection:
    """As `connect`, for code without an event loop."""
    connection = BoundedConnection.connect(conninfo(target, name=name), autocommit=True)
    try:
        connection.execute(_CONFIGURE, _parameters(target))
        connection.limit.seconds = _answer_seconds(target)
        set_json_loads(_load_json, connection)
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


async def configure(connection: AsyncBoundedConnection, target: Settings | str) -> None:
    """Pin the session's settings, in one statement. The connection must be in autocommit mode, or it is left
    in a transaction whose rollback undoes them."""
    await connection.execute(_CONFIGURE, _parameters(target))
    connection.limit.seconds = _answer_seconds(target)
    set_json_loads(_load_json, connection)


def _load_json(text: str | bytes) -> Any:
    """What msgspec reads takes it a third of the time. But it refuses numbers beyond a double, and Python integers of
    more than 4,300 digits, all of which a jsonb may hold: these become infinite, so that no row stops others."""
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def here() -> str:
    """The name of this machine or container, as it fits into an application name."""
    return socket.gethostname().encode("ascii", "replace").decode()[:_HOST_CHARACTERS]


def _split(target: Settings | str) -> tuple[Settings, str]:
    if isinstance(target, str):
        return Settings(), target
    if target.database_url is None:
        raise ConfigError("NOTIFY_DATABASE_URL is not set: it should name the database")
    return target, target.database_url


def _answer_seconds(target: Settings | str) -> float | None:
    """How long an answer may take; without a limit for statements there is none for their answers."""
    timeout = _settings(target).statement_timeout
    return timeout + _TRAVEL_SECONDS if timeout else None


def _settings(target: Settings | str) -> Settings:
    return Settings() if isinstance(target, str) else target


def _parameters(target: Settings | str) -> dict[str, str]:
    settings = _settings(target)
    return {
        "lock_timeout": str(_milliseconds(settings.lock_timeout)),
        "statement_timeout": str(_milliseconds(settings.statement_timeout)),
        "idle_in_transaction_timeout": str(_milliseconds(settings.idle_in_transaction_timeout)),
    }


def _milliseconds(seconds: float) -> int:
    """Rounded up, since 0 would mean no limit at all."""
    return -int(-seconds * 1000 // 1)
