"""Commands run in this process, which is quicker than a process each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers.programs import environment
from notify import log
from notify.cli import app


class Answer(NamedTuple):
    """What a command printed, and its status."""

    status: int
    out: str
    err: str


Notify = Callable[..., Answer]


@pytest.fixture
def notify(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Notify:
    """Runs `notify ARGUMENTS` on the test's database, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(log, "configure", lambda settings: None)
    for name in set(environment(database_url=dsn)) ^ set(sys.modules["os"].environ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NOTIFY_DATABASE_URL", dsn)

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["notify", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.run()
        printed = capsys.readouterr()
        return Answer(int(ended.value.code or 0), printed.out, printed.err)

    return run
