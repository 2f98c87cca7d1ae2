"""Statements by name: rows become structs, what does not fit is refused, sync and async alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import psycopg
import pytest

from notify.config import Settings
from notify.errors import RowError
from notify.postgres import queries
from notify.postgres.pool import connect, open_pool


class Sample(msgspec.Struct, frozen=True):
    id: int
    status: Literal["pending", "sent"]
    at: datetime
    data: dict[str, Any]
    tags: list[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A sql folder of three statements in place of the real one."""
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "sample.sql").write_text(
        "select n as id, %(status)s as status, timestamptz '2030-01-01Z' as at, "
        "jsonb '{\"a\": 1}' as data, array['x'] as tags from generate_series(1, %(count)s) n order by n"
    )
    (tmp_path / "queries" / "count.sql").write_text("select count(*) from generate_series(1, %(count)s)")
    (tmp_path / "queries" / "touch.sql").write_text("create temp table if not exists touched ()")
    monkeypatch.setattr(queries, "sql_dir", lambda: tmp_path)
    queries.text.cache_clear()
    yield
    queries.text.cache_clear()


async def test_rows_become_structs(bare_dsn: str) -> None:
    async with await connect(bare_dsn, name="test") as conn:
        found = await queries.one(conn, "sample", Sample, status="sent", count=1)
        assert found == Sample(1, "sent", datetime(2030, 1, 1, tzinfo=UTC), {"a": 1}, ["x"])
        assert [row.id for row in await queries.many(conn, "sample", Sample, status="sent", count=3)] == [
            1,
            2,
            3,
        ]
        assert await queries.maybe(conn, "sample", Sample, status="sent", count=0) is None
        assert await queries.one(conn, "count", int, count=5) == 5
        assert await queries.run(conn, "sample", status="sent", count=4) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e400", 10**400),
        ("1e5000", math.inf),
        ("[-1e5000]", [-math.inf]),
        ("[123456789012345678901234567890]", [123456789012345678901234567890]),
        ('"\\u00e9"', "é"),
    ],
)
async def test_json_is_read_whatever_numbers_it_has(bare_dsn: str, text: str, expected: Any) -> None:
    async with await connect(bare_dsn, name="test") as conn:
        found = await (await conn.execute("select %s::text::jsonb", (text,))).fetchone()
    assert found == (expected,)


@pytest.mark.parametrize(("status", "count"), [("odd", 1), ("sent", 0), ("sent", 2)])
async def test_what_does_not_fit_is_refused(bare_dsn: str, status: str, count: int) -> None:
    async with await connect(bare_dsn, name="test") as conn:
        with pytest.raises(RowError, match="sample: "):
            await queries.one(conn, "sample", Sample, status=status, count=count)


async def test_statement_without_rows_or_with_many_columns_is_no_value(bare_dsn: str) -> None:
    async with await connect(bare_dsn, name="test") as conn:
        with pytest.raises(RowError, match="Expected one column"):
            await queries.one(conn, "sample", int, status="sent", count=1)
        with pytest.raises(psycopg.ProgrammingError):
            await queries.one(conn, "touch", int)


def test_sync_twins_do_the_same(bare_dsn: str) -> None:
    with psycopg.connect(bare_dsn) as conn:
        assert queries.one_sync(conn, "sample", Sample, status="sent", count=1).id == 1
        assert len(queries.many_sync(conn, "sample", Sample, status="sent", count=3)) == 3
        assert queries.maybe_sync(conn, "sample", Sample, status="sent", count=0) is None
        with pytest.raises(RowError):
            queries.one_sync(conn, "sample", Sample, status="odd", count=1)


async def test_pool_hands_out_configured_autocommit_connections(bare_dsn: str) -> None:
    pool = await open_pool(Settings(database_url=bare_dsn, lock_timeout=1.5), name="api")
    try:
        async with pool.connection() as conn:
            assert conn.autocommit
            shown = [await _show(conn, name) for name in ("TimeZone", "lock_timeout", "application_name")]
        assert shown == ["UTC", "1500ms", "notify-api"]
    finally:
        await pool.close()


async def _show(conn: psycopg.AsyncConnection[Any], name: str) -> str:
    row = await (await conn.execute("select current_setting(%s)", (name,))).fetchone()
    assert row is not None
    return str(row[0])
