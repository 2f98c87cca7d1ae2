"""Processes of a service start together and in any order: waiting for the database and its schema."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
import structlog

from notify.errors import NotifyError
from notify.postgres.migrate import plan
from notify.supervise import describe

_log = structlog.stdlib.get_logger("notify.start")
Result = TypeVar("Result")

START_SECONDS = 60.0
"""How long a process waits for what it needs to start; then it exits and its supervisor may try again."""
_PAUSE_SECONDS = 0.5


class NotReady(NotifyError):
    """The database cannot be worked with yet."""


def patiently(step: Callable[[], Result], *, seconds: float = START_SECONDS) -> Result:
    """The step's result, tried until the database lets it succeed; each new reason to wait is logged once.

    Raises NotReady with the last reason after so many seconds.
    """
    deadline = time.monotonic() + seconds
    logged = ""
    while True:
        try:
            return step()
        except (psycopg.OperationalError, NotReady) as error:
            reason = str(error) if isinstance(error, NotReady) else describe(error)
            if time.monotonic() > deadline:
                raise NotReady(f"the database is not ready after {seconds:.0f} s: {reason}") from error
        if reason != logged:
            _log.warning("waiting for the database", reason=reason)
            logged = reason
        time.sleep(_PAUSE_SECONDS)


def require_schema(url: str) -> None:
    """Raise NotReady unless the database has all that this version needs. More, of a newer one, does no harm."""
    try:
        pending = plan(url)
    except psycopg.errors.InsufficientPrivilege as error:
        # Also while the very first notify migrate has not come to its grants.
        raise NotReady(
            "this login may not look at the schema: notify migrate grants that to notify_api and notify_worker"
        ) from error
    if pending:
        raise NotReady(f"the schema lacks {len(pending)} steps, first {pending[0]}: run notify migrate")
