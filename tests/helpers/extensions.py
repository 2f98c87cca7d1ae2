"""For tests of channels: a message, and an installed distribution that has an entry point for a channel."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from notify.channels.protocol import Message


def message(**changes: Any) -> Message:
    """A message that is due, with changes."""
    fields: dict[str, Any] = {
        "stable_id": "ntf-1-7",
        "attempt": 1,
        "notification_id": 7,
        "batch_id": 1,
        "recipient": "ada",
        "address": "json://127.0.0.1",
        "locale": "en-GB",
        "time_zone": "Europe/London",
        "type": "system",
        "priority": "normal",
        "title": "Coffee",
        "message": "It is ready",
        "html": None,
        "data": {},
        "reference": None,
        "scheduled_at": datetime(2030, 12, 28, 10, tzinfo=UTC),
        "required": False,
    }
    return Message(**fields | changes)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, code: str, thing: str) -> None:
    """Let this process find a distribution of one module, whose `thing` is an entry point for a channel."""
    (folder / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[notify.channels]\n{module} = {module}:{thing}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
