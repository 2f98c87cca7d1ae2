"""For tests of one session: a database shared by the module, each test in a transaction that is undone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.rows import Db, add_recipients
from notify.postgres.connection import connect_sync


@pytest.fixture(scope="module")
def shared(shared_dsn: str) -> Iterator[Db]:
    """The module's connection; recipients ada and bob are registered."""
    with connect_sync(shared_dsn, name="shared") as connection:
        add_recipients(connection, "ada", "bob")
        yield connection


@pytest.fixture
def tx(shared: Db) -> Iterator[Db]:
    """The module's connection in a transaction that is rolled back after the test."""
    with shared.transaction(force_rollback=True):
        yield shared
