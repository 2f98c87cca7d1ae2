"""The statements in sql/queries, run by name, their rows turned into structs.

`one(conn, "get_batch", Batch, id=7)` runs sql/queries/get_batch.sql with the parameter `%(id)s`. A row
becomes its struct through `msgspec.convert`, so that a status that the code does not know is refused here.
A row of one column may also become a plain type: `one(conn, "count_due", int)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, LiteralString, TypeVar, cast

import msgspec
import psycopg
from psycopg import AsyncConnection, Connection
from psycopg._cursor_base import BaseCursor
from psycopg.rows import tuple_row

from notify.errors import RowError, from_postgres

T = TypeVar("T")


@cache
def sql_dir() -> Path:
    """The sql folder: inside an installed package, or at the root of a checkout."""
    here = Path(__file__).resolve()
    packaged = here.parents[1] / "sql"
    return packaged if packaged.is_dir() else here.parents[3] / "sql"


@cache
def text(name: str) -> LiteralString:
    """The text of sql/queries/<name>.sql, as it is. Raises FileNotFoundError if there is none."""
    return (sql_dir() / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def rows_as(row_type: type[T], cursor: BaseCursor[Any, Any], rows: Sequence[tuple[Any, ...]]) -> list[T]:
    """What a cursor has fetched: a struct from the columns by name, any other type from the only column.

    Raises msgspec.ValidationError for what does not fit. All at once, as one by one takes three times as long.
    """
    names = [column.name for column in cursor.description or ()]
    if _is_struct(row_type):
        return msgspec.convert([dict(zip(names, row, strict=True)) for row in rows], list[row_type])  # type: ignore[valid-type]  # mypy knows no types made at run time
    if len(names) != 1:
        raise msgspec.ValidationError(f"Expected one column, got {', '.join(names)}")
    return msgspec.convert([row[0] for row in rows], list[row_type])  # type: ignore[valid-type]


async def one(conn: AsyncConnection[Any], name: str, row_type: type[T], **params: Any) -> T:
    """Exactly one row. Raises RowError otherwise, and the error that a named SQLSTATE stands for."""
    return _exactly_one(name, await many(conn, name, row_type, **params))


async def maybe(conn: AsyncConnection[Any], name: str, row_type: type[T], **params: Any) -> T | None:
    """One row or none. Raises RowError for more."""
    return _at_most_one(name, await many(conn, name, row_type, **params))


async def many(conn: AsyncConnection[Any], name: str, row_type: type[T], **params: Any) -> list[T]:
    """All rows, in the statement's order."""
    with _translated(name):
        async with conn.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(text(name), params)
            return rows_as(row_type, cursor, await cursor.fetchall())


async def run(conn: AsyncConnection[Any], name: str, **params: Any) -> int:
    """Run for the effect; the number of rows touched."""
    with _translated(name):
        return (await conn.execute(text(name), params)).rowcount


def one_sync(conn: Connection[Any], name: str, row_type: type[T], **params: Any) -> T:
    """As `one`."""
    return _exactly_one(name, many_sync(conn, name, row_type, **params))


def maybe_sync(conn: Connection[Any], name: str, row_type: type[T], **params: Any) -> T | None:
    """As `maybe`."""
    return _at_most_one(name, many_sync(conn, name, row_type, **params))


def many_sync(conn: Connection[Any], name: str, row_type: type[T], **params: Any) -> list[T]:
    """As `many`."""
    with _translated(name), conn.cursor(row_factory=tuple_row) as cursor:
        return rows_as(row_type, cursor, cursor.execute(text(name), params).fetchall())


def _is_struct(row_type: type[Any]) -> bool:
    # Not every annotation is a class: `str | None` and `Literal` come through here too.
    return isinstance(cast(object, row_type), type) and issubclass(row_type, msgspec.Struct)


def _at_most_one(name: str, rows: list[T]) -> T | None:
    if len(rows) > 1:
        raise RowError(f"{name}: at most one row expected, got {len(rows)}")
    return rows[0] if rows else None


def _exactly_one(name: str, rows: list[T]) -> T:
    if len(rows) != 1:
        raise RowError(f"{name}: one row expected, got {len(rows)}")
    return rows[0]


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except msgspec.ValidationError as error:
        raise RowError(f"{name}: {error}") from error
    except psycopg.Error as error:
        if (ours := from_postgres(error)) is not None:
            raise ours from error
        raise
