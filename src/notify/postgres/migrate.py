"""Bringing a database to this version's schema: `migrate`, and what it would do: `plan`, `check`.

Order: Procrastinate's own schema (in `notify_jobs`), as our files refer to it; sql/migrations by name, each
once and in its own transaction; then sql/jobs.sql, and all of sql/functions and sql/views, again whenever they changed;
last sql/grants, again whenever anything changed: all belongs to notify_owner, and who may do what is said there.
An advisory lock is taken before anything, so any number of runs at once are one.

For authors of files: names are qualified (the search path is only pg_catalog); a function or view that is no
longer wanted, or whose signature changed, is dropped by a migration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import psycopg
from psycopg import Connection, errors, sql

from notify.errors import MigrationError
from notify.postgres import roles, steps
from notify.postgres.bounded import BoundedConnection
from notify.postgres.connection import connect_sync
from notify.postgres.queries import sql_dir
from notify.postgres.steps import Step, Steps

JOBS_SCHEMA = "notify_jobs"
_pause = time.sleep  # tests replace it
Conn = Connection[tuple[Any, ...]]

# Any number will do, as long as it stays: processes of different versions must meet at the same lock.
_LOCK_KEY = 7_598_807_758_576_251_493
_LOCK_TIMEOUT = "5s"
_LOCK_TRIES = 5
_LOCK_PAUSE_SECONDS = 1.0
# A table that needs no change but of its owner is asked for quickly and often: everybody queues behind the question.
_GENTLE_TIMEOUT = "100ms"
_GENTLE_TRIES = 25


class Report(msgspec.Struct, frozen=True):
    """What a run did: the steps it applied, and the recorded ones that this version does not know."""

    applied: tuple[str, ...]
    unknown: tuple[str, ...]


def migrate(dsn: str, *, sql_folder: Path | None = None) -> Report:
    """Apply what is pending; waits for a run already under way.

    Each step is committed before the next, so a run that failed is continued by the next one.
    Raises MigrationError when an applied file has changed or a step fails, psycopg.OperationalError without
    a connection.
    """
    wanted = steps.read(sql_folder or sql_dir())
    with _connection(dsn) as conn:
        _take_time(conn)
        conn.execute("select pg_advisory_lock(%s)", (_LOCK_KEY,))  # released with the connection
        if not _is_bootstrapped(conn):
            _apply(conn, "bootstrap", lambda: _execute(conn, wanted.bootstrap))
        recorded = _recorded(conn)
        _refuse_changed(wanted, recorded)
        unknown = _unknown(wanted, recorded)
        return Report(applied=tuple(_apply_pending(conn, wanted, recorded)), unknown=unknown)


def plan(dsn: str, *, sql_folder: Path | None = None) -> list[str]:
    """The names of the steps that `migrate` would apply, in order; changes nothing.

    Raises MigrationError when an applied file has changed.
    """
    wanted = steps.read(sql_folder or sql_dir())
    with _connection(dsn) as conn:
        recorded = _recorded(conn) if _is_bootstrapped(conn) else {}
    _refuse_changed(wanted, recorded)
    return [step.name for step in _pending(wanted, recorded)]


def check(dsn: str, *, sql_folder: Path | None = None) -> bool:
    """True if the database has exactly this version's schema: nothing pending, changed, or unknown."""
    wanted = steps.read(sql_folder or sql_dir())
    with _connection(dsn) as conn:
        recorded = _recorded(conn) if _is_bootstrapped(conn) else {}
    changed = _changed(wanted, recorded)
    return not (changed or _pending(wanted, recorded) or _unknown(wanted, recorded))


@contextmanager
def _connection(dsn: str) -> Iterator[BoundedConnection]:
    with connect_sync(dsn, name="migrate") as conn:
        yield conn


def _take_time(conn: BoundedConnection) -> None:
    """Neither the wait for another run nor building an index has a limit; locks have theirs in each step."""
    conn.execute("select set_config(name, '0', false) from unnest(%s::text[]) name", (_UNLIMITED,))
    conn.limit.seconds = None


_UNLIMITED = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]


def _is_bootstrapped(conn: Conn) -> bool:
    return conn.execute("select to_regclass('notify.migration') is not null").fetchone() == (True,)


def _recorded(conn: Conn) -> dict[str, str]:
    """Checksums by name; not of grants whose roles are not there, as after a dump was restored in another cluster."""
    found: dict[str, str] = dict(conn.execute("select name, checksum from notify.migration").fetchall())
    if "grants" in found and not roles.in_force(conn):
        del found["grants"]
    return found


def _changed(wanted: Steps, recorded: dict[str, str]) -> list[str]:
    """Applied files of ours that are not what they were. Procrastinate may reformat its own."""
    return [s.name for s in wanted.migrations if recorded.get(s.name, s.checksum) != s.checksum]


def _refuse_changed(wanted: Steps, recorded: dict[str, str]) -> None:
    if names := _changed(wanted, recorded):
        raise MigrationError(
            f"{names[0]} was changed after it was applied to this database: "
            "restore the file, and write the change as a new migration"
        )


def _unknown(wanted: Steps, recorded: dict[str, str]) -> tuple[str, ...]:
    return tuple(sorted(recorded.keys() - wanted.names()))


def _pending(wanted: Steps, recorded: dict[str, str]) -> list[Step]:
    once = [step for step in (*wanted.procrastinate, *wanted.migrations) if step.name not in recorded]
    if _unknown(wanted, recorded):
        # A newer version was here: its functions and views are not to be replaced by older ones.
        return once
    return once + [step for step in wanted.repeated if recorded.get(step.name) != step.checksum]


def _apply_pending(conn: Conn, wanted: Steps, recorded: dict[str, str]) -> Iterator[str]:
    pending = _pending(wanted, recorded)
    if any(step.name == "grants" for step in pending):
        roles.prepare(conn)
    if not any(name.startswith("procrastinate/") for name in recorded):
        _apply(conn, "procrastinate", lambda: _create_jobs_schema(conn, wanted))
        yield from (step.name for step in wanted.procrastinate)
        pending = [step for step in pending if step not in wanted.procrastinate]
    for step in pending:
        if step.name not in steps.REPEATED:
            _apply_once(conn, step)
            yield step.name
    if repeated := [step for step in pending if step.name in steps.REPEATED]:
        _apply(conn, " and ".join(s.name for s in repeated), lambda: _repeat(conn, repeated))
        _finish_grants(conn, repeated)
        yield from (step.name for step in repeated)


def _apply_once(conn: Conn, step: Step) -> None:
    def work() -> None:
        if step.name.startswith("procrastinate/"):
            _search_path(conn, JOBS_SCHEMA)
        _execute(conn, step.text)
        _record(conn, step)

    _apply(conn, step.name, work)


def _create_jobs_schema(conn: Conn, wanted: Steps) -> None:
    """Procrastinate's packaged schema already contains all of its packaged migrations."""
    exists = conn.execute("select to_regnamespace(%s) is not null", (JOBS_SCHEMA,)).fetchone()
    if exists != (True,):  # even `if not exists` needs the right to create
        conn.execute(sql.SQL("create schema {}").format(sql.Identifier(JOBS_SCHEMA)))
    conn.execute(
        sql.SQL("comment on schema {} is 'The job queue of notify: tables and functions of Procrastinate'").format(
            sql.Identifier(JOBS_SCHEMA)
        )
    )
    _search_path(conn, JOBS_SCHEMA)
    _execute(conn, wanted.procrastinate_schema)
    for step in wanted.procrastinate:
        _record(conn, step)


def _repeat(conn: Conn, repeated: list[Step]) -> None:
    # Bodies are not checked, so that functions may refer to others and to views whatever the order of files.
    conn.execute("select set_config('check_function_bodies', 'off', true)")
    for step in repeated:
        if step.name == "views":
            _replace_views(conn, step)
        else:
            _execute(conn, step.text)
        if step.name != "grants":
            _record(conn, step)


def _finish_grants(conn: Conn, repeated: list[Step]) -> None:
    """Hand over each table in its own transaction, so that no lock is held while another is waited for. A run that
    ends before all are leaves everything working, and the next one goes on."""
    for step in repeated:
        if step.name == "grants":
            for schema, name in roles.not_owned(conn):
                _apply(conn, f"owner of {schema}.{name}", partial(roles.hand_over, conn, schema, name), gently=True)
            _apply(conn, step.name, partial(_record, conn, step))


def _replace_views(conn: Conn, step: Step) -> None:
    """Replacing keeps the grants that operators gave; only changed columns call for making them anew."""
    try:
        with conn.transaction():
            _execute(conn, step.text)
    except errors.InvalidTableDefinition:
        _drop_views(conn)
        _execute(conn, step.text)


def _drop_views(conn: Conn) -> None:
    found = conn.execute("select viewname from pg_views where schemaname = 'notify'").fetchall()
    names = sql.SQL(", ").join(sql.Identifier("notify", name) for (name,) in found)
    conn.execute(sql.SQL("drop view {}").format(names))  # together, as they may refer to each other


def _apply(conn: Conn, name: str, work: Callable[[], None], *, gently: bool = False) -> None:
    """Run one step in its own transaction. A busy table gets a few tries with pauses between, as everybody
    else would queue behind our wait for its lock."""
    for tries_left in reversed(range(_GENTLE_TRIES if gently else _LOCK_TRIES)):
        try:
            with conn.transaction():
                timeout = _GENTLE_TIMEOUT if gently else _LOCK_TIMEOUT
                conn.execute("select set_config('lock_timeout', %s, true)", (timeout,))
                _search_path(conn, "pg_catalog")
                return work()
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            if not tries_left:
                raise MigrationError(f"{name}: {error}") from error
            _pause(_LOCK_PAUSE_SECONDS)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            raise MigrationError(f"{name}: {error}") from error
    return None


def _search_path(conn: Conn, schema: str) -> None:
    conn.execute("select set_config('search_path', %s, true)", (schema,))


def _execute(conn: Conn, text: LiteralString) -> None:
    """Run a whole file of our own or of Procrastinate's package, both as literal as code."""
    if text.strip():
        conn.execute(text)


def _record(conn: Conn, step: Step) -> None:
    conn.execute(
        """
        insert into notify.migration as old (name, checksum) values (%s, %s)
        on conflict (name) do update set checksum = excluded.checksum, applied_at = clock_timestamp()
        """,
        (step.name, step.checksum),
    )
