"""What the embedded server says: within bounds over months, and nothing of what is in the notifications."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from helpers.rows import Db
from helpers.wait import until, until_async
from notify.cli import keeper
from notify.postgres import embedded, launch
from notify.postgres.embedded import Embedded


def test_contents_are_not_logged(server: Embedded, db: Db) -> None:
    log = server.data_dir / "postgres.log"
    with pytest.raises(psycopg.errors.NotNullViolation):
        db.execute("insert into notify.recipient (id) values (%s)", ("private-1",))
    with pytest.raises(psycopg.errors.UndefinedColumn):
        db.execute("select 'private-2' from notify.batch where no_such_column = 1")
    until(lambda: "no_such_column" in log.read_text())
    assert "violates not-null constraint" in log.read_text()
    assert "private" not in log.read_text()


def test_a_log_begins_anew_under_a_running_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_LOG_BYTES", 10)
    log = tmp_path / "postgres.log"
    embedded.trim_log(tmp_path)
    with log.open("ab", buffering=0) as server:
        server.write(b"1234567890")
        embedded.trim_log(tmp_path)
        assert log.read_bytes() == b"1234567890"
        server.write(b"abc")
        embedded.trim_log(tmp_path)
        server.write(b"xyz")
    kept = tmp_path / "postgres.log.1"
    assert (log.read_bytes(), kept.read_bytes()) == (b"xyz", b"4567890abc")
    assert kept.stat().st_mode & 0o077 == 0


async def test_up_looks_after_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_LOG_BYTES", 10)
    monkeypatch.setattr(keeper, "_LOG_SECONDS", 0.01)
    task = asyncio.create_task(keeper._keep_log(tmp_path))
    log = tmp_path / "postgres.log"

    async def is_empty() -> bool:
        return log.stat().st_size == 0

    for _ in range(2):
        log.write_text("x" * 20)
        await until_async(is_empty)
    task.cancel()
