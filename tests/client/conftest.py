"""A database shared by the module, with ada and bob registered, and either client on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from client.either import KINDS, Either
from helpers.rows import Db, add_recipients
from notify.postgres.connection import connect_sync


@pytest.fixture(scope="module")
def shared(shared_dsn: str) -> Iterator[Db]:
    """An autocommit connection of the module, to look at what was stored."""
    with connect_sync(shared_dsn, name="shared") as connection:
        add_recipients(connection, "ada", "bob")
        yield connection


@pytest.fixture(params=KINDS)
async def client(request: Any, shared_dsn: str, shared: Db) -> AsyncIterator[Either]:
    """Each client in turn, on a connection of its own to the module's database."""
    either = Either(request.param, shared_dsn)
    yield either
    await either.close()
