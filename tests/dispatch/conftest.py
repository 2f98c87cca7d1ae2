"""An async connection like the ticker's, and rows that cannot be sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from psycopg import AsyncConnection, sql

from helpers.rows import Db, add_recipients
from notify.config import Settings
from notify.postgres.pool import connect as connect_async

Spoil = Callable[..., None]


@pytest.fixture
def settings(dsn: str) -> Settings:
    return Settings(database_url=dsn, pool_max=4)


@pytest.fixture
async def conn(settings: Settings) -> AsyncIterator[AsyncConnection[Any]]:
    """A configured autocommit connection."""
    async with await connect_async(settings, name="test") as connection:
        yield connection


@pytest.fixture(autouse=True)
def people(db: Db) -> None:
    add_recipients(db, "ada", "bob")


@pytest.fixture
def spoil(db: Db) -> Spoil:
    """Let every change of these notifications to one of `statuses` fail; the sequence notify.tries counts them."""
    db.execute("create sequence notify.tries minvalue 0")
    db.execute("grant usage on sequence notify.tries to notify_owner")  # as whom triggers run

    def make(*ids: int, statuses: tuple[str, ...] = ("sent",), code: str = "P0001") -> None:
        body = sql.SQL(
            "create function notify.spoil() returns trigger language plpgsql as {}; "
            "create trigger spoil before update on notify.notification for each row "
            "when (new.id = any ({}) and new.status = any ({})) execute function notify.spoil()"
        )
        function = (
            "begin perform nextval('notify.tries');"
            f" raise exception using errcode = '{code}', message = 'spoilt ' || new.id; end"
        )
        db.execute(body.format(sql.Literal(function), sql.Literal(list(ids)), sql.Literal(list(statuses))))

    return make
