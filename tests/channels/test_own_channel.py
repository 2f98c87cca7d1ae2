"""docs/channels.md: its channel of one's own runs as it stands there, made by an entry point, in 20 lines or less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.extensions import install
from helpers.mail import message
from notify.channels.registry import build
from notify.config import Settings

DOCUMENT = (Path(__file__).parents[2] / "docs" / "channels.md").read_text(encoding="utf-8")
SECTION = DOCUMENT.partition("\n## A channel of your own\n")[2]
CODE = re.findall(r"^```python\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


async def test_it_runs_as_it_stands_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = CODE
    assert len([line for line in code.splitlines() if line]) <= 20
    spool = tmp_path / "spool"
    monkeypatch.setenv("SMS_FOLDER", str(spool))
    install(tmp_path, monkeypatch, "shop_channels", code, "Sms")
    channel = {channel.name: channel for channel in build(Settings(), lambda _: None)}["sms"]
    async with channel:
        bad = await channel.send(message(address="ada@example.org"))
        down = await channel.send(message(address="447700900123"))
        spool.mkdir()
        sent = await channel.send(message(address="447700900123"))
    assert (bad.kind, bad.code) == ("final", "bad-address")
    assert (down.kind, down.code, down.outage) == ("retry", "spool", True)
    assert sent.kind == "sent"
    assert (spool / message().stable_id).read_text() == f"To: 447700900123\n\n{message().message}\n"


def test_the_entry_point_is_written_so() -> None:
    assert '[project.entry-points."notify.channels"]\nsms = "shop.channels:Sms"\n' in SECTION
