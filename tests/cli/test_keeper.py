"""When the keeper starts the server again, and when it lets go."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from helpers.wait import until_true
from notify.cli import keeper
from notify.errors import EmbeddedError
from notify.postgres import embedded
from notify.postgres.embedded import Embedded


@pytest.fixture
def own(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    """A server of the test's own, looked at often."""
    monkeypatch.setattr(keeper, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(keeper, "_PAUSE_SECONDS", 0.001)
    server = embedded.start(scratch, settings={"fsync": "off"})
    yield server
    server.stop()


async def _kill_until_it_ends(server: Embedded, keeping: asyncio.Task[None]) -> int:
    """Kill each server that runs; how many there were."""
    killed: set[int] = set()

    def ended() -> bool:
        if server.alive and server.pid not in killed:
            killed.add(server.pid)
            os.kill(server.pid, signal.SIGKILL)
        return keeping.done()

    await until_true(ended)
    return len(killed)


async def test_servers_that_are_soon_gone_again_are_failures(own: Embedded) -> None:
    keeping = asyncio.create_task(keeper.keep(own))
    assert await _kill_until_it_ends(own, keeping) == 1 + keeper._TRIES
    with pytest.raises(EmbeddedError, match=r"does not stay up, after 5 tries .* Last: process \d+ ended"):
        await keeping


async def test_servers_that_stayed_are_none(own: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "HEALTHY_SECONDS", 0.0)
    with capture_logs() as logs:

        def runs_again() -> int:
            return len([log for log in logs if log["event"] == "Postgres runs again"])

        keeping = asyncio.create_task(keeper.keep(own))
        while (times := runs_again()) < keeper._TRIES + 2:
            os.kill(own.pid, signal.SIGKILL)
            await until_true(lambda before=times: runs_again() > before)  # type: ignore[misc]
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
    assert {log["failures"] for log in logs if "failures" in log} == {0}


async def test_data_that_was_deleted_is_not_made_anew(own: Embedded, scratch: Path) -> None:
    os.kill(own.pid, signal.SIGKILL)
    (scratch / "postgres").rename(scratch / "elsewhere")
    with pytest.raises(EmbeddedError, match="was deleted, or replaced by other data"):
        await keeper.keep(own)
    assert not (scratch / "postgres").exists()
