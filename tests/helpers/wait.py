"""Waiting for conditions: the only place in the tests that sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")
_PAUSE = 0.005


def until(predicate: Callable[[], T], timeout: float = 60.0, what: str = "") -> T:
    """Poll until the predicate gives something true, and return that. AssertionError after `timeout` s."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or predicate}"
        time.sleep(_PAUSE)
    return value


async def until_async(predicate: Callable[[], Awaitable[T]], timeout: float = 60.0, what: str = "") -> T:
    """As `until`, for an async predicate, leaving the event loop to others meanwhile."""
    deadline = time.monotonic() + timeout
    while not (value := await predicate()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or predicate}"
        await asyncio.sleep(_PAUSE)
    return value


async def until_true(predicate: Callable[[], T]) -> T:
    """As `until_async`, for a predicate that waits for nothing."""

    async def ask() -> T:
        return predicate()

    return await until_async(ask)


def blocked(db: psycopg.Connection[Any], pid: int, timeout: float = 60.0) -> list[int]:
    """Wait until the backend `pid` waits for a lock of others; their process ids.

    `db` is an autocommit connection, as inside a transaction pg_stat_activity stands still.
    """

    def blockers() -> list[int]:
        row = db.execute("select pg_blocking_pids(%s)", (pid,)).fetchone()
        return list(row[0]) if row else []

    return until(blockers, timeout, f"backend {pid} blocked")


def asleep(db: psycopg.Connection[Any], pid: int, timeout: float = 60.0) -> None:
    """Wait until the backend `pid` sleeps by itself between two tries, holding nothing."""

    def sleeps() -> bool:
        return db.execute("select from pg_stat_activity where pid = %s and wait_event = 'PgSleep'", (pid,)).rowcount > 0

    until(sleeps, timeout, f"backend {pid} asleep")
